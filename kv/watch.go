package kv

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/token"
)

// Change is what a Watch gives: a document, a deletion, or the news that the present state is complete.
type Change[T any] struct {
	Entry[T]
	// Deleted says that there is no document under Key any more; Value is the zero value. The key may be one that the
	// Watch has not given before.
	Deleted bool
	// Synced says, once in a Watch, that everything that was in the bucket at this moment has been given. Such a change
	// has no key.
	Synced bool
}

// List gives the documents that match one of the patterns, or all of them where there is none, least recently written
// first. It ends after the last, or with one error.
//
// A pattern is a key in which a level may be *, for any one level, and the last level may be >, for one or more. An empty
// pattern, one that is longer than any key, and two patterns of which one matches all that the other does are refused with
// ErrInvalidKey. A key that another client wrote in a form that this package does not use, such as "a/b", is passed over,
// and Config.Logger is told.
//
// A List gives every document that is there during the whole of it, and everything that was acknowledged before it
// began. Up to 1024 documents, deleted ones included, that together have less than 8 MiB are given as they were at one
// point in time, and an atomic batch is seen whole or not at all. A longer List is not of one point in time: a document
// that is written meanwhile may be given again with its newer value, and of an atomic batch a part may be seen; use
// GetMany if that matters.
//
// Any replica answers, and the leader is asked whether it has more. A List of 20,000 documents or more reads through a
// consumer, as a Watch does; others hold nothing on the servers. What it asks is asked again while there is no leader
// or no connection, each time until Config.Timeout has passed: then it ends with ErrUnavailable. It ends with
// ErrNoBucket if the bucket was deleted.
func (b *Bucket[T]) List(ctx context.Context, patterns ...string) iter.Seq2[Entry[T], error] {
	return func(yield func(Entry[T], error) bool) {
		subjects, err := b.core.subjects("list", patterns)
		if err != nil {
			yield(Entry[T]{}, err)
			return
		}
		w := watch[T]{core: b.core, op: "list"}
		w.list(ctx, subjects, yield)
	}
}

// Watch gives the documents as List does, with the markers of deletions, then one change that is Synced, and from then on
// each change until ctx ends, when it gives the cause of that as its one error. A range statement may be left at any
// time.
//
// It goes on by itself after a lost connection, a restart of the server and a change of leader. A key that is written
// several times while the reader is busy or disconnected may be given only with its newest value, but that is never
// left out, and revisions only rise. A Watch waits as long as it takes for servers that do not answer, also when it begins, and
// tells Config.Logger. It ends with an error if the bucket was deleted (ErrNoBucket), the server refuses it (ErrRefused), the
// connection is closed for good (ErrUnavailable), or a document is not of the bucket's type (ErrDecode).
func (b *Bucket[T]) Watch(ctx context.Context, patterns ...string) iter.Seq2[Change[T], error] {
	return func(yield func(Change[T], error) bool) {
		subjects, err := b.core.subjects("watch", patterns)
		if err != nil {
			yield(Change[T]{}, err)
			return
		}
		w := watch[T]{core: b.core, op: "watch"}
		w.run(ctx, subjects, yield)
	}
}

// keyOf decodes the KV key of a message. It is not mine if it is of a document beside the bucket's.
func (c *core) keyOf(raw string) (key string, mine bool, err error) {
	if c.place == "" && isBeside(raw) {
		return "", false, nil
	}
	key, err = token.DecodeKey(strings.TrimPrefix(raw, c.place))
	return key, true, err
}

// subjects gives what to read for patterns of keys.
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
					Err: fmt.Errorf("of the patterns %q and %q one matches all that the other does: leave that one out", patterns[j], pattern)}
			}
		}
	}
	return subjects, nil
}

// watch turns the bucket's messages into changes.
type watch[T any] struct {
	core *core
	op   string
}

func (w watch[T]) run(ctx context.Context, subjects []string, yield func(Change[T], error) bool) {
	for event, err := range w.core.feed(ctx, w.op, subjects) {
		var change Change[T]
		mine := true
		switch {
		case err != nil:
			err = w.core.iterError(ctx, w.op, err)
		case event.synced:
			change.Synced = true
		default:
			change, mine, err = w.change(event.message)
		}
		if mine && !yield(change, err) || err != nil {
			return
		}
	}
}

// list gives the documents that there are.
func (w watch[T]) list(ctx context.Context, subjects []string, yield func(Entry[T], error) bool) {
	for message, err := range w.core.list(ctx, w.op, subjects) {
		if err != nil {
			yield(Entry[T]{}, w.core.iterError(ctx, w.op, err))
			return
		}
		change, mine, err := w.change(message)
		if err != nil {
			yield(Entry[T]{}, err)
			return
		}
		if mine && !change.Deleted && !yield(change.Entry, nil) {
			return
		}
	}
}

func (w watch[T]) change(m jsapi.Message) (change Change[T], mine bool, err error) {
	raw := strings.TrimPrefix(m.Subject, w.core.prefix)
	key, mine, err := w.core.keyOf(raw)
	switch {
	case !mine:
		return Change[T]{}, false, nil
	case err != nil:
		// No method of a bucket could name it, so nobody who uses this package wrote it or can read it.
		w.core.log.Warn("kv: a key that another client wrote is passed over, since it is not in the form of this package",
			"operation", w.op, "key", raw, "revision", m.Sequence, "error", err)
		return Change[T]{}, false, nil
	case deleted(m.Header):
		return Change[T]{Entry: Entry[T]{Key: key, Revision: m.Sequence, Time: m.Time}, Deleted: true}, true, nil
	}
	change.Entry, err = decode[T](w.core, w.op, key, m)
	return change, true, err
}
