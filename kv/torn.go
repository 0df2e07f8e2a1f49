package kv

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// Headers of an atomic batch as the server stores them (ADR-50 of NATS).
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// tornAgain is after how long a batch without its end is looked at again. A server that shows a batch while it stores it
// has the whole of it by then.
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
		return 0, err // somebody's batch was under way
	}
	return revision, err
}

// halfBatch gives the revision of the newest message, as the leader has it, where it belongs to a batch and does not end it.
func (c *core) halfBatch(ctx context.Context) (uint64, error) {
	newest, err := c.client.LeaderLast(ctx, c.stream, ">")
	switch {
	case errors.Is(err, jsapi.ErrNotFound):
		return 0, nil // empty
	case err != nil:
		return 0, c.readError("torn", "", err)
	case newest.Header.Get(headerBatchID) == "", newest.Header.Get(headerBatchCommit) != "":
		return 0, nil
	}
	return newest.Sequence, nil
}
