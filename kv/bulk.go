package kv

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// bulkWindow is how many writes of a bulk may be without an answer. With a server in another building, it is enough for
// 100,000 writes a second.
const bulkWindow = 512

// bulk implements inside.Bulk.
type bulk[T any] struct {
	core  *core
	calls []bulkCall // without an answer, oldest first
	last  uint64     // the highest revision that is stored
	err   error      // the first
}

type bulkCall struct {
	key  string
	call *jsapi.Call
}

func (i insider[T]) Bulk() inside.Bulk[T] { return &bulk[T]{core: i.core} }

func (w *bulk[T]) Put(ctx context.Context, key string, value T) error {
	one, err := w.core.newWrite("put", key, &value, unconditional())
	if err != nil {
		return w.fail(err)
	}
	if err := w.core.checkSize(ctx, "put", one, 0); err != nil { // it is sent without headers
		return w.fail(err)
	}
	if len(w.calls) >= bulkWindow {
		if err := w.await(ctx, len(w.calls)-bulkWindow+1); err != nil {
			return err
		}
	}
	if w.err != nil {
		return w.err
	}
	call, err := w.core.client.Send(one.subject, make(nats.Header), one.data)
	if err != nil {
		return w.fail(&Error{Op: "put", Bucket: w.core.bucket, Key: one.key, Reason: ErrUnavailable, Err: err})
	}
	w.calls = append(w.calls, bulkCall{key: one.key, call: call})
	return nil
}

func (w *bulk[T]) Flush(ctx context.Context) error {
	if err := w.await(ctx, len(w.calls)); err != nil {
		return err
	}
	if err := w.core.disk.Stored(ctx, w.last); err != nil {
		return w.fail(&Error{Op: "put", Bucket: w.core.bucket, Reason: ErrUnknownOutcome, Err: err})
	}
	return nil
}

// await waits for the answers to the n oldest writes.
func (w *bulk[T]) await(ctx context.Context, n int) error {
	for _, c := range w.calls[:n] {
		if w.err != nil {
			break
		}
		answer := c.call.Answer(ctx, w.core.timeout)
		if cause := context.Cause(ctx); answer.Class != jsapi.Stored && cause != nil {
			w.err = &Error{Op: "put", Bucket: w.core.bucket, Key: c.key, Err: cause}
		} else if answer.Class != jsapi.Stored {
			w.err = w.core.refusal(ctx, c.key, answer)
		}
		w.last = max(w.last, answer.Sequence)
	}
	w.calls = append(w.calls[:0], w.calls[n:]...)
	return w.err
}

// refusal returns the error of a put that was not stored.
func (c *core) refusal(ctx context.Context, key string, answer jsapi.Answer) error {
	err := c.confirmed(ctx, c.absent(ctx, answer.Err))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return &Error{Op: "put", Bucket: c.bucket, Key: key, Reason: ErrNoBucket, Err: err}
	}
	return &Error{Op: "put", Bucket: c.bucket, Key: key, Reason: reasonOfClass(answer.Class), Err: answer.Err}
}

// fail keeps the first error, and returns it.
func (w *bulk[T]) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return w.err
}
