package eventstoretest

import (
	"testing"
	"testing/synctest"

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
	synctest.Test(t, f)
}
