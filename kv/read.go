package kv

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/ondisk"
)

// Get returns the document under key. Any replica may answer. A replica may be a few milliseconds behind, and further
// behind while it is cut off, so use GetLeader to read your own writes. ErrNotFound is always the answer of the leader.
//
// Get blocks until a server has answered, ctx ends or Config.Timeout has passed. It returns an error that matches
// ErrNotFound, ErrInvalidKey, ErrDecode, ErrNoBucket, ErrRefused or ErrUnavailable.
func (b *Bucket[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	return read[T](ctx, b.core, key, b.core.direct)
}

// GetLeader is Get, answered by the leader of the bucket's replicas. It sees every write that was acknowledged before.
// The leader alone bears its cost, while the replicas share the cost of a Get. A leader that was cut off from the
// others may answer from what it knows until it steps down. GetLeader blocks and fails like Get.
func (b *Bucket[T]) GetLeader(ctx context.Context, key string) (Entry[T], error) {
	return read[T](ctx, b.core, key, b.core.leader)
}

// getter reads the last message of a subject.
type getter func(ctx context.Context, subject string) (jsapi.Message, error)

// direct asks any replica. If none answers, as in a bucket that was created a moment ago, it asks the leader. It also
// asks the leader if the replica has no message: a replica that catches up deletes what was replaced before it receives
// what replaces it.
func (c *core) direct(ctx context.Context, subject string) (jsapi.Message, error) {
	m, err := c.client.DirectLast(ctx, c.stream, subject)
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jsapi.ErrNotFound) && !c.alone {
		return c.leader(ctx, subject)
	}
	return m, err
}

// leader asks the leader.
func (c *core) leader(ctx context.Context, subject string) (jsapi.Message, error) {
	return c.client.LeaderLast(ctx, c.stream, subject)
}

func read[T any](ctx context.Context, c *core, key string, get getter) (Entry[T], error) {
	subject, err := c.subject("get", key)
	if err != nil {
		return Entry[T]{}, err
	}
	m, err := c.retryMessage(ctx, "get", subject, get)
	if err == nil {
		err = c.disk.Wait(ctx, m.Sequence)
	}
	switch {
	case errors.Is(err, jsapi.ErrNotFound), err == nil && deleted(m.Header):
		return Entry[T]{}, &Error{Op: "get", Bucket: c.bucket, Key: c.place + key, Reason: ErrNotFound}
	case err != nil:
		return Entry[T]{}, c.readError("get", c.place+key, err)
	}
	return decode[T](c, "get", key, m)
}

// readError returns the error of a read that failed.
func (c *core) readError(op, key string, err error) error {
	return &Error{Op: op, Bucket: c.bucket, Key: key, Reason: reasonOf(err), Err: err}
}

// reasonOf returns the Err variable that says why the servers did not answer a request, or nil if none does.
func reasonOf(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil // the deadline is the caller's
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return ErrNoBucket
	case jsapi.Transient(err), jsapi.NotSent(err), errors.Is(err, ondisk.ErrFailed):
		return ErrUnavailable
	case jsapi.IsRefusal(err):
		return ErrRefused
	}
	return nil
}
