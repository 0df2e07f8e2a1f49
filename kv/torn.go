package kv

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// tornAgain is how long Torn waits before it looks again at a batch without its end. A server that shows a batch
// while it stores it has stored all of it by then.
const tornAgain = 100 * time.Millisecond

func (i insider[T]) Torn(ctx context.Context) (revision uint64, err error) {
	revision, err = i.core.halfBatch(ctx)
	if revision == 0 || err != nil {
		return 0, err
	}
	again := time.NewTimer(tornAgain)
	defer again.Stop()
	select {
	case <-again.C:
	case <-ctx.Done():
		return 0, &Error{Op: "torn", Bucket: i.core.bucket, Err: context.Cause(ctx)}
	}
	still, err := i.core.halfBatch(ctx)
	if still != revision {
		return 0, err // a batch was under way
	}
	return revision, err
}

// halfBatch asks the leader for the newest message. If that belongs to a batch and does not end it, halfBatch
// returns its revision, else 0.
func (c *core) halfBatch(ctx context.Context) (uint64, error) {
	newest, err := c.leader(ctx, ">")
	switch {
	case errors.Is(err, jsapi.ErrNotFound):
		return 0, nil // the bucket is empty
	case err != nil:
		return 0, c.readError("torn", "", err)
	case !jsapi.InsideBatch(newest.Header):
		return 0, nil
	}
	return newest.Sequence, nil
}
