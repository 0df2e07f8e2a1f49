package kv

import (
	"context"
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
// Every document that is there during the whole List is given. The List is not of one point in time: a document that is
// written meanwhile may be given again with its newer value, and of an atomic batch a part may be seen; use GetMany where
// that matters. It ends when the bucket's leader has no more, as GetLeader would ask it, so it takes longer in a bucket that is
// written all the time.
func (b *Bucket[T]) List(ctx context.Context, patterns ...string) iter.Seq2[Entry[T], error] {
	return func(yield func(Entry[T], error) bool) {
		for change, err := range b.watch(ctx, "list", patterns) {
			switch {
			case err != nil:
				yield(Entry[T]{}, err)
				return
			case change.Synced:
				return
			case change.Deleted:
			case !yield(change.Entry, nil):
				return
			}
		}
	}
}

// Watch gives the documents as List does, with the markers of deletions, then one change that is Synced, and from then on
// each change until ctx ends, when it gives the cause of that as its one error. A range statement may be left at any
// time.
//
// It goes on by itself after a lost connection, a restart of the server and a change of leader. A key that is written
// several times while the reader is busy or disconnected may be given only with its newest value, but that is never
// left out, and revisions only rise. A Watch ends with an error where it cannot begin, where the bucket is deleted,
// where the connection is closed for good, and at a document that is not of the bucket's type (ErrDecode).
func (b *Bucket[T]) Watch(ctx context.Context, patterns ...string) iter.Seq2[Change[T], error] {
	return b.watch(ctx, "watch", patterns)
}

func (b *Bucket[T]) watch(ctx context.Context, op string, patterns []string) iter.Seq2[Change[T], error] {
	return func(yield func(Change[T], error) bool) {
		subjects, err := b.core.subjects(op, patterns)
		if err != nil {
			yield(Change[T]{}, err)
			return
		}
		w := watch[T]{core: b.core, op: op, key: documentKey}
		w.run(ctx, subjects, yield)
	}
}

// documentKey decodes a KV key. Cells are none of the bucket's documents.
func documentKey(raw string) (key string, mine bool, err error) {
	if isCell(raw) {
		return "", false, nil
	}
	key, err = token.DecodeKey(raw)
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
		subjects[i] = c.prefix + raw
	}
	return subjects, nil
}

// watch turns the bucket's messages into changes.
type watch[T any] struct {
	core *core
	op   string
	// key decodes a KV key, and says of one that is not to be given that it is not mine.
	key func(raw string) (key string, mine bool, err error)
}

func (w watch[T]) run(ctx context.Context, subjects []string, yield func(Change[T], error) bool) {
	for event, err := range w.core.feed(ctx, w.op, subjects) {
		var change Change[T]
		mine := true
		switch {
		case err != nil:
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

func (w watch[T]) change(m jsapi.Message) (change Change[T], mine bool, err error) {
	raw := strings.TrimPrefix(m.Subject, w.core.prefix)
	key, mine, err := w.key(raw)
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
