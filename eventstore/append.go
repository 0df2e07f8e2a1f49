package eventstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

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

// writer appends and erases. It makes commits, publishes them, and finds out what became of them.
type writer struct {
	conn    *conn
	seen    *seen
	decoder *decoder
	fetcher *fetcher
	trust   *trust
	log     *log

	// batches bounds the transactions under way. It stays below the 50 atomic batches that the server allows for one
	// stream.
	batches chan struct{}

	// confirmed is the last new stream that a leader confirmed whose expectations are strict, or nil.
	confirmed atomic.Pointer[confirmation]

	resolved atomic.Int64 // see Counters

	// stores is when the newest append began that was acknowledged at its first try, in nanoseconds since made, or 0.
	stores atomic.Int64
	made   time.Time
}

// storesSince reports whether an append that began after a moment was acknowledged at its first try.
func (wr *writer) storesSince(t time.Time) bool {
	stores := wr.stores.Load()
	return stores > 0 && time.Duration(stores) > t.Sub(wr.made)
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
// ErrSettings. Nothing was stored, unless it matches ErrUnknownOutcome. An error that matches ErrUnknownOutcome may
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
	return s.writer.appendAll(ctx, writes)
}

func (wr *writer) appendAll(ctx context.Context, writes []Write) ([]*Commit, error) {
	end := wr.conn.cfg.Trace.beginAppend(ctx, writes)
	commits, tries, err := wr.store(ctx, writes)
	if end != nil {
		end(commits, tries, err)
	}
	return commits, err
}

// store stores the writes, and returns how often they were sent.
func (wr *writer) store(ctx context.Context, writes []Write) (commits []*Commit, tries int, err error) {
	if ctx.Err() != nil {
		return nil, 0, context.Cause(ctx)
	}
	begin := time.Now()
	deadline := begin.Add(wr.conn.cfg.AppendTimeout)
	a, err := wr.prepare(ctx, writes)
	if err != nil {
		return nil, 0, err
	}
	session, err := wr.mayAppend(ctx, writes[0])
	if err != nil {
		return nil, 0, err
	}
	a.seen = wr.seen.newest.Load()
	if len(writes) == 1 {
		// The first try is nearly always the only one, and does without a context of its own.
		a.tries = 1
		answer := session.Publish(ctx, a.writes[0], min(wr.conn.cfg.AckTimeout, wr.conn.cfg.AppendTimeout))
		if answer.Class == jsapi.Stored && wr.conn.disk == nil {
			wr.stores.Store(int64(begin.Sub(wr.made)))
			commits, err := a.stored(ctx, Position(answer.Sequence))
			return commits, a.tries, err
		}
		ctx, cancel := context.WithDeadlineCause(ctx, deadline, errAppendTimeout)
		defer cancel()
		commits, err := a.settle(ctx, answer)
		return commits, a.tries, err
	}
	ctx, cancel := context.WithDeadlineCause(ctx, deadline, errAppendTimeout)
	defer cancel()
	select {
	case wr.batches <- struct{}{}:
		defer func() { <-wr.batches }()
	case <-ctx.Done():
		return nil, 0, a.refused(ErrUnavailable, "too many transactions under way; try again", context.Cause(ctx))
	}
	commits, err = a.settle(ctx, a.publish(ctx))
	return commits, a.tries, err
}

func (wr *writer) prepare(ctx context.Context, writes []Write) (*attempt, error) {
	if len(writes) == 0 || len(writes) > maxTransaction {
		return nil, fmt.Errorf("eventstore: append to %s: %w: %d writes, a transaction has 1 to %d", wr.conn.store, ErrTooLarge, len(writes), maxTransaction)
	}
	a := newAttempt(wr, len(writes))
	for i := range writes {
		a.commits[i].Stream = writes[i].Stream
	}
	if err := a.completeAll(ctx, writes); err != nil {
		return nil, err
	}
	metadata, now := MetadataFrom(ctx), wr.conn.cfg.Now().UTC().Round(0)
	var tx uuid.UUID
	if len(writes) > 1 {
		tx = newID(now)
	}
	for i := range writes {
		w, head, c := &writes[i], &a.expected[i], a.commits[i]
		if err := w.check(head); err != nil {
			return nil, err
		}
		c.First, c.ID, c.Time, c.decoder = 1, newID(now), now, wr.decoder
		if !w.Guard {
			c.First, c.links = head.Version+1, head.links
			c.Metadata, c.Key, c.KeyHash = metadata, w.Key, slices.Clone(w.KeyHash)
			c.User = maps.Clone(metadata.User)
		}
		if len(writes) > 1 {
			c.Transaction = &Transaction{ID: tx, Index: indexOf(writes, i), Count: len(writes)}
		}
		var err error
		if a.writes[i], err = wr.encodeWrite(&a.rooms[i], head, w); err != nil {
			return nil, err
		}
	}
	return a, a.checkStreams()
}

// mayAppend is ready for appends. They wait for it with the same patience as for everything else. It returns the
// connection on which the log was looked at.
func (wr *writer) mayAppend(ctx context.Context, w Write) (*jsapi.Session, error) {
	refused := func(reason error, advice string, err error) (*jsapi.Session, error) {
		return nil, &AppendError{Stream: w.Stream, Version: w.Expected.Version + 1, Reason: reason, Advice: advice, Err: err}
	}
	if wr.conn.cfg.Salvage {
		return refused(ErrRefused, "the store was opened with Config.Salvage, to be read only", nil)
	}
	if err := wr.conn.disk.Failed(); err != nil {
		return refused(ErrDisk, "", err)
	}
	if session := wr.conn.api.Session(); session.Connected() == nil && wr.seen.comparedOn(session.Number()) {
		return session, nil
	}
	err := wr.beforeAppend(ctx, w, wr.trust.ready)
	if err == nil || isDamage(err) {
		return wr.conn.api.Session(), err
	}
	return refused(ErrUnavailable, "whether the log is whole could not be asked", err)
}

// complete returns the head of a write as this store returned it before. A head from elsewhere is looked up, because it
// has no links, or the links of another stream, and does not know whether the stream has ended.
func (wr *writer) complete(ctx context.Context, w *Write) (Head, error) {
	switch {
	case w.Expected.Version == 0 && w.Expected.Position == 0:
		return wr.confirmFirst(ctx, *w)
	case wr.decoder.origin.gave(w.Stream, &w.Expected):
		return w.Expected, nil
	}
	head, err := wr.headFor(ctx, *w)
	if err != nil {
		return Head{}, err
	}
	if head.Version != w.Expected.Version || !head.standsAt(w.Expected.Position) {
		return Head{}, &ConflictError{Stream: w.Stream, Expected: w.Expected.Version, Actual: head.Version}
	}
	return head, nil
}

// headFor returns the head of a write's stream.
func (wr *writer) headFor(ctx context.Context, w Write) (Head, error) {
	head, err := wr.log.head(ctx, w.Stream)
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
	if w.Stream.Category == system.Category {
		return refused(ErrInvalidID, "streams of category "+system.Category+" are the toolkit's own")
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
func (wr *writer) encodeWrite(m *appended, head *Head, w *Write) (jsapi.Write, error) {
	c, events := &m.commit, w.Events
	refused := func(reason error, advice string, err error) (jsapi.Write, error) {
		return jsapi.Write{}, &AppendError{Stream: c.Stream, Version: c.First, Reason: reason, Advice: advice, Err: err}
	}
	subject, err := c.Stream.subject(wr.conn.store)
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
		kind, err := wr.decoder.registry.typeOf(e)
		if err != nil {
			return refused(ErrUnknownType, "add its prototype to the events the store is opened with", err)
		}
		from := in.data.Len()
		if err := wr.decoder.registry.codec.appendTo(&in.data, in.events, kind, e); err != nil {
			return refused(ErrRefused, "the event does not encode", err)
		}
		if in.data.Len() > maxBody { // more than any server stores, and more than an event's offsets can say
			return refused(ErrTooLarge, wr.adviseSmaller(in.data.Len()), nil)
		}
		c.events[i] = event{kind: kind, from: uint32(from), to: uint32(in.data.Len())}
	}
	c.body = in.data.Bytes()
	payload, err := in.encode(c, wr.conn.cfg.CompressAbove)
	if err != nil {
		return refused(ErrRefused, "the commit does not encode", err)
	}
	if int64(len(payload)) > wr.conn.limit() {
		return refused(ErrTooLarge, wr.adviseSmaller(len(payload)), nil)
	}
	if w.Guard {
		return jsapi.Write{Subject: wr.conn.store + guardSubject, Guards: subject, Expected: uint64(head.Position), Data: payload}, nil
	}
	return jsapi.Write{Subject: subject, Expected: uint64(head.Position), Data: payload}, nil
}
