package kv

import (
	"context"
	"iter"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// Cell is one document of a type of its own beside the keys of a bucket: a checkpoint, a setting, a lease. List and Watch
// of the bucket do not show it, and no key can name it. It is written in the same batches, so it and the documents
// always agree. It is safe for concurrent use.
type Cell[U any] struct {
	core    *core
	key     string // "=" and the name, as errors show it
	subject string
}

// NewCell gives the cell of that name, which need not be stored yet, in a bucket of any type: the type of the cell alone
// is spelled, as in kv.NewCell[Checkpoint](bucket, "checkpoint"). The name begins with a lower-case letter and has at
// most 64 lower-case letters, digits, - or _; else the error is ErrInvalidName. The cell uses the bucket's codec and is
// closed with it. The error is ErrEncode if the codec would lose something of U.
func NewCell[U, T any](bucket *Bucket[T], name string) (*Cell[U], error) {
	key := cellMark + name
	if !validCell(name) {
		return nil, &Error{Op: "new cell", Bucket: bucket.core.bucket, Key: key, Reason: ErrInvalidName}
	}
	docs, err := documentsOf[U](bucket.core.codec)
	if err != nil {
		return nil, &Error{Op: "new cell", Bucket: bucket.core.bucket, Key: key, Reason: ErrEncode, Err: err}
	}
	return &Cell[U]{core: bucket.core.of(docs), key: key, subject: bucket.core.prefix + key}, nil
}

// Get is [Bucket.Get] for the cell: any replica may answer, a few milliseconds late.
func (c *Cell[U]) Get(ctx context.Context) (Entry[U], error) {
	return readSubject[U](ctx, c.core, c.key, c.subject, c.core.direct)
}

// GetLeader is [Bucket.GetLeader] for the cell: it sees every write that was acknowledged before.
func (c *Cell[U]) GetLeader(ctx context.Context) (Entry[U], error) {
	return readSubject[U](ctx, c.core, c.key, c.subject, c.core.leader)
}

// Into makes [Bucket.GetBeside] read the cell into an entry.
func (c *Cell[U]) Into(entry *Entry[U]) Beside {
	return into[U]{core: c.core, key: c.key, shown: c.key, subject: c.subject, entry: entry}
}

// into reads a cell into an entry.
type into[U any] struct {
	core    *core
	key     string // as errors show it
	shown   string // as the entry has it
	subject string
	err     error // why the subject is none
	entry   *Entry[U]
}

func (i into[U]) where() (string, error) { return i.subject, i.err }

func (i into[U]) take(m jsapi.Message) (err error) {
	*i.entry, err = decode[U](i.core, "get", i.key, m)
	i.entry.Key = i.shown
	return err
}

// Put is [Bucket.Put] for the cell.
func (c *Cell[U]) Put(ctx context.Context, value U) (revision uint64, err error) {
	return c.core.writeSubject(ctx, "put", c.key, c.subject, &value, unconditional())
}

// Update is [Bucket.Update] for the cell: revision 0 stands for a cell that is not stored yet.
func (c *Cell[U]) Update(ctx context.Context, value U, revision uint64) (uint64, error) {
	return c.core.writeSubject(ctx, "update", c.key, c.subject, &value, expect(revision))
}

// UpdateIn adds to a batch of the cell's bucket that value is stored in the cell, on condition that it is at the given
// revision, 0 for not stored yet. A batch of another bucket fails with ErrOtherBucket when it is committed.
func (c *Cell[U]) UpdateIn(batch Joinable, value U, revision uint64) {
	w := batch.collected()
	var err error
	if w.core.stream != c.core.stream {
		err = &Error{Op: "batch update", Bucket: c.core.bucket, Key: c.key, Reason: ErrOtherBucket}
	}
	w.put(c.core, "batch update", c.key, c.subject, &value, expect(revision), err)
}

// Watch is [Bucket.Watch] for the cell: its present value if it has one, a change that is Synced, and then what follows.
func (c *Cell[U]) Watch(ctx context.Context) iter.Seq2[Change[U], error] {
	w := watch[U]{core: c.core, op: "watch", key: func(string) (string, bool, error) { return c.key, true, nil }}
	return func(yield func(Change[U], error) bool) { w.run(ctx, []string{c.subject}, yield) }
}
