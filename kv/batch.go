package kv

import (
	"context"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// MaxBatch asks the server how many writes it takes in one batch, and returns 1000, or less if the operator has set
// less. The error matches ErrNoBucket, ErrRefused or ErrUnavailable.
func (b *Bucket[T]) MaxBatch(ctx context.Context) (int, error) {
	c := b.core
	probed := c.prefix + "=" // which no key has
	limit, err := c.client.BatchLimit(ctx, probed, c.timeout/2)
	if err != nil && jsapi.Disallowed(err) {
		if err = c.allowBatches(ctx); err == nil {
			limit, err = c.client.BatchLimit(ctx, probed, c.timeout/2)
		}
	}
	err = c.confirmed(ctx, c.absent(ctx, err))
	if err != nil {
		return 0, c.readError("max batch", "", err)
	}
	return limit, nil
}

// Batch collects writes of documents. Commit stores all of them or none. A Batch is used by one goroutine at a time.
//
// The methods that collect return nothing. If a document cannot be encoded, or a write is not allowed, Commit
// returns the error of the first such write and stores nothing.
type Batch[T any] struct {
	core   *core
	writes *writes
}

// writes is a batch without the type of its documents.
type writes struct {
	core    *core
	list    []write
	written map[string]bool // the subjects that the list writes
	err     error           // the first
}

// Batch returns an empty batch. It asks no server and needs no Close.
func (b *Bucket[T]) Batch() *Batch[T] {
	return &Batch[T]{core: b.core, writes: &writes{core: b.core, written: make(map[string]bool)}}
}

// Put adds that value is stored under key, whatever is there. If the batch puts a key several times, the last value
// counts.
func (t *Batch[T]) Put(key string, value T) {
	t.put("batch put", key, &value, unconditional())
}

// Create adds that value is stored under key, on condition that there is no document. The batch must not have
// written the key before.
func (t *Batch[T]) Create(key string, value T) {
	t.put("batch create", key, &value, expect(0))
}

// Update adds that value is stored under key, on condition that the document is at the given revision, 0 for no
// document. The batch must not have written the key before.
func (t *Batch[T]) Update(key string, value T, revision uint64) {
	t.put("batch update", key, &value, expect(revision))
}

// Delete adds that the document under key is removed, if there is one.
func (t *Batch[T]) Delete(key string) { t.remove(key, unconditional()) }

// DeleteRevision adds that the document under key is removed, on condition that it is at the given revision, which must
// not be 0. The batch must not have written the key before.
func (t *Batch[T]) DeleteRevision(key string, revision uint64) { t.remove(key, expect(revision)) }

// Len returns the number of writes that were collected.
func (t *Batch[T]) Len() int { return len(t.writes.list) }

// Commit stores all writes or none, next to each other and in their order. It returns the revision of the last one.
// The write before has that revision minus 1, and so on. A batch must not be used again after its Commit. It blocks
// until the server has answered, ctx ends or Config.Timeout has passed.
//
// It returns the error of a write that could not be collected, or one that matches ErrConflict, ErrBatchTooLarge,
// ErrTooLarge, ErrFull, ErrNoBucket, ErrRefused or ErrUnavailable. Nothing is stored then. A conflict is a
// *ConflictError with the first key whose condition does not hold. An empty batch is an error, because it has no
// revision.
//
// After an error that matches ErrUnknownOutcome the batch is stored whole or not at all, now or later, unless an
// account reaches its limit: see Caveats. To find out, read with GetLeader a document that no other batch writes as
// this one does.
//
// GetMany and reads of single documents never see a part of a batch. A List and a Watch may.
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

// add takes a write. If err is not nil, it says why there is none.
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
