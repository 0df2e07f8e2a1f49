package eventstoretest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"
)

// Bubble runs f in a [testing/synctest] bubble in which a server from
// [JetStream] can live: hours of timeouts, TTLs and backoffs pass at once.
//
// Only what needs no socket works there, so not Connect, a cluster or a proxy.
// A plain [synctest.Test] hangs at the first stream: nats-server then starts
// its one clock for all servers of the process inside the bubble, where it
// waits on a channel from outside and so keeps the bubble's time from moving.
// Bubble starts that clock before.
func Bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	ats.Register()
	defer ats.Unregister()
	synctest.Test(t, func(t *testing.T) {
		// This runs last of all cleanups: a server that was stopped may have goroutines that sleep for some milliseconds yet, and time
		// stands still once the test is over.
		t.Cleanup(func() { <-time.After(time.Second) })
		f(t)
	})
}
