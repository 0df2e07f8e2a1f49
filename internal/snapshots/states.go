package snapshots

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/kv"
)

// Snapshot is the state of an aggregate after one commit, with all that a repository needs to go on from there.
type Snapshot[S any] struct {
	State    S
	Version  eventstore.Version  // of the commit's last event
	Position eventstore.Position // of the commit
	Commit   uuid.UUID           // the id of the commit
	Commits  uint64              // how many commits the stream has up to it
	Keys     []Key               // the keys of the stream's last commits, oldest first
	Left     Left                // the keys of commits before these
}

// States reads and saves the snapshots of states of one type. A nil *States has no snapshots.
type States[S any] struct {
	cache       *Cache
	clone       func(S) S
	window      uint64
	age         time.Duration
	fingerprint []byte
	shape       *plain.Shape // of the states
	off         atomic.Bool  // a state did not survive being stored
}

// For returns the snapshots of states that are folded from initial and copied by clone. The window is how many of a
// stream's last commits are searched for keys, and the age is for how long the keys of earlier commits are remembered.
// For refuses a state type that would not be stored whole, and names the field.
func For[S interface{ Evolve(event E) S }, E eventstore.Event](
	c *Cache, initial S, clone func(S) S, window uint64, age time.Duration,
) (*States[S], error) {
	shape, err := shapeOf[S]()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.category, err)
	}
	sum, err := fingerprint[S, E](c.store, initial)
	if err != nil {
		return nil, fmt.Errorf("%s: the initial state %w", c.category, err)
	}
	return &States[S]{cache: c, clone: clone, window: window, age: age, fingerprint: sum, shape: shape}, nil
}

// shapeOf refuses a state type that would lose a field, or that cannot be compared with its stored form.
func shapeOf[S any]() (*plain.Shape, error) {
	if err := plain.Check(reflect.TypeFor[S]()); err != nil {
		return nil, err
	}
	return plain.Msgpack.Of(reflect.TypeFor[S]())
}

// Due reports whether it is time for a snapshot: the stream has that many commits, and had last at its last snapshot.
func (s *States[S]) Due(commits, last uint64) bool {
	return s != nil && !s.off.Load() && commits >= last+uint64(s.cache.cfg.Every)
}

// Save queues a snapshot. The caller waits only for the copy of the state.
func (s *States[S]) Save(id string, snapshot Snapshot[S]) {
	snapshot.State = s.clone(snapshot.State)
	if !s.cache.queue.put(id, func(ctx context.Context) ([]byte, error) { return s.encode(ctx, id, snapshot) }) {
		s.cache.counters.dropped.Add(1)
	}
}

// Restore returns the snapshot of an aggregate and the commits that its stream got since. It returns nil if no snapshot
// can be used: it is missing, damaged, of another release or another log, or the log does not have its commit. The
// options are passed to eventstore.Store.Load. Restore returns an error only if Load does.
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
		// A replica may lag behind the snapshot, but the leader does not.
		history, err = s.since(ctx, id, found, []eventstore.LoadOption{eventstore.Leader()})
	}
	// The log may have lost the snapshot's commit.
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

// get returns the snapshot in the bucket, or nil if there is none that can be used.
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

// decode returns the snapshot in a document, or the reason why it cannot be used.
func (s *States[S]) decode(id string, data []byte) (*Snapshot[S], error) {
	d, err := decodeDocument(data)
	switch {
	case err != nil:
		return nil, err
	case d.Store != s.cache.store.Identity():
		return nil, fmt.Errorf("it is of store %s", d.Store)
	case d.Stream != s.cache.stream(id).String():
		return nil, fmt.Errorf("it is of %s", d.Stream)
	case d.FoldVersion != s.cache.cfg.FoldVersion:
		return nil, fmt.Errorf("its fold version is %d, not %d", d.FoldVersion, s.cache.cfg.FoldVersion)
	case !bytes.Equal(d.Fingerprint, s.fingerprint):
		return nil, errors.New("the types of the state or of its events have changed since it was saved")
	case d.Window < s.window && d.Window < d.Commits:
		return nil, fmt.Errorf("it has the keys of %d commits, not of %d", d.Window, s.window)
	case d.Age < int64(s.age) && d.Left.Forgot != 0 && time.Now().UnixNano()-d.Left.Forgot <= int64(s.age):
		return nil, fmt.Errorf("it has forgotten keys after %v, not %v", time.Duration(d.Age), s.age)
	}
	snapshot := &Snapshot[S]{
		Version: d.Version, Position: d.Position, Commit: uuid.UUID(d.Commit), Commits: d.Commits, Keys: d.Keys, Left: d.Left,
	}
	return snapshot, s.shape.Unmarshal(d.State, &snapshot.State)
}

// errOff says that a state did not survive being stored. A field that is lost for one state may be lost for all.
var errOff = errors.New("snapshots are off")

// encode returns the document of a snapshot. It switches snapshots off if the state does not come back as it was.
func (s *States[S]) encode(ctx context.Context, id string, snapshot Snapshot[S]) ([]byte, error) {
	if s.off.Load() {
		return nil, errOff
	}
	state, err := survive(s.shape, snapshot.State)
	if err != nil {
		s.off.Store(true)
		s.cache.logger.LogAttrs(ctx, slog.LevelError, "snapshots are off because a state does not come back as it was stored: store all of it, or open without snapshots",
			slog.String("id", id), slog.Uint64("version", uint64(snapshot.Version)), slog.Any("error", err))
		return nil, errOff
	}
	d := document{
		Store: s.cache.store.Identity(), FoldVersion: s.cache.cfg.FoldVersion, Fingerprint: s.fingerprint,
		Stream: s.cache.stream(id).String(), Version: snapshot.Version, Position: snapshot.Position, Commit: snapshot.Commit[:],
		Commits: snapshot.Commits, Window: s.window, Age: int64(s.age), Keys: snapshot.Keys, Left: snapshot.Left, State: state,
	}
	return d.encode()
}

// survive encodes a state, decodes it again and compares the two.
func survive[S any](shape *plain.Shape, state S) ([]byte, error) {
	was, err := plain.Whole(state) // it also refuses a state that holds itself, which no encoder could finish
	if err != nil {
		return nil, fmt.Errorf("the state %w", err)
	}
	if where := shape.Elsewhere(reflect.ValueOf(state)); where != "" {
		return nil, fmt.Errorf("%s is a time in another zone than UTC, and would be decoded in UTC: fold times in UTC", where)
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
		return nil, fmt.Errorf("%s is not decoded as it was encoded", changed(reflect.ValueOf(state), reflect.ValueOf(decoded)))
	}
	return data, nil
}

// changed returns the name of the first field in which two values differ. It shows no values, which may be personal.
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
