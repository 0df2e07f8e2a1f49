package runner

import (
	"context"
	"sync"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/inside"
)

// Restarts spaces the tries of a runner whose server is away.
var Restarts = backoff.Policy{Base: 20 * time.Millisecond, Max: 2 * time.Second}

// WhileGood returns a context that ends with ctx or once the store has ended. The caller must call free, which waits
// for the goroutine that watches the store.
func WhileGood(ctx context.Context, store *eventstore.Store) (good context.Context, free func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		select {
		case <-eventstore.Inside(inside.Pass{}, store).Done():
			cancel(eventstore.Inside(inside.Pass{}, store).Err())
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel(nil)
		watcher.Wait()
	}
}
