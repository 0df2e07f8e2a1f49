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

// commitWait spaces the tries of a write that was not stored. It is short at first, because most often another write of
// the same key is under way, or a new leader takes over.
var commitWait = backoff.Policy{Base: 4 * time.Millisecond, Max: 500 * time.Millisecond}

var errTimeout = errors.New("Config.Timeout has passed")

// commit stores one write, or several as an atomic batch, and returns the revision of the last one.
//
//	answer         one write                                  batch
//	stored         done                                       done
//	conflict       read the leader: conflict, or again        read the leader: conflict, or again
//	unavailable    no bucket, or again                        no bucket, or again
//	none           ask the leader for the write's id, and     unknown outcome
//	               send again if that is harmless
//	no batches     -                                          allow them, and again
//	full, refused  error                                      error
//
// Once a try had no answer, each later answer is looked up as well, unless it says that the write is stored: it may be
// about the first try.
func (c *core) commit(ctx context.Context, op string, writes []write) (uint64, error) {
	a := attempt{core: c, op: op, writes: writes}
	if err := context.Cause(ctx); err != nil {
		return 0, a.failed(nil, err)
	}
	if err := c.checkSizes(ctx, op, writes); err != nil {
		return 0, err
	}
	if err := c.disk.Failed(); err != nil {
		return 0, a.failed(ErrUnavailable, err)
	}
	if err := c.client.Other(); err != nil {
		return 0, a.failed(ErrRefused, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errTimeout)
	defer cancel()
	if len(writes) == 1 {
		a.id = rand.Text()
	}
	for try := 1; ; try++ {
		// One try gets half of the time, so that there is time left to find out what became of it.
		a.answer = c.client.PublishBatch(ctx, a.messages(), c.timeout/2)
		if a.answer.Class == jsapi.Stored {
			return a.stored(ctx, a.answer.Sequence)
		}
		revision, err := a.judge(ctx)
		if err != nil {
			return 0, err
		}
		if revision != 0 {
			return a.stored(ctx, revision)
		}
		if err := commitWait.Wait(ctx, try); err != nil {
			return 0, a.ended(err)
		}
	}
}

// attempt is a commit that goes through one or more tries.
type attempt struct {
	*core
	op      string
	writes  []write
	id      string // of a single write, for which the leader can be asked
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

// stored waits until what is in the bucket is on disk, because until then a power cut may take it away.
func (a *attempt) stored(ctx context.Context, revision uint64) (uint64, error) {
	if err := a.disk.Stored(ctx, revision); err != nil {
		return 0, a.failed(ErrUnknownOutcome, err)
	}
	return revision, nil
}

// judge decides what an answer means that does not say that the write is stored. It returns 0 and no error if the
// write is to be sent again.
func (a *attempt) judge(ctx context.Context) (uint64, error) {
	if a.answer.Class == jsapi.Unknown {
		a.inDoubt = true
	}
	if a.inDoubt {
		if len(a.writes) > 1 || gone(a.answer.Err) || errors.Is(a.answer.Err, jsapi.ErrOtherStream) {
			return 0, a.failed(ErrUnknownOutcome, a.answer.Err)
		}
		return a.lookUp(ctx)
	}
	switch class := a.answer.Class; {
	case class == jsapi.Conflict:
		return 0, a.explain(ctx)
	case class == jsapi.NoBatches:
		return 0, a.allow(ctx)
	case class == jsapi.Unavailable && !gone(a.answer.Err):
		return 0, a.missing(ctx)
	}
	return 0, a.failed(reasonOfClass(a.answer.Class), a.answer.Err)
}

// reasonOfClass returns the reason that belongs to an answer that is final.
func reasonOfClass(class jsapi.Class) error {
	switch class {
	case jsapi.Unavailable:
		return ErrUnavailable
	case jsapi.Full:
		return ErrFull
	case jsapi.TooLarge:
		return ErrTooLarge
	case jsapi.TooMany:
		return ErrBatchTooLarge
	case jsapi.Unknown:
		return ErrUnknownOutcome
	default:
		return ErrRefused
	}
}

// allow switches atomic batches on again, which another client's CreateOrUpdateKeyValue switches off, so that the batch
// can be sent again.
func (a *attempt) allow(ctx context.Context) error {
	if a.allowed {
		return a.failed(ErrRefused, a.answer.Err)
	}
	a.allowed = true
	if err := a.allowBatches(ctx); err != nil {
		return a.failed(ErrRefused, errors.Join(a.answer.Err, err))
	}
	return nil
}

// missing returns an error if the bucket does not exist any more, so that no later try can be stored.
func (a *attempt) missing(ctx context.Context) error {
	err := a.confirmed(ctx, a.absent(ctx, a.answer.Err))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return a.failed(ErrNoBucket, err)
	}
	return nil
}

// gone reports whether the bucket or its connection is closed for good, so that no later try can be sent.
func gone(err error) bool {
	return errors.Is(err, jsapi.ErrClosed) || errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, nats.ErrConnectionDraining)
}

// explain finds the write whose expectation does not hold, and returns its *ConflictError. It returns nil if all hold:
// then another write was under way, or the marker of a deletion is known now, and the same commit may succeed.
func (a *attempt) explain(ctx context.Context) error {
	for i := range a.writes {
		w := &a.writes[i]
		if !w.conditional() {
			continue
		}
		m, found, err := a.newest(ctx, w.subject)
		if err != nil {
			// It is not known what is under the key now, but the server said that it is not what was expected.
			return &Error{Op: a.op, Bucket: a.bucket, Key: w.key, Reason: ErrConflict, Err: err}
		}
		if err := a.compare(w, m, found); err != nil {
			return err
		}
	}
	return nil
}

// compare returns a *ConflictError if what the leader has is not what a write expects.
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

// newest reads what the leader has under a subject, and waits interruptions out. It returns no error if there is
// nothing.
func (a *attempt) newest(ctx context.Context, subject string) (m jsapi.Message, found bool, err error) {
	m, err = a.retryMessage(ctx, a.op, subject, a.leader)
	if errors.Is(err, jsapi.ErrNotFound) {
		return jsapi.Message{}, false, nil
	}
	return m, err == nil, err
}

// lookUp asks the leader for a single write that may be stored. The newest message of the subject says:
//
//	it has the id of this write                stored
//	it is what a conditional write expects     not stored yet: send again, because at most one try can be stored
//	it demanded the same as this write         another writer won: conflict
//	anything else                              unknown: this write may have been stored, and overwritten
//
// A put is not sent again, because it could overwrite what another writer stored after the first try.
func (a *attempt) lookUp(ctx context.Context) (uint64, error) {
	w := &a.writes[0]
	m, found, err := a.newest(ctx, w.subject)
	switch {
	case err != nil:
		return 0, a.failed(ErrUnknownOutcome, errors.Join(a.answer.Err, err))
	case found && m.Header.Get(headerWriteID) == a.id:
		return m.Sequence, nil
	case w.conditional() && m.Sequence == w.sequence:
		if !a.final() {
			return 0, nil
		}
	case w.conditional() && m.Header.Get(jetstream.ExpectedLastSubjSeqHeader) == strconv.FormatUint(w.sequence, 10):
		return 0, a.compare(w, m, found)
	}
	return 0, a.failed(ErrUnknownOutcome, a.answer.Err)
}

// final reports whether the server will not take a write, however often it is sent. An earlier try of it may still
// arrive.
func (a *attempt) final() bool {
	refusals := []jsapi.Class{jsapi.Full, jsapi.TooLarge, jsapi.TooMany, jsapi.NoBatches, jsapi.Refused}
	return slices.Contains(refusals, a.answer.Class)
}

// ended returns the error of a commit whose time is over.
func (a *attempt) ended(cause error) error {
	reason := ErrUnavailable
	if a.inDoubt {
		reason = ErrUnknownOutcome
	}
	return a.failed(reason, errors.Join(cause, a.answer.Err))
}

func (a *attempt) failed(reason, cause error) error {
	return &Error{Op: a.op, Bucket: a.bucket, Key: a.writes[0].key, Reason: reason, Err: cause}
}
