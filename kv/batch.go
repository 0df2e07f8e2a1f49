package kv

import (
	"context"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// MaxBatch asks the server how many writes it takes in one batch, and returns 1000, or less if the operator has set less.
// The error matches ErrRefused or ErrUnavailable.
func (b *Bucket[T]) MaxBatch(ctx context.Context) (int, error) {
	c := b.core
	limit, err := c.client.BatchLimit(ctx, c.prefix+"=", c.timeout/2)
	if err != nil && jsapi.Disallowed(err) {
		if err = c.allowBatches(ctx); err == nil {
			limit, err = c.client.BatchLimit(ctx, c.prefix+"=", c.timeout/2)
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
	core   *core
	writes *writes
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
	return &Batch[T]{core: b.core, writes: &writes{core: b.core, written: make(map[string]bool)}}
}

// Put adds that value is stored under key, whatever is there. Of several writes of a key the last counts.
func (t *Batch[T]) Put(key string, value T) {
	t.put("batch put", key, &value, unconditional())
}

// Create adds that value is stored under key, on condition that there is no document.
func (t *Batch[T]) Create(key string, value T) {
	t.put("batch create", key, &value, expect(0))
}

// Update adds that value is stored under key, on condition that the document is at the given revision, 0 for none. The
// batch must not have written the key before.
func (t *Batch[T]) Update(key string, value T, revision uint64) {
	t.put("batch update", key, &value, expect(revision))
}

// Delete adds that the document under key is removed, if there is one.
func (t *Batch[T]) Delete(key string) { t.remove(key, unconditional()) }

// DeleteRevision adds that the document under key is removed, on condition that it is at the given revision, which is
// not 0. The batch must not have written the key before.
func (t *Batch[T]) DeleteRevision(key string, revision uint64) { t.remove(key, expect(revision)) }

func (t *Batch[T]) put(op, key string, pointer any, expected expectation) {
	if t.writes.err == nil {
		w, err := t.core.newWrite(op, key, pointer, expected)
		t.writes.add(op, w, err)
	}
}

func (t *Batch[T]) remove(key string, expected expectation) {
	w, err := t.core.newDeletion("batch delete", key, expected)
	t.writes.add("batch delete", w, err)
}

// Len is the number of writes collected.
func (t *Batch[T]) Len() int { return len(t.writes.list) }

// Commit stores all writes or none, next to each other and in their order, and gives the revision of the last; the one
// before has that minus 1, and so on. A batch must not be used again after its Commit.
//
// Nothing is stored when it ends with the error of a write that was collected, ErrBatchTooLarge,
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
		return 0, &Error{Op: "commit", Bucket: w.core.bucket, Err: errEmptyBatch}
	case len(w.list) > jsapi.MaxBatch:
		return 0, &Error{Op: "commit", Bucket: w.core.bucket, Reason: ErrBatchTooLarge}
	}
	return w.core.commit(ctx, "commit", w.list)
}

// add takes a write, unless err says why there is none.
func (w *writes) add(op string, one write, err error) {
	if err == nil && one.conditional() && w.written[one.subject] {
		err = &Error{Op: op, Bucket: w.core.bucket, Key: one.key, Err: errRepeatedKey}
	}
	if w.fail(err); w.err != nil {
		return
	}
	w.written[one.subject] = true
	w.list = append(w.list, one)
}

// fail keeps the first error.
func (w *writes) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}
