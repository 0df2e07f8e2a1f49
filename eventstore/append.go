package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/internal/abreast"
	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/system"
)

// Write is what an append writes to one stream.
type Write struct {
	Stream   StreamID
	Expected Head
	Events   []Event
	// Key is an idempotency key, which readers find in the commit. KeyHash is a hash of the command. Both are optional.
	Key     string
	KeyHash []byte

	// Guard makes this a write without events. It stores nothing in its stream. It demands that the stream still stands
	// at Expected when the other writes of its transaction are stored, so they can rely on the state of a stream that
	// they do not change. Transactions that guard one stream do not conflict with each other.
	Guard bool

	system bool // written by the toolkit, which may write what users may not
}

// errAppendTimeout ends the context of an append.
var errAppendTimeout = errors.New("append timeout")

// retries spaces the tries of one append.
var retries = backoff.Policy{Base: 10 * time.Millisecond, Max: time.Second}

// Append writes the events as one commit on top of expected, with the metadata of ctx. It blocks until the outcome is
// known, ctx ends or Config.AppendTimeout passes, and sends again as long as that is harmless.
//
// It returns an error that matches ErrConflict, ErrUnknownOutcome, ErrTooLarge, ErrFull, ErrNoPermission,
// ErrUnavailable, ErrUnknownType, ErrInvalidID, ErrClosed, ErrErased, ErrRefused, ErrDisk, ErrCorrupt, ErrLogRewound or
// ErrOtherStream. Nothing was stored, unless it matches ErrUnknownOutcome. An error that matches ErrUnknownOutcome may
// match another of them, which is why the outcome could not be found out. If ctx has ended before the first try, Append
// returns its cause.
//
// On the zero Head it first asks whether the stream has a message, which is one more round trip. It does not ask if the
// head comes from a load of the last seconds that found the stream empty. In a burst of new streams it asks only a few
// times a second, if the store has one replica, on the server of this connection, of version 2.15.3 or later.
func (s *Store) Append(ctx context.Context, stream StreamID, expected Head, events ...Event) (*Commit, error) {
	commits, err := s.AppendAll(ctx, Write{Stream: stream, Expected: expected, Events: events})
	if err != nil {
		return nil, err
	}
	return commits[0], nil
}

// AppendAll writes one commit to each of up to 999 streams, all of them or none. It returns the commits in the order of
// the writes, which is their order in the log. It blocks and fails like [Store.Append]. A conflict names the first
// stream that had moved. One write is a plain append.
//
// A write with Guard set stores nothing in its stream, and its result is nil. It counts as one of the writes. At least
// one write must not be a guard. A guard costs its transaction a small message, which stands before the commits and
// takes a position of the log.
func (s *Store) AppendAll(ctx context.Context, writes ...Write) ([]*Commit, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	deadline := time.Now().Add(s.cfg.appendTimeout())
	a, err := s.prepare(ctx, writes)
	if err != nil {
		return nil, err
	}
	session, err := s.mayAppend(ctx, writes[0])
	if err != nil {
		return nil, err
	}
	a.seen = s.seen.newest.Load()
	if len(writes) == 1 {
		// The first try is nearly always the only one, and does without a context of its own.
		answer := session.Publish(ctx, a.writes[0], min(s.cfg.ackTimeout(), s.cfg.appendTimeout()))
		if answer.Class == jsapi.Stored && s.disk == nil {
			return a.stored(ctx, Position(answer.Sequence))
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

// attempt is one append: its commits, ready to be sent any number of times. The lists are in the order of its writes.
type attempt struct {
	store    *Store
	commits  []*Commit // the commit of a guard says which stream it guards, and at which version
	expected []Head
	writes   []jsapi.Write
	seen     *Commit // the highest before the first try, behind which an acknowledgement must be, or nil

	// batch holds the writes as they are sent, the guards before all others, so that a commit of a stream ends the
	// transaction.
	batch []jsapi.Write
	named int // the first write that is not a guard: it names the append in errors

	// doubt is set while a try may be stored, now or later, and we do not know. Until an acknowledgement or the
	// leader's tail settles that, no error says that nothing was stored.
	doubt bool

	rooms []appended // of the commits

	// one is room for the parts of an append to one stream, as most are.
	one struct {
		commits  [1]*Commit
		expected [1]Head
		writes   [1]jsapi.Write
		rooms    [1]appended
	}
}

// appended is memory for a commit that is to be stored. It has room for one event, because most commits have one.
type appended struct {
	commit Commit
	event  [1]event
}

// newAttempt returns an attempt with room for n writes.
func newAttempt(s *Store, n int) *attempt {
	a := &attempt{store: s}
	a.commits, a.expected, a.writes, a.rooms = a.one.commits[:], a.one.expected[:], a.one.writes[:], a.one.rooms[:]
	if n > 1 {
		a.commits, a.expected, a.writes, a.rooms = make([]*Commit, n), make([]Head, n), make([]jsapi.Write, n), make([]appended, n)
	}
	for i := range a.commits {
		a.commits[i] = &a.rooms[i].commit
	}
	return a
}

func (s *Store) prepare(ctx context.Context, writes []Write) (*attempt, error) {
	if len(writes) == 0 || len(writes) > maxTransaction {
		return nil, fmt.Errorf("eventstore: append to %s: %w: %d writes, a transaction has 1 to %d", s.name, ErrTooLarge, len(writes), maxTransaction)
	}
	a := newAttempt(s, len(writes))
	for i := range writes {
		a.commits[i].Stream = writes[i].Stream
	}
	if err := a.completeAll(ctx, writes); err != nil {
		return nil, err
	}
	metadata, now := MetadataFrom(ctx), s.cfg.now().UTC().Round(0)
	var tx uuid.UUID
	if len(writes) > 1 {
		tx = newID(now)
	}
	for i := range writes {
		w, head, c := &writes[i], &a.expected[i], a.commits[i]
		if err := w.check(head); err != nil {
			return nil, err
		}
		c.First, c.ID, c.Time, c.decoder = 1, newID(now), now, s.decoder
		if !w.Guard {
			c.First, c.links = head.Version+1, head.links
			c.Metadata, c.Key, c.KeyHash = metadata, w.Key, w.KeyHash
		}
		if len(writes) > 1 {
			c.Transaction = &Transaction{ID: tx, Index: indexOf(writes, i), Count: len(writes)}
		}
		var err error
		if a.writes[i], err = s.encodeWrite(&a.rooms[i], head, w); err != nil {
			return nil, err
		}
	}
	return a, a.arrange()
}

// completeAll takes over the heads of all writes. It looks up, side by side, the heads that this store did not return.
func (a *attempt) completeAll(ctx context.Context, writes []Write) error {
	if len(writes) == 1 {
		var err error
		a.expected[0], err = a.store.complete(ctx, &writes[0])
		return err
	}
	all := slices.Clone(writes) // so that the one write of other appends stays on its caller's stack
	first, err := abreast.Do(len(all), func(i int) (err error) {
		a.expected[i], err = a.store.complete(ctx, &all[i])
		return err
	})
	if errors.Is(err, ErrConflict) {
		err = a.firstConflict(ctx, first, err)
	}
	return err
}

// firstConflict prefers a conflict on one of the first n streams, because such a stream may have moved after it was
// looked at.
func (a *attempt) firstConflict(ctx context.Context, n int, conflict error) error {
	_, err := abreast.Do(n, func(i int) error {
		c := a.commits[i]
		head, err := a.store.Head(ctx, c.Stream)
		switch {
		case errors.Is(err, ErrErased):
			return conflict
		case err == nil && head.Position != a.expected[i].Position:
			return &ConflictError{Stream: c.Stream, Expected: a.expected[i].Version, Actual: head.Version}
		}
		return err
	})
	return cmp.Or(err, conflict)
}

// complete returns the head of a write as this store returned it before. A head from elsewhere is looked up, because it
// has no links, or the links of another stream, and does not know whether the stream has ended.
func (s *Store) complete(ctx context.Context, w *Write) (Head, error) {
	switch {
	case w.Expected.Version == 0 && w.Expected.Position == 0:
		return s.confirmFirst(ctx, *w)
	case s.decoder.origin.gave(w.Stream, &w.Expected):
		return w.Expected, nil
	}
	head, err := s.headFor(ctx, *w)
	if err != nil {
		return Head{}, err
	}
	if head.Version != w.Expected.Version || !head.standsAt(w.Expected.Position) {
		return Head{}, &ConflictError{Stream: w.Stream, Expected: w.Expected.Version, Actual: head.Version}
	}
	return head, nil
}

// headFor returns the head of a write's stream.
func (s *Store) headFor(ctx context.Context, w Write) (Head, error) {
	head, err := s.Head(ctx, w.Stream)
	if errors.Is(err, ErrErased) {
		err = &AppendError{Stream: w.Stream, Version: w.Expected.Version + 1, Reason: ErrErased, Err: err}
	}
	return head, err
}

// check refuses events that may not stand on top of a head.
func (w *Write) check(head *Head) error {
	refused := func(reason error, advice string) error {
		return &AppendError{Stream: w.Stream, Version: head.Version + 1, Reason: reason, Advice: advice}
	}
	if w.Guard && (len(w.Events) > 0 || w.Key != "") {
		return refused(ErrRefused, "a guard has neither events nor a key")
	}
	if head.Closed() && !w.Guard {
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
		case StreamErased, positionsErased:
			return refused(ErrRefused, "only Store.Erase writes such events")
		}
	}
	return nil
}

// encodeWrite fills in the rest of a commit and returns its message.
func (s *Store) encodeWrite(m *appended, head *Head, w *Write) (jsapi.Write, error) {
	c, events := &m.commit, w.Events
	refused := func(reason error, advice string, err error) (jsapi.Write, error) {
		return jsapi.Write{}, &AppendError{Stream: c.Stream, Version: c.First, Reason: reason, Advice: advice, Err: err}
	}
	subject, err := c.Stream.subject(s.name)
	if err != nil {
		return refused(ErrInvalidID, "", err)
	}
	if w.Guard {
		events = []Event{system.StreamGuarded{Stream: system.Stream(w.Stream), Version: uint64(head.Version)}}
	}
	if len(events) == 0 {
		return refused(ErrRefused, "a commit has at least one event", nil)
	}
	c.events = m.event[:]
	if len(events) > 1 {
		c.events = make([]event, len(events))
	}
	in := scratches.Get().(*scratch)
	defer scratches.Put(in)
	in.data.Reset()
	for i, e := range events {
		kind, err := s.decoder.registry.typeOf(e)
		if err != nil {
			return refused(ErrUnknownType, "add its prototype to the events the store is opened with", err)
		}
		from := in.data.Len()
		if err := s.decoder.registry.codec.appendTo(&in.data, in.events, kind, e); err != nil {
			return refused(ErrRefused, "the event does not encode", err)
		}
		if in.data.Len() > maxBody { // more than any server stores, and more than an event's offsets can say
			return refused(ErrTooLarge, s.adviseSmaller(in.data.Len()), nil)
		}
		c.events[i] = event{kind: kind, from: uint32(from), to: uint32(in.data.Len())}
	}
	c.body = in.data.Bytes()
	payload, err := in.encode(c, s.cfg.compressAbove())
	if err != nil {
		return refused(ErrRefused, "the commit does not encode", err)
	}
	if int64(len(payload)) > s.limit() {
		return refused(ErrTooLarge, s.adviseSmaller(len(payload)), nil)
	}
	if w.Guard {
		return jsapi.Write{Subject: s.name + guardSubject, Guards: subject, Expected: uint64(head.Position), Data: payload}, nil
	}
	return jsapi.Write{Subject: subject, Expected: uint64(head.Position), Data: payload}, nil
}

// arrange puts the writes into the order in which they are sent. It refuses a transaction that has a stream twice, or
// nothing but guards.
func (a *attempt) arrange() error {
	a.batch = a.writes
	first := slices.IndexFunc(a.writes, func(w jsapi.Write) bool { return w.Guards == "" })
	if first < 0 {
		return a.refused(ErrRefused, "a guard holds what is written beside it: give a write with events, or ask Store.Head", nil)
	}
	if a.named = first; len(a.writes) == 1 {
		return nil
	}
	a.batch = make([]jsapi.Write, len(a.writes))
	seen := make(map[StreamID]bool, len(a.writes))
	for i, c := range a.commits {
		if seen[c.Stream] {
			return &AppendError{Stream: c.Stream, Version: a.expected[i].Version + 1, Reason: ErrRefused,
				Advice: "a transaction has each stream once: put all its events into one write, which needs no guard beside it"}
		}
		seen[c.Stream] = true
		a.batch[c.Transaction.Index] = a.writes[i]
	}
	return nil
}
