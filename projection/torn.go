package projection

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
)

// errReconnected ends a session whose connection was lost and is back: the server may come up from a power cut, and what it
// lost, or half has, is looked for by the next session.
var errReconnected = errors.New("the connection was lost and is back")

// Counters says how often a View had to do more than the usual, since it was made.
type Counters struct {
	Torn int64 // times that a power cut had left half of a batch in the bucket, and the view was built anew
}

// Counters gives the view's counters, as far as this View was concerned.
func (v *View[V]) Counters() Counters { return Counters{Torn: v.torn.Load()} }

// untilReconnected gives a context that ends with ctx, or with errReconnected. The caller ends it, which waits for its
// goroutine.
func (v *View[V]) untilReconnected(ctx context.Context) (context.Context, func()) {
	session, cancel := context.WithCancelCause(ctx)
	connected := v.conn().StatusChanged(nats.CONNECTED)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-connected:
			cancel(errReconnected)
		case <-session.Done():
		}
	})
	return session, func() {
		cancel(nil)
		watcher.Wait()
		v.conn().RemoveStatusListener(connected)
	}
}

func (v *View[V]) conn() *nats.Conn { return v.store.JetStream().Conn() }

// reconnects is how often the connection was lost and came back. It counts before the connection takes the first write.
func (v *View[V]) reconnects() uint64 { return v.conn().Stats().Reconnects }
