package kv

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// Put stores value under key, whatever is there, and gives its revision. It ends with ErrInvalidKey, ErrEncode,
// ErrTooLarge, ErrFull, ErrRefused or ErrUnavailable, and nothing is stored then; or with ErrUnknownOutcome.
func (b *Bucket[T]) Put(ctx context.Context, key string, value T) (revision uint64, err error) {
	return b.core.put(ctx, "put", key, &value, unconditional())
}

// Create stores value under key where there is no document, which includes a deleted one, and gives its revision. It
// ends as Put does, or with a *ConflictError. Of several at once exactly one succeeds.
func (b *Bucket[T]) Create(ctx context.Context, key string, value T) (revision uint64, err error) {
	return b.core.put(ctx, "create", key, &value, expect(0))
}

// Update stores value under key where the document is at the given revision, and gives the new one. Revision 0 stands
// for no document, as in Create; the revision of a deletion, which Watch gives, for nothing written since. It ends as
// Put does, or with a *ConflictError that matches ErrConflict.
func (b *Bucket[T]) Update(ctx context.Context, key string, value T, revision uint64) (uint64, error) {
	return b.core.put(ctx, "update", key, &value, expect(revision))
}

// Delete removes the document under key. That there is none is no error. It ends as Put does.
//
// A marker stays in the bucket, so that a Watch sees the deletion.
func (b *Bucket[T]) Delete(ctx context.Context, key string) error {
	return b.core.remove(ctx, key, unconditional())
}

// DeleteRevision removes the document under key where it is at the given revision, which is not 0. It ends as Put does,
// or with a *ConflictError that matches ErrConflict.
func (b *Bucket[T]) DeleteRevision(ctx context.Context, key string, revision uint64) error {
	return b.core.remove(ctx, key, expect(revision))
}

// expectation is the revision that a write demands, 0 for no document. The zero expectation demands nothing.
type expectation struct {
	revision uint64
	demanded bool
}

// unconditional demands nothing.
func unconditional() expectation { return expectation{} }

func expect(revision uint64) expectation { return expectation{revision: revision, demanded: true} }

// write is one write on its way into the bucket.
type write struct {
	key      string // as the caller knows it
	subject  string
	expected expectation // as the caller said
	// sequence is what the server is told to expect. It differs from expected where a deletion's marker is under a key
	// that is expected to have no document.
	sequence uint64
	deletion bool
	data     []byte
}

func (w write) conditional() bool { return w.expected.demanded }

// message builds a new one for each try: sending adds headers to it. The id is empty in a batch.
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

// What the headers of a write take. The server counts them as part of the message.
const (
	headerLine   = len(": \r\n")
	headerFrame  = len("NATS/1.0\r\n\r\n")
	headerID     = len(headerWriteID) + 26 + headerLine // of rand.Text
	headerDelete = len(headerOperation) + len(operationDelete) + headerLine
	headerExpect = len(jetstream.ExpectedLastSubjSeqHeader) + 20 + headerLine // as long as a sequence can be
	headersBatch = len(headerBatchID) + 36 + headerLine + len(headerBatchSequence) + 4 + headerLine + len(headerBatchCommit) + 1 + headerLine

	maxOverhead = headerFrame + headerDelete + headerExpect + headersBatch
)

// overhead is how many bytes a write has beside its value.
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
func (c *core) checkSizes(op string, writes []write) error {
	if c.maxSize <= 0 {
		return nil
	}
	for _, w := range writes {
		if limit := c.maxSize - w.overhead(len(writes) > 1); len(w.data) > limit {
			return c.tooLarge(op, w.key, len(w.data), limit)
		}
	}
	return nil
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
	return write{key: c.place + key, subject: subject, deletion: true, expected: expected, sequence: expected.revision}, err
}

// one commits one write, unless err says why there is none.
func (c *core) one(ctx context.Context, op string, w write, err error) (uint64, error) {
	if err != nil {
		return 0, err
	}
	return c.commit(ctx, op, []write{w})
}

// put stores the document that a pointer points to.
func (c *core) put(ctx context.Context, op, key string, pointer any, expected expectation) (uint64, error) {
	w, err := c.newWrite(op, key, pointer, expected)
	return c.one(ctx, op, w, err)
}

// remove deletes the document under a key.
func (c *core) remove(ctx context.Context, key string, expected expectation) error {
	w, err := c.newDeletion("delete", key, expected)
	_, err = c.one(ctx, "delete", w, err)
	return err
}

// headerWriteID tells two writes of the same bytes apart when the outcome of one has to be looked up.
const headerWriteID = "Runnel-Write-Id"

// retry is the wait between tries of a write that was not stored: short at first, since most often another write of the
// same key is in flight or a new leader takes over.
var retry = backoff.Policy{Base: 4 * time.Millisecond, Max: 500 * time.Millisecond}

var errTimeout = errors.New("Config.Timeout has passed")

// commit stores one write, or several as an atomic batch, and gives the revision of the last.
//
//	answer         one write                                  batch
//	stored         done                                       done
//	conflict       read the leader: conflict, or again        read the leader: conflict, or again
//	unavailable    again                                      again
//	none           read the leader for the write's id, and    unknown outcome
//	               send again what is harmless
//	no batches     -                                          allow them, and again
//	full, refused  error                                      error
//
// After a try without an answer every later answer but a plain acknowledgement is looked up too: it may be about the
// first try.
func (c *core) commit(ctx context.Context, op string, writes []write) (uint64, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, &Error{Op: op, Bucket: c.bucket, Key: writes[0].key, Err: err}
	}
	if err := c.checkSizes(op, writes); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errTimeout)
	defer cancel()
	// A try gets half of the time, so that there is some left to look up what became of it.
	a := attempt{core: c, op: op, writes: writes}
	if len(writes) == 1 {
		a.id = rand.Text()
	}
	if err := c.disk.Failed(); err != nil {
		return 0, &Error{Op: op, Bucket: c.bucket, Key: writes[0].key, Reason: ErrUnavailable, Err: err}
	}
	if err := c.client.Other(); err != nil {
		return 0, &Error{Op: op, Bucket: c.bucket, Key: writes[0].key, Reason: ErrRefused, Err: err}
	}
	for try := 1; ; try++ {
		a.answer = c.client.PublishBatch(ctx, a.messages(), c.timeout/2)
		if a.answer.Class == jsapi.Stored {
			return a.stored(ctx, a.answer.Sequence)
		}
		revision, err := a.settle(ctx)
		if err != nil {
			return 0, err
		}
		if revision != 0 {
			return a.stored(ctx, revision)
		}
		if err := retry.Wait(ctx, try); err != nil {
			return 0, a.ended(err)
		}
	}
}

// attempt is a commit that goes through one or more tries.
type attempt struct {
	*core
	op      string
	writes  []write
	id      string // of a single write, to look its outcome up
	answer  jsapi.Answer
	inDoubt bool // a try had no answer, so it may be stored
	allowed bool // batches were allowed again on the way
}

func (a *attempt) messages() []jsapi.Write {
	messages := make([]jsapi.Write, len(a.writes))
	for i, w := range a.writes {
		messages[i] = w.message(a.id)
	}
	return messages
}

// stored waits until what is in the bucket is on disk: until then a power cut may take it away.
func (a *attempt) stored(ctx context.Context, revision uint64) (uint64, error) {
	if err := a.disk.Stored(ctx, revision); err != nil {
		return 0, a.unknown(err)
	}
	return revision, nil
}

// settle decides what an answer other than stored means. Neither a revision nor an error: try again.
func (a *attempt) settle(ctx context.Context) (uint64, error) {
	if a.answer.Class == jsapi.Unknown {
		a.inDoubt = true
	}
	if a.inDoubt {
		if len(a.writes) > 1 || gone(a.answer.Err) || errors.Is(a.answer.Err, jsapi.ErrOtherStream) {
			return 0, a.unknown(a.answer.Err)
		}
		return a.resolve(ctx)
	}
	switch a.answer.Class {
	case jsapi.Conflict:
		return 0, a.explain(ctx)
	case jsapi.Unavailable:
		if gone(a.answer.Err) {
			return 0, a.failed(ErrUnavailable)
		}
		return 0, nil
	case jsapi.Full:
		return 0, a.failed(ErrFull)
	case jsapi.TooLarge:
		return 0, a.failed(ErrTooLarge)
	case jsapi.TooMany:
		return 0, a.failed(ErrBatchTooLarge)
	case jsapi.NoBatches:
		return 0, a.allow(ctx)
	default:
		return 0, a.failed(ErrRefused)
	}
}

// allow switches atomic batches on again, which another client's CreateOrUpdateKeyValue switches off, so that the batch can
// be sent again.
func (a *attempt) allow(ctx context.Context) error {
	if a.allowed {
		return a.failed(ErrRefused)
	}
	a.allowed = true
	if err := a.allowBatches(ctx); err != nil {
		return &Error{Op: a.op, Bucket: a.bucket, Reason: ErrRefused, Err: errors.Join(a.answer.Err, err)}
	}
	return nil
}

// gone reports whether the bucket or its connection was closed for good, so that no later try can be sent.
func gone(err error) bool {
	return errors.Is(err, jsapi.ErrClosed) || errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining)
}

// explain finds the write whose expectation does not hold and gives its *ConflictError. It gives nil where all hold:
// another write was in flight, or the marker of a deletion is now known; the same commit may then succeed.
func (a *attempt) explain(ctx context.Context) error {
	for i := range a.writes {
		w := &a.writes[i]
		if !w.conditional() {
			continue
		}
		m, found, err := a.newest(ctx, w.subject)
		if err != nil {
			// What is under the key now is not known, but the server said that it is not what was expected.
			return &Error{Op: a.op, Bucket: a.bucket, Key: w.key, Reason: ErrConflict, Err: err}
		}
		if err := a.compare(w, m, found); err != nil {
			return err
		}
	}
	return nil
}

// compare checks one expectation against what the leader has.
func (a *attempt) compare(w *write, m jsapi.Message, found bool) error {
	live := found && !deleted(m.Header)
	if w.expected.revision == 0 && !live {
		w.sequence = m.Sequence
		return nil
	}
	if found && m.Sequence == w.sequence {
		return nil
	}
	conflict := &ConflictError{Op: a.op, Bucket: a.bucket, Key: w.key, Expected: w.expected.revision}
	if live {
		conflict.Actual = m.Sequence
	}
	return conflict
}

// newest reads what the leader has under a subject; nothing is no error.
func (a *attempt) newest(ctx context.Context, subject string) (m jsapi.Message, found bool, err error) {
	m, err = a.client.LeaderLast(ctx, a.stream, subject)
	if errors.Is(err, jsapi.ErrNotFound) {
		return jsapi.Message{}, false, nil
	}
	return m, err == nil, err
}

// resolve looks a single write up that may be stored. The leader's newest message says:
//
//	it has our id                            stored
//	it is what a conditional write expects   not stored yet: send again, at most one try can win
//	it demanded the same as our write did    another writer won: conflict
//	anything else                            unknown: ours may have been stored and overwritten
//
// A put is not sent again: it could overwrite what another writer stored after the first try.
func (a *attempt) resolve(ctx context.Context) (uint64, error) {
	w := &a.writes[0]
	m, found, err := a.newest(ctx, w.subject)
	switch {
	case err != nil && !w.conditional():
		return 0, a.unknown(errors.Join(a.answer.Err, err))
	case err != nil:
		return 0, nil // ask again, until the time is over
	case found && m.Header.Get(headerWriteID) == a.id:
		return m.Sequence, nil
	case w.conditional() && m.Sequence == w.sequence:
		return 0, a.permanent()
	case w.conditional() && m.Header.Get(jetstream.ExpectedLastSubjSeqHeader) == strconv.FormatUint(w.sequence, 10):
		return 0, a.compare(w, m, found)
	}
	return 0, a.unknown(a.answer.Err)
}

// permanent stops the repetition of a write in doubt that the server will not take, however often it is sent. That an
// earlier try may still arrive cannot be excluded then.
func (a *attempt) permanent() error {
	refusals := []jsapi.Class{jsapi.Full, jsapi.TooLarge, jsapi.TooMany, jsapi.NoBatches, jsapi.Refused}
	if slices.Contains(refusals, a.answer.Class) {
		return a.unknown(a.answer.Err)
	}
	return nil
}

// ended gives the error of a commit whose time is over.
func (a *attempt) ended(cause error) error {
	err := errors.Join(cause, a.answer.Err)
	if a.inDoubt {
		return a.unknown(err)
	}
	return &Error{Op: a.op, Bucket: a.bucket, Key: a.writes[0].key, Reason: ErrUnavailable, Err: err}
}

func (a *attempt) unknown(cause error) error {
	return &Error{Op: a.op, Bucket: a.bucket, Key: a.writes[0].key, Reason: ErrUnknownOutcome, Err: cause}
}

func (a *attempt) failed(reason error) error {
	return &Error{Op: a.op, Bucket: a.bucket, Key: a.writes[0].key, Reason: reason, Err: a.answer.Err}
}
