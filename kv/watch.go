package kv

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/token"
)

// Change is what a Watch returns: a document, a deletion, or the news that the Watch has returned the present state.
type Change[T any] struct {
	Entry[T]
	// Deleted says that there is no document under Key any more. Value is the zero value then. The Watch may not have
	// returned the key before.
	Deleted bool
	// Synced says that the Watch has returned everything that the bucket holds at this moment. A Watch returns one such
	// change, which has no key.
	Synced bool
}

// Watch returns the documents that match one of the patterns, or all documents if there is no pattern, least
// recently written first, and with them the markers of deletions. See [Bucket.List] for the patterns. Then it
// returns one change that is Synced, and from then on each change as it happens. It blocks until the next change,
// and ends with the cause of ctx as its one error. A range statement may be left at any time.
//
// A Watch goes on after a lost connection, a restart of the server and a change of the leader. It waits without a
// limit for servers that do not answer, also when it begins, and tells Config.Logger. If a key is written several
// times while the reader is busy or disconnected, the Watch may return only the newest value, but it never leaves
// that out. Revisions only rise.
//
// Any other error is final. It matches ErrInvalidKey if a pattern is not allowed, ErrNoBucket if the bucket was
// deleted, and ErrRefused if the server refuses to be read. It matches ErrUnavailable if the connection is closed
// for good, and ErrDecode if a document is not of the bucket's type.
func (b *Bucket[T]) Watch(ctx context.Context, patterns ...string) iter.Seq2[Change[T], error] {
	return func(yield func(Change[T], error) bool) {
		subjects, err := b.core.subjects("watch", patterns)
		if err != nil {
			yield(Change[T]{}, err)
			return
		}
		w := reader[T]{core: b.core, op: "watch"}
		w.watch(ctx, subjects, yield)
	}
}

// keyOf decodes the KV key of a message. The key is not mine if its document is kept beside the documents of
// the bucket.
func (c *core) keyOf(raw string) (key string, mine bool, err error) {
	if c.place == "" && isBeside(raw) {
		return "", false, nil
	}
	key, err = token.DecodeKey(strings.TrimPrefix(raw, c.place))
	return key, true, err
}

// subjects returns the subjects that patterns of keys match, or one for all keys if there is no pattern.
func (c *core) subjects(op string, patterns []string) ([]string, error) {
	if len(patterns) == 0 {
		patterns = []string{">"}
	}
	subjects := make([]string, len(patterns))
	for i, pattern := range patterns {
		raw, err := filter(pattern)
		if err != nil {
			return nil, &Error{Op: op, Bucket: c.bucket, Key: pattern, Reason: ErrInvalidKey, Err: err}
		}
		subjects[i] = c.prefix + c.place + raw
		for j, other := range subjects[:i] {
			if covers(other, subjects[i]) || covers(subjects[i], other) {
				return nil, &Error{Op: op, Bucket: c.bucket, Key: pattern, Reason: ErrInvalidKey,
					Err: fmt.Errorf("one of the patterns %q and %q matches everything that the other matches: leave the other out", patterns[j], pattern)}
			}
		}
	}
	return subjects, nil
}

// reader turns the bucket's messages into changes and documents.
type reader[T any] struct {
	core *core
	op   string
}

func (r reader[T]) watch(ctx context.Context, subjects []string, yield func(Change[T], error) bool) {
	for event, err := range r.core.feed(ctx, r.op, subjects) {
		var change Change[T]
		mine := true
		switch {
		case err != nil:
			err = r.core.iterError(ctx, r.op, err)
		case event.synced:
			change.Synced = true
		default:
			change, mine, err = r.change(event.message)
		}
		if mine && !yield(change, err) || err != nil {
			return
		}
	}
}

func (r reader[T]) list(ctx context.Context, subjects []string, yield func(Entry[T], error) bool) {
	for message, err := range r.core.list(ctx, r.op, subjects) {
		if err != nil {
			yield(Entry[T]{}, r.core.iterError(ctx, r.op, err))
			return
		}
		change, mine, err := r.change(message)
		if err != nil {
			yield(Entry[T]{}, err)
			return
		}
		if mine && !change.Deleted && !yield(change.Entry, nil) {
			return
		}
	}
}

// change returns what a message means. It is not mine if the reader must not see it.
func (r reader[T]) change(m jsapi.Message) (change Change[T], mine bool, err error) {
	raw := strings.TrimPrefix(m.Subject, r.core.prefix)
	key, mine, err := r.core.keyOf(raw)
	switch {
	case !mine:
		return Change[T]{}, false, nil
	case err != nil:
		// No method of a bucket could name the key, so no user of this package wrote it or can read it.
		r.core.log.Warn("kv: a key that another client wrote is skipped, because this package would escape it",
			"operation", r.op, "key", raw, "revision", m.Sequence, "error", err)
		return Change[T]{}, false, nil
	case deleted(m.Header):
		return Change[T]{Entry: Entry[T]{Key: key, Revision: m.Sequence, Time: m.Time}, Deleted: true}, true, nil
	}
	change.Entry, err = decode[T](r.core, r.op, key, m)
	return change, true, err
}

// iterError returns the error that an iterator ends with.
func (c *core) iterError(ctx context.Context, op string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return &Error{Op: op, Bucket: c.bucket, Err: cause}
	}
	return c.readError(op, "", err)
}
