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
// Nothing that needs a socket works there: no Connect, no cluster, no proxy. A plain [synctest.Test] hangs at
// the first stream: nats-server then starts its one clock for all servers of the process inside the bubble,
// where it waits on a channel from outside and so keeps the bubble's time from moving. Bubble starts that clock
// before.
func Bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	if onCluster() {
		t.Skip("on a cluster there are sockets, which do not work under a fake clock")
	}
	ats.Register()
	defer ats.Unregister()
	synctest.Test(t, func(t *testing.T) {
		// This runs last of all cleanups. A stopped server may have goroutines that still sleep for some
		// milliseconds, and time stands still after the test.
		t.Cleanup(func() { <-time.After(time.Second) })
		f(t)
	})
}
