package kv

import (
	"context"
	"iter"
	"strings"

	"github.com/runnel-go/runnel/internal/token"
)

// Cells are documents of a type of their own beside those of a bucket, each under a key of its own: what there is to say
// about documents and is not part of them. Like a [Cell] they are written in the batches of the bucket, and its List and
// Watch do not show them:
//
//	cells "parked", key "42"      subject $KV.balances.=parked.42
//
// Cells are safe for concurrent use.
type Cells[U any] struct {
	core *core
	name string // "=" and the name, as errors show it before the key
}

// NewCells gives the cells of that name in a bucket of any type, under the conditions of [NewCell].
func NewCells[U, T any](bucket *Bucket[T], name string) (*Cells[U], error) {
	key := cellMark + name
	if !validCell(name) {
		return nil, &Error{Op: "new cells", Bucket: bucket.core.bucket, Key: key, Reason: ErrInvalidName}
	}
	docs, err := documentsOf[U](bucket.core.codec)
	if err != nil {
		return nil, &Error{Op: "new cells", Bucket: bucket.core.bucket, Key: key, Reason: ErrEncode, Err: err}
	}
	return &Cells[U]{core: bucket.core.of(docs), name: key}, nil
}

// subject gives the subject of a key and how errors show it.
func (c *Cells[U]) subject(op, key string) (subject, shown string, err error) {
	shown = c.name + "." + key
	encoded, err := token.EncodeKey(key)
	if err != nil {
		return "", shown, &Error{Op: op, Bucket: c.core.bucket, Key: shown, Reason: ErrInvalidKey, Err: err}
	}
	return c.core.prefix + c.name + "." + encoded, shown, nil
}

// GetLeader is [Bucket.GetLeader] for one of the cells. The entry's key is that of the cell, without the name of the cells.
func (c *Cells[U]) GetLeader(ctx context.Context, key string) (Entry[U], error) {
	subject, shown, err := c.subject("get", key)
	if err != nil {
		return Entry[U]{}, err
	}
	entry, err := readSubject[U](ctx, c.core, shown, subject, c.core.leader)
	entry.Key = key
	return entry, err
}

// Into makes [Bucket.GetBeside] read one of the cells into an entry.
func (c *Cells[U]) Into(key string, entry *Entry[U]) Beside {
	subject, shown, err := c.subject("get", key)
	return into[U]{core: c.core, key: shown, shown: key, subject: subject, err: err, entry: entry}
}

// Update is [Bucket.Update] for one of the cells.
func (c *Cells[U]) Update(ctx context.Context, key string, value U, revision uint64) (uint64, error) {
	subject, shown, err := c.subject("update", key)
	if err != nil {
		return 0, err
	}
	return c.core.writeSubject(ctx, "update", shown, subject, &value, expect(revision))
}

// Delete is [Bucket.Delete] for one of the cells.
func (c *Cells[U]) Delete(ctx context.Context, key string) error {
	subject, shown, err := c.subject("delete", key)
	if err != nil {
		return err
	}
	w := newWrite(shown, subject, nil, unconditional())
	w.deletion = true
	_, err = c.core.commit(ctx, "delete", []write{w})
	return err
}

// PutIn adds to a batch of the cells' bucket that value is stored under key, whatever is there. A batch of another bucket
// fails with ErrOtherBucket when it is committed.
func (c *Cells[U]) PutIn(batch Joinable, key string, value U) {
	w := batch.collected()
	subject, shown, err := c.subject("batch put", key)
	w.put(c.core, "batch put", shown, subject, &value, unconditional(), c.joins(w, shown, err))
}

// UpdateIn adds that value is stored under key, on condition that the cell is at the given revision, 0 for none.
func (c *Cells[U]) UpdateIn(batch Joinable, key string, value U, revision uint64) {
	w := batch.collected()
	subject, shown, err := c.subject("batch update", key)
	w.put(c.core, "batch update", shown, subject, &value, expect(revision), c.joins(w, shown, err))
}

// DeleteIn adds that the cell under key is removed, on condition that it is at the given revision.
func (c *Cells[U]) DeleteIn(batch Joinable, key string, revision uint64) {
	w := batch.collected()
	subject, shown, err := c.subject("batch delete", key)
	one := newWrite(shown, subject, nil, expect(revision))
	one.deletion = true
	w.add("batch delete", one, c.joins(w, shown, err))
}

func (c *Cells[U]) joins(w *writes, shown string, err error) error {
	if err == nil && w.core.stream != c.core.stream {
		err = &Error{Op: "batch", Bucket: c.core.bucket, Key: shown, Reason: ErrOtherBucket}
	}
	return err
}

// List is [Bucket.List] for the cells.
func (c *Cells[U]) List(ctx context.Context) iter.Seq2[Entry[U], error] {
	return func(yield func(Entry[U], error) bool) { c.read("list").list(ctx, c.filters(), yield) }
}

// Watch is [Bucket.Watch] for the cells.
func (c *Cells[U]) Watch(ctx context.Context) iter.Seq2[Change[U], error] {
	return func(yield func(Change[U], error) bool) { c.read("watch").run(ctx, c.filters(), yield) }
}

func (c *Cells[U]) read(op string) watch[U] {
	return watch[U]{core: c.core, op: op, key: func(raw string) (string, bool, error) {
		key, err := token.DecodeKey(strings.TrimPrefix(raw, c.name+"."))
		return key, true, err
	}}
}

func (c *Cells[U]) filters() []string { return []string{c.core.prefix + c.name + ".>"} }
