package kv

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// Put stores value under key, whatever is there, and returns its revision. It blocks until the server has answered, ctx
// ends or Config.Timeout has passed.
//
// It returns an error that matches ErrInvalidKey, ErrEncode, ErrTooLarge, ErrFull, ErrNoBucket, ErrRefused or
// ErrUnavailable, and nothing is stored then. After an error that matches ErrUnknownOutcome the value may be stored or
// not.
func (b *Bucket[T]) Put(ctx context.Context, key string, value T) (revision uint64, err error) {
	return b.core.put(ctx, "put", key, &value, unconditional())
}

// Create stores value under key if there is no document, and returns its revision. A deleted document does not
// count. Of several calls at the same time exactly one succeeds. Create fails like [Bucket.Put], and with an error
// that matches ErrConflict if the document exists.
func (b *Bucket[T]) Create(ctx context.Context, key string, value T) (revision uint64, err error) {
	return b.core.put(ctx, "create", key, &value, expect(0))
}

// Update stores value under key if the document is at the given revision, and returns the new revision. Revision 0
// means that there must be no document, as for Create. The revision of a deletion, which a Watch returns, means that
// nothing was written since. Update fails like [Bucket.Put], and with an error that matches ErrConflict if the
// document is at another revision.
func (b *Bucket[T]) Update(ctx context.Context, key string, value T, revision uint64) (uint64, error) {
	return b.core.put(ctx, "update", key, &value, expect(revision))
}

// Delete removes the document under key. It returns no error if there is none. A small marker stays in the bucket,
// so that a Watch sees the deletion. Delete fails like [Bucket.Put].
func (b *Bucket[T]) Delete(ctx context.Context, key string) error {
	return b.core.remove(ctx, key, unconditional())
}

// DeleteRevision removes the document under key if it is at the given revision, which must not be 0. It fails like
// [Bucket.Put], and with an error that matches ErrConflict if the document is at another revision.
func (b *Bucket[T]) DeleteRevision(ctx context.Context, key string, revision uint64) error {
	return b.core.remove(ctx, key, expect(revision))
}

// expectation is the revision at which a write demands the document to be, 0 for no document. The zero expectation
// demands nothing.
type expectation struct {
	revision uint64
	demanded bool
}

func unconditional() expectation { return expectation{} }

func expect(revision uint64) expectation { return expectation{revision: revision, demanded: true} }

// write is one write on its way into the bucket.
type write struct {
	key      string // as errors show it
	subject  string
	expected expectation // of the caller
	// sequence is what the server is told to expect. It differs from expected if no document is expected and the
	// marker of a deletion is there.
	sequence uint64
	deletion bool
	data     []byte
}

// newWrite returns the write that stores the document that a pointer points to.
func (c *core) newWrite(op, key string, pointer any, expected expectation) (write, error) {
	subject, err := c.subject(op, key)
	if err != nil {
		return write{}, err
	}
	data, err := c.encode(op, key, pointer)
	return write{key: c.place + key, subject: subject, data: data, expected: expected, sequence: expected.revision}, err
}

// newDeletion returns the write that deletes the document under a key.
func (c *core) newDeletion(op, key string, expected expectation) (write, error) {
	subject, err := c.subject(op, key)
	if err == nil && expected == expect(0) {
		err = &Error{Op: op, Bucket: c.bucket, Key: c.place + key, Err: errZeroRevision}
	}
	return write{key: c.place + key, subject: subject, deletion: true, expected: expected, sequence: expected.revision}, err
}

// put stores the document that a pointer points to.
func (c *core) put(ctx context.Context, op, key string, pointer any, expected expectation) (uint64, error) {
	w, err := c.newWrite(op, key, pointer, expected)
	if err != nil {
		return 0, err
	}
	return c.commit(ctx, op, []write{w})
}

// remove deletes the document under a key.
func (c *core) remove(ctx context.Context, key string, expected expectation) error {
	w, err := c.newDeletion("delete", key, expected)
	if err != nil {
		return err
	}
	_, err = c.commit(ctx, "delete", []write{w})
	return err
}

func (w write) conditional() bool { return w.expected.demanded }

// message builds a new message for each try, because sending adds headers to it. The id is empty in a batch.
func (w write) message(id string) jsapi.Write {
	header := make(nats.Header, 4)
	if w.deletion {
		header[headerOperation] = []string{operationDelete}
	}
	if id != "" {
		header[headerWriteID] = []string{id}
	}
	return jsapi.Write{
		Subject: w.subject, Expected: w.sequence, Unconditional: !w.conditional(), Header: header, Data: w.data,
	}
}

// headerWriteID tells two writes of the same bytes apart when the leader is asked whether one of them is stored.
const headerWriteID = "Runnel-Write-Id"

// The sizes of the headers of a write in bytes. The server counts them as part of the message.
const (
	headerLine   = len(": \r\n")
	headerFrame  = len("NATS/1.0\r\n\r\n")
	headerID     = len(headerWriteID) + 26 + headerLine // of rand.Text
	headerDelete = len(headerOperation) + len(operationDelete) + headerLine
	headerExpect = len(jetstream.ExpectedLastSubjSeqHeader) + 20 + headerLine // the longest sequence has 20 digits
	headersBatch = len(jsapi.HeaderBatchID) + 36 + headerLine + len(jsapi.HeaderBatchSequence) + 4 + headerLine +
		len(jsapi.HeaderBatchCommit) + 1 + headerLine

	maxOverhead = headerFrame + headerDelete + headerExpect + headersBatch
)

// overhead returns how many bytes a message has beside its value.
func (w write) overhead(batched bool) int {
	size := headerFrame + headerID
	if batched {
		size = headerFrame + headersBatch
	}
	if w.conditional() {
		size += headerExpect
	}
	if w.deletion {
		size += headerDelete
	}
	return size
}

// checkSizes refuses a value that is larger than the bucket's settings allow.
func (c *core) checkSizes(ctx context.Context, op string, writes []write) error {
	for _, w := range writes {
		if err := c.checkSize(ctx, op, w, w.overhead(len(writes) > 1)); err != nil {
			return err
		}
	}
	return nil
}

// checkSize refuses a write whose value is larger than the bucket's settings allow with so many bytes beside it. Before
// it refuses, it reads the settings again, because the limit may have been raised.
func (c *core) checkSize(ctx context.Context, op string, w write, beside int) error {
	if _, fits := c.fits(w, beside); fits {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errTimeout)
	defer cancel()
	if info, err := c.client.StreamInfo(ctx, c.stream); err == nil {
		c.maxSize.Store(int64(info.Config.MaxMsgSize))
	}
	if limit, fits := c.fits(w, beside); !fits {
		return c.tooLarge(op, w.key, len(w.data), limit)
	}
	return nil
}

// fits reports whether a value is within the known limit, less so many bytes, and returns the limit.
func (c *core) fits(w write, beside int) (limit int, fits bool) {
	size := int(c.maxSize.Load())
	return size - beside, size <= 0 || len(w.data) <= size-beside
}
