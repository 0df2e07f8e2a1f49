package kv

import (
	"context"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// MaxBatch is the most writes a batch can have: the server's default limit. An operator may set less: see [Bucket.MaxBatch].
const MaxBatch = jsapi.MaxBatch

// MaxBatch asks the server how many writes it takes in one batch: the constant [MaxBatch], or less where the operator has set
// less. It ends as Put does.
func (b *Bucket[T]) MaxBatch(ctx context.Context) (int, error) {
	c := b.core
	limit, err := c.client.BatchLimit(ctx, c.prefix+cellMark, c.timeout/2)
	if err != nil && jsapi.Disallowed(err) {
		if err = c.allowBatches(ctx); err == nil {
			limit, err = c.client.BatchLimit(ctx, c.prefix+cellMark, c.timeout/2)
		}
	}
	if err != nil {
		return 0, c.readError("max batch", "", err)
	}
	return limit, nil
}

// Batch collects writes of documents, and of cells, that are stored all together or not at all. It is used by one
// goroutine at a time.
//
// The first write that cannot be encoded, or is not allowed, makes Commit fail with its error; the batch is of no more
// use then. So the methods that collect return nothing, and nothing is left out silently.
type Batch[T any] struct {
	writes *writes
}

// Joinable is a batch of any bucket, as [Cell.UpdateIn] takes it. Only *Batch implements it.
type Joinable interface {
	collected() *writes
}

// writes is a batch without the type of its documents.
type writes struct {
	core    *core
	list    []write
	written map[string]bool // subjects, with what the list writes
	err     error           // the first
}

// Batch begins an empty batch. It holds nothing on the server.
func (b *Bucket[T]) Batch() *Batch[T] {
	return &Batch[T]{writes: &writes{core: b.core, written: make(map[string]bool)}}
}

func (t *Batch[T]) collected() *writes { return t.writes }

// Put adds that value is stored under key, whatever is there. Of several writes of a key the last counts.
func (t *Batch[T]) Put(key string, value T) {
	t.writes.putKey("batch put", key, &value, unconditional())
}

// Create adds that value is stored under key, on condition that there is no document.
func (t *Batch[T]) Create(key string, value T) {
	t.writes.putKey("batch create", key, &value, expect(0))
}

// Update adds that value is stored under key, on condition that the document is at the given revision, 0 for none. The
// batch must not have written the key before.
func (t *Batch[T]) Update(key string, value T, revision uint64) {
	t.writes.putKey("batch update", key, &value, expect(revision))
}

// Delete adds that the document under key is removed, if there is one.
func (t *Batch[T]) Delete(key string) {
	subject, err := t.writes.core.subject("batch delete", key)
	w := newWrite(key, subject, nil, unconditional())
	w.deletion = true
	t.writes.add("batch delete", w, err)
}

// Len is the number of writes collected.
func (t *Batch[T]) Len() int { return len(t.writes.list) }

// Commit stores all writes or none, next to each other and in their order, and gives the revision of the last; the one
// before has that minus 1, and so on. A batch must not be used again after its Commit.
//
// Nothing is stored when it ends with the error of a write that was collected, ErrBatchTooLarge, ErrEmptyBatch,
// a *ConflictError with the first key whose condition does not hold, ErrTooLarge, ErrFull, ErrRefused or ErrUnavailable.
// With ErrUnknownOutcome the batch is stored whole or not at all, now or later, and Commit has not sent it again:
// read a document that the batch makes unmistakable, through the leader, to find out.
//
// Readers of single documents and GetMany never see a part of a batch, List and Watch may.
func (t *Batch[T]) Commit(ctx context.Context) (revision uint64, err error) {
	w := t.writes
	switch {
	case w.err != nil:
		return 0, w.err
	case len(w.list) == 0:
		return 0, &Error{Op: "commit", Bucket: w.core.bucket, Reason: ErrEmptyBatch}
	case len(w.list) > MaxBatch:
		return 0, &Error{Op: "commit", Bucket: w.core.bucket, Reason: ErrBatchTooLarge}
	}
	return w.core.commit(ctx, "commit", w.list)
}

func (w *writes) putKey(op, key string, pointer any, expected expectation) {
	subject, err := w.core.subject(op, key)
	w.put(w.core, op, key, subject, pointer, expected, err)
}

// put adds a document of the bucket, or of a cell, to which a pointer points. If err says why there is no subject, the batch
// fails.
func (w *writes) put(of *core, op, key, subject string, pointer any, expected expectation, err error) {
	if w.err != nil {
		return
	}
	var data []byte
	if err == nil {
		data, err = of.encode(op, key, pointer)
	}
	w.add(op, newWrite(key, subject, data, expected), err)
}

func (w *writes) add(op string, one write, err error) {
	if err == nil && one.conditional() && w.written[one.subject] {
		err = &Error{Op: op, Bucket: w.core.bucket, Key: one.key, Reason: ErrRepeatedKey}
	}
	if w.err == nil {
		w.err = err
	}
	if w.err != nil {
		return
	}
	w.written[one.subject] = true
	w.list = append(w.list, one)
}
