package kv

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/ondisk"
)

// Get reads the document under key. It ends with ErrNotFound, ErrInvalidKey, ErrDecode or ErrUnavailable.
//
// Any replica may answer, so on several replicas the document may be a few milliseconds old, and older while the replica
// is cut off. GetLeader reads your own writes.
func (b *Bucket[T]) Get(ctx context.Context, key string) (Entry[T], error) {
	return read[T](ctx, b.core, key, b.core.direct)
}

// GetLeader is Get, answered by the leader of the bucket's replicas: it sees every write that was acknowledged before.
// It costs the leader more than a Get, which the replicas share. (A leader that was cut off from the others may answer
// from what it knows until it steps down.)
func (b *Bucket[T]) GetLeader(ctx context.Context, key string) (Entry[T], error) {
	return read[T](ctx, b.core, key, b.core.leader)
}

// getter reads the last message of a subject.
type getter func(ctx context.Context, subject string) (jsapi.Message, error)

// direct asks any replica, or the leader where none answers, as in a bucket that was made a moment ago.
func (c *core) direct(ctx context.Context, subject string) (jsapi.Message, error) {
	m, err := c.client.DirectLast(ctx, c.stream, subject)
	if errors.Is(err, nats.ErrNoResponders) {
		return c.leader(ctx, subject)
	}
	return m, err
}

func (c *core) leader(ctx context.Context, subject string) (jsapi.Message, error) {
	return c.client.LeaderLast(ctx, c.stream, subject)
}

func read[T any](ctx context.Context, c *core, key string, get getter) (Entry[T], error) {
	subject, err := c.subject("get", key)
	if err != nil {
		return Entry[T]{}, err
	}
	m, err := c.insistOn(ctx, "get", subject, get)
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

// readError gives a failed read its reason. An ended context is its own.
func (c *core) readError(op, key string, err error) error {
	return &Error{Op: op, Bucket: c.bucket, Key: key, Reason: reasonOf(err), Err: err}
}

// reasonOf gives the reason for which a question to the servers was not answered, or nil.
func reasonOf(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil // the caller's own
	case errors.Is(err, jetstream.ErrStreamNotFound):
		return ErrNoBucket
	case jsapi.Transient(err), jsapi.NotSent(err), errors.Is(err, ondisk.ErrFailed):
		return ErrUnavailable
	case jsapi.IsRefusal(err):
		return ErrRefused
	}
	return nil
}

// GetMany reads the documents under keys; those that are not there are absent from the result. Keys may be repeated.
//
// Up to 1024 keys are read as they were at one point in time, whatever is written meanwhile, and an atomic batch is seen
// whole or not at all; as with Get that point may lie a little back. More keys are read in parts of 1024, each of its own
// point in time, and so are documents that together exceed 32 MiB. It ends as Get does, except that nothing is
// ErrNotFound.
func (b *Bucket[T]) GetMany(ctx context.Context, keys ...string) (map[string]Entry[T], error) {
	wanted := make(map[string]string, len(keys)) // keys by subject
	subjects := make([]string, 0, len(keys))
	for _, key := range keys {
		subject, err := b.core.subject("get", key)
		if err != nil {
			return nil, err
		}
		if _, again := wanted[subject]; !again {
			wanted[subject] = key
			subjects = append(subjects, subject)
		}
	}
	entries := make(map[string]Entry[T], len(subjects))
	for len(subjects) > 0 {
		part := subjects[:b.core.part(subjects)]
		found, whole, err := b.core.many(ctx, part)
		if err != nil {
			return nil, b.core.readError("get", "", err)
		}
		for _, m := range found {
			if deleted(m.Header) {
				continue
			}
			entry, err := decode[T](b.core, "get", wanted[m.Subject], m)
			if err != nil {
				return nil, err
			}
			entries[entry.Key] = entry
		}
		subjects = append(unread(part, found, whole), subjects[len(part):]...)
	}
	return entries, nil
}

// many asks any replica for the newest messages of subjects. They are not whole where there is too much for one answer.
func (c *core) many(ctx context.Context, subjects []string) (found []jsapi.Message, whole bool, err error) {
	var part jsapi.Part
	err = c.insist(ctx, "get", func(ctx context.Context) (err error) {
		part, err = c.client.DirectLastMany(ctx, c.stream, subjects, c.manyBytes)
		if errors.Is(err, nats.ErrNoResponders) { // also if the bucket was deleted
			if gone := c.same(ctx); errors.Is(gone, jetstream.ErrStreamNotFound) {
				err = gone
			}
		}
		return err
	})
	switch {
	case err != nil:
		return nil, false, err
	case part.Pending > 0 && len(part.Found) == 0:
		return nil, false, errors.New("the server gave none of the documents it has")
	}
	return part.Found, part.Pending == 0, c.disk.Wait(ctx, lastOf(part.Found))
}

// lastOf gives the highest revision of the messages.
func lastOf(found []jsapi.Message) (revision uint64) {
	for _, m := range found {
		revision = max(revision, m.Sequence)
	}
	return revision
}

// part is how many of the subjects go into one request, by their number and by what a message may hold.
func (c *core) part(subjects []string) int {
	const quotes = len(`"",`)
	room := int(c.client.Session().MaxPayload()) - len(`{"multi_last":[],"max_bytes":33554432}`)
	for i, subject := range subjects {
		room -= len(subject) + quotes
		if i == jsapi.MaxLastMany || room < 0 && i > 0 {
			return i
		}
	}
	return len(subjects)
}

// unread gives the subjects that an answer cut short did not come to.
func unread(asked []string, found []jsapi.Message, whole bool) []string {
	if whole {
		return nil
	}
	answered := make(map[string]bool, len(found))
	for _, m := range found {
		answered[m.Subject] = true
	}
	var rest []string
	for _, subject := range asked {
		if !answered[subject] {
			rest = append(rest, subject)
		}
	}
	return rest
}
