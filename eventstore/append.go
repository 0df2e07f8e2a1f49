package eventstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// Write is what an append writes to one stream.
type Write struct {
	Stream   StreamID
	Expected Head
	Events   []Event
	// Key is an idempotency key, which readers find in the commit, and KeyHash a hash of the command. Both are optional.
	Key     string
	KeyHash []byte

	system bool // written by the toolkit itself, which may write what others may not
}

// errAppendTimeout ends the context of an append.
var errAppendTimeout = errors.New("append timeout")

// retries spaces the tries of one append.
var retries = backoff.Policy{Base: 10 * time.Millisecond, Max: time.Second}

// Append writes the events as one commit on top of expected, with the metadata of ctx. It blocks until the outcome is
// known, ctx ends or Config.AppendTimeout passes, and sends again as long as that is harmless.
//
// It returns an error that matches ErrConflict, ErrUnknownOutcome, or one of ErrTooLarge, ErrFull, ErrNoPermission,
// ErrUnavailable, ErrUnknownType, ErrInvalidID, ErrClosed, ErrErased, ErrRefused, ErrCorrupt, ErrLogRewound; after all but
// ErrUnknownOutcome nothing was stored. When ctx had ended before the first try, it returns the cause.
//
// On the zero Head it asks first whether the stream has a message, in one more round trip, unless the head comes from a
// load of the last seconds that found the stream empty.
func (s *Store) Append(ctx context.Context, stream StreamID, expected Head, events ...Event) (*Commit, error) {
	commits, err := s.AppendAll(ctx, Write{Stream: stream, Expected: expected, Events: events})
	if err != nil {
		return nil, err
	}
	return commits[0], nil
}

// AppendAll writes one commit to each of up to 1000 streams, all of them or none, and gives them in the order of the
// writes, which is their order in the log. It blocks and fails like [Store.Append]; a conflict names the first stream
// that had moved. One write is a plain append.
func (s *Store) AppendAll(ctx context.Context, writes ...Write) ([]*Commit, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	deadline := time.Now().Add(s.cfg.appendTimeout())
	a, err := s.prepare(ctx, writes)
	if err != nil {
		return nil, err
	}
	if err := s.mayAppend(ctx, writes[0]); err != nil {
		return nil, err
	}
	if len(writes) == 1 {
		// The first try nearly always is the only one, and is spared a context of its own.
		answer := s.api.Publish(ctx, a.writes[0], min(s.cfg.ackTimeout(), s.cfg.appendTimeout()))
		if answer.Class == jsapi.Stored {
			return a.stored(Position(answer.Sequence)), nil
		}
		ctx, cancel := context.WithDeadlineCause(ctx, deadline, errAppendTimeout)
		defer cancel()
		return a.settle(ctx, answer)
	}
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, errAppendTimeout)
	defer cancel()
	select {
	case s.batches <- struct{}{}:
		defer func() { <-s.batches }()
	case <-ctx.Done():
		return nil, a.refused(ErrUnavailable, "too many transactions under way; try again", context.Cause(ctx))
	}
	return a.settle(ctx, a.publish(ctx))
}

// attempt is one append: its commits, ready to be sent any number of times.
type attempt struct {
	store    *Store
	commits  []*Commit
	expected []Head
	writes   []jsapi.Write

	// doubt is set once a try may be in the stream without our knowing. From then on nothing but an acknowledgement or the
	// leader's tail settles the outcome.
	doubt bool
}

func (s *Store) prepare(ctx context.Context, writes []Write) (*attempt, error) {
	if len(writes) == 0 || len(writes) > jsapi.MaxBatch {
		return nil, fmt.Errorf("eventstore: append to %s: %w: %d writes, a transaction has 1 to %d", s.name, ErrTooLarge, len(writes), jsapi.MaxBatch)
	}
	a := &attempt{
		store:    s,
		commits:  make([]*Commit, len(writes)),
		expected: make([]Head, len(writes)),
		writes:   make([]jsapi.Write, len(writes)),
	}
	var tx uuid.UUID
	if len(writes) > 1 {
		var err error
		if tx, err = uuid.NewV7(); err != nil {
			return nil, fmt.Errorf("eventstore: new transaction id: %w", err)
		}
	}
	metadata, now := MetadataFrom(ctx), s.cfg.now().UTC().Round(0)
	for i, w := range writes {
		head, err := s.complete(ctx, w)
		if errors.Is(err, ErrConflict) {
			err = a.firstConflict(ctx, i, err)
		}
		if err != nil {
			return nil, err
		}
		c := &Commit{
			Stream: w.Stream, First: head.Version + 1, Time: now, Metadata: metadata,
			Key: w.Key, KeyHash: w.KeyHash, links: head.links, store: s,
		}
		if len(writes) > 1 {
			c.Transaction = &Transaction{ID: tx, Index: i, Count: len(writes)}
		}
		a.commits[i], a.expected[i] = c, head
		if err := w.check(head); err != nil {
			return nil, err
		}
		if a.writes[i], err = s.encodeWrite(c, head, w.Events); err != nil {
			return nil, err
		}
	}
	return a, a.checkStreams()
}

// firstConflict prefers a conflict on one of the first n streams, which may have moved after it was looked at.
func (a *attempt) firstConflict(ctx context.Context, n int, conflict error) error {
	for i, c := range a.commits[:n] {
		head, err := a.store.Head(ctx, c.Stream)
		switch {
		case errors.Is(err, ErrErased):
			return conflict
		case err != nil:
			return err
		case head.Position != a.expected[i].Position:
			return &ConflictError{Stream: c.Stream, Expected: a.expected[i].Version, Actual: head.Version}
		}
	}
	return conflict
}

// complete looks up the head of a write that was made by hand, and so has no links and does not know whether the stream
// has ended.
func (s *Store) complete(ctx context.Context, w Write) (Head, error) {
	switch {
	case len(w.Expected.links) > 0:
		return w.Expected, nil
	case w.Expected.Version == 0 && w.Expected.Position == 0:
		return s.confirmFirst(ctx, w)
	case w.Expected.Version == 0:
		return w.Expected, nil
	}
	head, err := s.headFor(ctx, w)
	if err != nil {
		return Head{}, err
	}
	if head.Version != w.Expected.Version || w.Expected.Position != 0 && head.Position != w.Expected.Position {
		return Head{}, &ConflictError{Stream: w.Stream, Expected: w.Expected.Version, Actual: head.Version}
	}
	return head, nil
}

// headFor gives where the stream of a write stands.
func (s *Store) headFor(ctx context.Context, w Write) (Head, error) {
	head, err := s.Head(ctx, w.Stream)
	if errors.Is(err, ErrErased) {
		err = &AppendError{Stream: w.Stream, Version: w.Expected.Version + 1, Reason: ErrErased, Err: err}
	}
	return head, err
}

// check refuses what may not stand on top of a head.
func (w Write) check(head Head) error {
	refused := func(reason error, advice string) error {
		return &AppendError{Stream: w.Stream, Version: head.Version + 1, Reason: reason, Advice: advice}
	}
	if head.Closed() {
		return refused(ErrClosed, "begin a new stream")
	}
	if w.system {
		return nil
	}
	if w.Stream.Category == SystemCategory {
		return refused(ErrInvalidID, "streams of category "+SystemCategory+" are the toolkit's own")
	}
	for i, e := range w.Events {
		switch e.(type) {
		case StreamClosed:
			if i < len(w.Events)-1 {
				return refused(ErrRefused, "what closes a stream is its last event")
			}
		case StreamErased, PositionsErased:
			return refused(ErrRefused, "only Store.Erase writes such events")
		}
	}
	return nil
}

// encodeWrite fills in what is left of a commit and gives its message.
func (s *Store) encodeWrite(c *Commit, head Head, events []Event) (jsapi.Write, error) {
	refused := func(reason error, advice string, err error) (jsapi.Write, error) {
		return jsapi.Write{}, &AppendError{Stream: c.Stream, Version: c.First, Reason: reason, Advice: advice, Err: err}
	}
	subject, err := c.Stream.subject(s.name)
	if err != nil {
		return refused(ErrInvalidID, "", err)
	}
	if len(events) == 0 {
		return refused(ErrRefused, "a commit has at least one event", nil)
	}
	if c.ID, err = uuid.NewV7(); err != nil {
		return refused(ErrRefused, "no randomness for a commit id", err)
	}
	c.events = make([]event, len(events))
	var data bytes.Buffer
	ends := make([]int, len(events))
	for i, e := range events {
		if c.events[i].name, err = s.registry.nameOf(e); err != nil {
			return refused(ErrUnknownType, "add its prototype to the events the store is opened with", err)
		}
		if err := s.codec.appendTo(&data, e); err != nil {
			return refused(ErrRefused, "the event does not encode", err)
		}
		ends[i] = data.Len()
	}
	at := 0
	for i, end := range ends {
		c.events[i].data = data.Bytes()[at:end:end]
		at = end
	}
	payload, err := c.encode(s.cfg.compressAbove())
	if err != nil {
		return refused(ErrRefused, "the commit does not encode", err)
	}
	if int64(len(payload)) > s.limit() {
		return refused(ErrTooLarge, s.adviseSmaller(len(payload)), nil)
	}
	return jsapi.Write{Subject: subject, Expected: uint64(head.Position), Data: payload}, nil
}

// checkStreams refuses a transaction that writes a stream twice.
func (a *attempt) checkStreams() error {
	seen := make(map[string]bool, len(a.writes))
	for i, w := range a.writes {
		if seen[w.Subject] {
			return &AppendError{Stream: a.commits[i].Stream, Version: a.commits[i].First, Reason: ErrRefused,
				Advice: "a transaction writes each stream once: put all its events into one write"}
		}
		seen[w.Subject] = true
	}
	return nil
}

// settle goes on from the answer to the first try until the outcome is known:
//
//	publish -> acknowledged ----------------------------------------> stored
//	        -> anything else: look at the leader's tail
//	               our commit at our version -----------------------> stored
//	               another commit there ----------------------------> conflict
//	               no such version: a clear no, and no try in doubt -> refused
//	                                otherwise back off and publish again, of all tries at most one can win
//	        -> time is up: unavailable, or unknown where a try is in doubt
func (a *attempt) settle(ctx context.Context, answer jsapi.Answer) ([]*Commit, error) {
	s := a.store
	for try := 1; ; try++ {
		if answer.Class == jsapi.Stored {
			return a.stored(Position(answer.Sequence)), nil
		}
		a.doubt = a.doubt || answer.Class == jsapi.Unknown
		if ctx.Err() != nil {
			return nil, a.undecided(context.Cause(ctx), answer.Err)
		}
		if s.api.Conn().IsClosed() {
			return nil, a.undecided(nats.ErrConnectionClosed, answer.Err)
		}
		if err := s.trusted(ctx); errors.Is(err, ErrCorrupt) || errors.Is(err, ErrLogRewound) {
			if a.doubt {
				err = a.undecided(err, answer.Err)
			}
			return nil, err
		}
		no := a.refusal(answer)
		// That a permission is missing is inferred from silence and an older complaint, so it is looked into as well.
		denied := errors.Is(no, ErrNoPermission)
		if no != nil && !denied && !a.doubt {
			return nil, no
		}
		found, last, err := a.look(ctx, answer)
		switch {
		case errors.Is(err, ErrConflict), errors.Is(err, ErrCorrupt), errors.Is(err, ErrLogRewound):
			return nil, err
		case errors.Is(err, ErrErased):
			return nil, a.refused(ErrErased, "", err)
		case found:
			s.counters.resolved.Add(1)
			return a.stored(last), nil
		case denied && (err == nil || errors.Is(err, nats.ErrPermissionViolation)):
			return nil, no
		}
		if err := retries.Wait(ctx, try); err != nil {
			return nil, a.undecided(err, answer.Err)
		}
		answer = a.publish(ctx)
	}
}

// publish is one try after a wait, in which the connection may have gone and come back: the log is looked at again before.
// A server that comes up from a power cut may have half of a transaction that was acknowledged, and a commit on top of it
// would vouch for it.
func (a *attempt) publish(ctx context.Context) jsapi.Answer {
	if err := a.store.trusted(ctx); err != nil {
		return jsapi.Answer{Class: jsapi.Unavailable, Err: err}
	}
	return a.store.api.PublishBatch(ctx, a.writes, a.store.cfg.ackTimeout())
}

// stored fills in the positions, of which the last is known: the commits of a batch stand next to each other.
func (a *attempt) stored(last Position) []*Commit {
	for i, c := range a.commits {
		c.Position = last - Position(len(a.commits)-1-i)
	}
	a.store.marker.see(a.commits[len(a.commits)-1])
	return a.commits
}

// refusal is the error for an answer that is a clear no, or nil.
func (a *attempt) refusal(answer jsapi.Answer) error {
	switch answer.Class {
	case jsapi.Full:
		return a.refused(ErrFull, "free or add storage, or raise the store's MaxBytes", answer.Err)
	case jsapi.TooLarge:
		// The server's limit was lowered on the way.
		largest := slices.MaxFunc(a.writes, func(x, y jsapi.Write) int { return cmp.Compare(len(x.Data), len(y.Data)) })
		return a.refused(ErrTooLarge, a.store.adviseSmaller(len(largest.Data)), answer.Err)
	case jsapi.Refused:
		if errors.Is(answer.Err, nats.ErrPermissionViolation) {
			return a.refused(ErrNoPermission, "allow this user to publish to "+a.store.name+".>", answer.Err)
		}
		return a.refused(ErrRefused, "", answer.Err)
	default:
		return nil
	}
}

func (a *attempt) refused(reason error, advice string, err error) error {
	return &AppendError{Stream: a.commits[0].Stream, Version: a.commits[0].First, Reason: reason, Advice: advice, Err: err}
}

// undecided is the error for an append whose time is up.
func (a *attempt) undecided(cause, last error) error {
	err := cause
	if last != nil && !errors.Is(last, cause) {
		err = fmt.Errorf("%w; last answer: %w", cause, last)
	}
	if !a.doubt {
		return a.refused(ErrUnavailable, "try again when the server answers", err)
	}
	c := a.commits[0]
	return &UnknownOutcomeError{Stream: c.Stream, Version: c.First, CommitID: c.ID, Err: err}
}

// look reads, from the stream's leader, what stands on each subject behind the expected position. It reports whether our
// commits do and where the last of them is, returns a ConflictError when another commit is there, and neither when
// nothing is. Any other error means that the leader did not answer.
func (a *attempt) look(ctx context.Context, answer jsapi.Answer) (found bool, last Position, err error) {
	for i, c := range a.commits {
		next, err := a.store.leaderNext(ctx, a.writes[i].Subject, a.expected[i].Position+1)
		switch {
		case errors.Is(err, jsapi.ErrNotFound):
			if answer.Class == jsapi.Conflict {
				if err := a.checkExpectation(ctx, i); err != nil {
					return false, 0, err
				}
			}
			continue
		case err != nil:
			return false, 0, err
		}
		whole, err := a.store.whole(ctx, next)
		if err != nil {
			return false, 0, err
		}
		if next.ID == c.ID && whole {
			return true, next.end(), nil
		}
		head, err := a.store.Head(ctx, c.Stream)
		if err != nil {
			return false, 0, err
		}
		return false, 0, a.firstConflict(ctx, i, &ConflictError{Stream: c.Stream, Expected: a.expected[i].Version, Actual: head.Version})
	}
	return false, 0, nil
}

// checkExpectation tells, after a conflict with nothing behind the expected position, a write in flight that came to
// nothing from an expectation that never was true: the subject's last message stands before what was expected.
func (a *attempt) checkExpectation(ctx context.Context, i int) error {
	head, err := a.store.Head(ctx, a.commits[i].Stream)
	if err != nil {
		return err
	}
	if head.Position != a.expected[i].Position {
		return &ConflictError{Stream: a.commits[i].Stream, Expected: a.expected[i].Version, Actual: head.Version}
	}
	return nil
}
