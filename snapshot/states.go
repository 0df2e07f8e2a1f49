package snapshot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/kv"
)

// Snapshot is the state of an aggregate after one commit, with what else must be known to go on from there.
type Snapshot[S any] struct {
	State    S
	Version  eventstore.Version  // of the commit's last event
	Position eventstore.Position // of the commit
	Commit   uuid.UUID           // its id
	Commits  uint64              // how many the stream has up to there
	Keys     []Key               // of those among the stream's last commits that carry one, oldest first
}

// States reads and saves the snapshots of states of one type. Repositories of package aggregate make them. It is safe for
// concurrent use. A nil *States has no snapshots.
type States[S any] struct {
	cache       *Cache
	clone       func(S) S
	window      uint64
	fingerprint []byte
	shape       *plain.Shape // of the states
	off         atomic.Bool  // the states do not survive being stored
}

// For gives the snapshots of states that are folded from initial, of which clone gives copies. The window is among how many of
// a stream's last commits keys are looked for. It refuses a state type that would not be stored whole, and names the field.
func For[S interface{ Evolve(event E) S }, E eventstore.Event](c *Cache, initial S, clone func(S) S, window uint64) (*States[S], error) {
	shape, err := shapeOf[S]()
	if err != nil {
		return nil, fmt.Errorf("snapshot: %s: %w", c.category, err)
	}
	sum, err := fingerprint[S, E](c.store, initial, clone, !c.cfg.unprobed())
	if err != nil {
		return nil, fmt.Errorf("snapshot: %s: the initial state %w", c.category, err)
	}
	return &States[S]{cache: c, clone: clone, window: window, fingerprint: sum, shape: shape}, nil
}

// shapeOf refuses a type of states of which something would be lost, or that cannot be compared with what was stored of it.
func shapeOf[S any]() (*plain.Shape, error) {
	if err := plain.Check(reflect.TypeFor[S]()); err != nil {
		return nil, err
	}
	return plain.Msgpack.Of(reflect.TypeFor[S]())
}

// Due reports whether it is time for a snapshot of a stream with that many commits, when the last one known had so many.
func (s *States[S]) Due(commits, last uint64) bool {
	return s != nil && !s.off.Load() && commits >= last+s.cache.cfg.every()
}

// Save queues a snapshot and returns at once: copying the state is all that the caller waits for.
func (s *States[S]) Save(id string, snapshot Snapshot[S]) {
	snapshot.State = s.clone(snapshot.State)
	if !s.cache.queue.put(id, func(ctx context.Context) ([]byte, error) { return s.encode(ctx, id, snapshot) }) {
		s.cache.counters.dropped.Add(1)
	}
}

// Restore gives the snapshot of an aggregate and what its stream got since, or nil where there is none to go on from: it
// is missing, damaged, made by another release or from another log, or the log does not have its commit. The options are
// those of [eventstore.Store.Load], whose errors alone it returns.
func (s *States[S]) Restore(ctx context.Context, id string, options ...eventstore.LoadOption) (*Snapshot[S], eventstore.History, error) {
	if s == nil || s.off.Load() {
		return nil, eventstore.History{}, nil
	}
	found := s.get(ctx, id)
	if found == nil {
		return nil, eventstore.History{}, nil
	}
	history, err := s.since(ctx, id, found, options)
	if err == nil && history.Head.Position < found.Position {
		// A replica may lag behind the snapshot; the leader does not.
		history, err = s.since(ctx, id, found, []eventstore.LoadOption{eventstore.Leader()})
	}
	// The log may have lost what the snapshot was taken of.
	if ahead := errors.Is(err, eventstore.ErrPositionAhead); err != nil && !ahead {
		return nil, eventstore.History{}, err
	}
	if !found.begins(history) {
		s.cache.ignore(ctx, id, errors.New("the log does not have its commit"))
		return nil, eventstore.History{}, nil
	}
	history.Commits = history.Commits[1:]
	s.cache.counters.restored.Add(1)
	return found, history, nil
}

// since loads the stream from the snapshot's own commit on.
func (s *States[S]) since(ctx context.Context, id string, snapshot *Snapshot[S], options []eventstore.LoadOption) (eventstore.History, error) {
	options = append([]eventstore.LoadOption{eventstore.From(snapshot.Version), eventstore.After(snapshot.Position - 1)}, options...)
	return s.cache.store.Load(ctx, s.cache.stream(id), options...)
}

// begins reports whether a history begins with the snapshot's commit.
func (s *Snapshot[S]) begins(history eventstore.History) bool {
	if len(history.Commits) == 0 {
		return false
	}
	first := history.Commits[0]
	return first.ID == s.Commit && first.Position == s.Position && first.Last() == s.Version
}

func (c *Cache) stream(id string) eventstore.StreamID {
	return eventstore.StreamID{Category: c.category, ID: id}
}

// get gives the snapshot in the bucket, or nil where none is of use.
func (s *States[S]) get(ctx context.Context, id string) *Snapshot[S] {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	entry, err := s.cache.bucket.Get(ctx, id)
	switch {
	case errors.Is(err, kv.ErrNotFound):
		s.cache.counters.missing.Add(1)
		return nil
	case err != nil:
		s.cache.counters.unanswered.Add(1)
		s.cache.logger.LogAttrs(ctx, slog.LevelDebug, "no answer about a snapshot, reading the log",
			slog.String("id", id), slog.Any("error", err))
		return nil
	}
	found, err := s.decode(id, entry.Value)
	if err != nil {
		s.cache.ignore(ctx, id, err)
		return nil
	}
	return found
}

func (c *Cache) ignore(ctx context.Context, id string, reason error) {
	c.counters.ignored.Add(1)
	c.logger.LogAttrs(ctx, slog.LevelDebug, "snapshot ignored, reading the log", slog.String("id", id), slog.Any("reason", reason))
}

// decode gives the snapshot in a document, or why it cannot be used.
func (s *States[S]) decode(id string, data []byte) (*Snapshot[S], error) {
	d, err := decodeDocument(data)
	switch {
	case err != nil:
		return nil, err
	case d.Store != s.cache.store.Identity():
		return nil, fmt.Errorf("it is of store %s", d.Store)
	case d.Stream != s.cache.stream(id).String():
		return nil, fmt.Errorf("it is of %s", d.Stream)
	case d.FoldVersion != s.cache.cfg.foldVersion():
		return nil, fmt.Errorf("its fold version is %d, not %d", d.FoldVersion, s.cache.cfg.foldVersion())
	case !bytes.Equal(d.Fingerprint, s.fingerprint):
		return nil, errors.New("state, events, upcasters or fold were others when it was saved")
	case d.Window < s.window && d.Window < d.Commits:
		return nil, fmt.Errorf("it has the keys of %d commits, not of %d", d.Window, s.window)
	}
	snapshot := &Snapshot[S]{
		Version: d.Version, Position: d.Position, Commit: uuid.UUID(d.Commit), Commits: d.Commits, Keys: d.Keys,
	}
	for len(snapshot.Keys) > 0 && snapshot.Keys[0].Commit+s.window <= d.Commits {
		snapshot.Keys = snapshot.Keys[1:]
	}
	return snapshot, s.shape.Unmarshal(d.State, &snapshot.State)
}

// errOff says that a state was found that does not survive being stored. What is lost for one may be lost for all.
var errOff = errors.New("snapshots are off")

// encode gives the document of a snapshot. A state that does not come back from it as it was switches snapshots off.
func (s *States[S]) encode(ctx context.Context, id string, snapshot Snapshot[S]) ([]byte, error) {
	if s.off.Load() {
		return nil, errOff
	}
	state, err := survive(s.shape, snapshot.State)
	if err != nil {
		s.off.Store(true)
		s.cache.logger.LogAttrs(ctx, slog.LevelError, "snapshots are off, a state does not survive being stored: store all of it, or open without snapshots",
			slog.String("id", id), slog.Uint64("version", uint64(snapshot.Version)), slog.Any("error", err))
		return nil, errOff
	}
	d := document{
		Store: s.cache.store.Identity(), FoldVersion: s.cache.cfg.foldVersion(), Fingerprint: s.fingerprint,
		Stream: s.cache.stream(id).String(), Version: snapshot.Version, Position: snapshot.Position, Commit: snapshot.Commit[:],
		Commits: snapshot.Commits, Window: s.window, Keys: snapshot.Keys, State: state,
	}
	return d.encode()
}

// survive encodes a state, decodes it again and compares the two.
func survive[S any](shape *plain.Shape, state S) ([]byte, error) {
	was, err := plain.Whole(state) // it also refuses a state that holds itself, with which an encoder would not end
	if err != nil {
		return nil, fmt.Errorf("the state %w", err)
	}
	if where := shape.Elsewhere(reflect.ValueOf(state)); where != "" {
		return nil, fmt.Errorf("%s is a time that is not in UTC, as it would be when it is decoded: fold times in UTC", where)
	}
	data, err := shape.Marshal(&state)
	if err != nil {
		return nil, err
	}
	var decoded S
	if err := shape.Unmarshal(data, &decoded); err != nil {
		return nil, err
	}
	if back, err := plain.Whole(decoded); err != nil || !bytes.Equal(was, back) {
		return nil, fmt.Errorf("%s is not decoded as what was encoded", changed(reflect.ValueOf(state), reflect.ValueOf(decoded)))
	}
	return data, nil
}

// changed names the first field in which two values differ. Values may be personal, so they are not shown.
func changed(a, b reflect.Value) string {
	if a.Kind() == reflect.Struct && !plain.EncodesItself(a.Type()) {
		for field, value := range a.Fields() {
			if other := b.FieldByIndex(field.Index); value.CanInterface() && !plain.Equal(value.Interface(), other.Interface()) {
				return a.Type().String() + "." + field.Name
			}
		}
	}
	return a.Type().String()
}
