package aggregate

import (
	"context"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/snapshot"
)

// snapshotsOf gives the snapshots of a repository's states.
func snapshotsOf[S State[S, E], E eventstore.Event](r *Repository[S, E], snapshots *snapshot.Cache, cloneable bool) (*snapshot.States[S], error) {
	switch {
	case !snapshots.Of(r.store, r.category):
		return nil, fmt.Errorf("%w: open them on the repository's store, with its category", ErrOtherSnapshots)
	case !cloneable:
		return nil, fmt.Errorf("%w: %T holds maps, slices or pointers, which a snapshot would share with callers: give it a method Clone() %T",
			ErrInvalidState, r.initial, r.initial)
	}
	states, err := snapshot.For[S, E](snapshots, r.initial, r.clone, r.cfg.keyWindow())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalidState, err)
	}
	return states, nil
}

// recall gives the state of an aggregate from the nearest place that has it, and whether that is the cache, whose state may
// be older than what the options ask for:
//
//	cache -> snapshot, and from the log what came after it -> log
func (r *Repository[S, E]) recall(ctx context.Context, id string, options ...eventstore.LoadOption) (_ entry[S], cached bool, err error) {
	if e, ok := r.cache.get(id); ok {
		r.counters.cached.Add(1)
		return e, true, nil
	}
	found, history, err := r.snapshots.Restore(ctx, id, options...)
	if err != nil {
		return entry[S]{}, false, err
	}
	if found == nil {
		e, err := r.replay(ctx, id, options...)
		return e, false, err
	}
	r.counters.restored.Add(1)
	e, err := r.fold(entry[S]{
		state: found.State, last: found.Commit,
		commits: found.Commits, position: found.Position, keys: found.Keys, snapshot: found.Commits,
	}, history)
	if err != nil {
		return entry[S]{}, false, err
	}
	return r.keep(id, e), false, nil
}

// replay gives the state of an aggregate from the begin of its stream.
func (r *Repository[S, E]) replay(ctx context.Context, id string, options ...eventstore.LoadOption) (entry[S], error) {
	history, err := r.store.Load(ctx, r.stream(id), options...)
	if err != nil {
		return entry[S]{}, err
	}
	r.counters.replayed.Add(1)
	e, err := r.fold(entry[S]{state: r.initial}, history)
	if err != nil {
		return entry[S]{}, err
	}
	return r.keep(id, e), nil
}

// refresh brings an entry up to the leader's newest version and reports whether it had to.
func (r *Repository[S, E]) refresh(ctx context.Context, id string, e entry[S]) (entry[S], bool, error) {
	history, err := r.store.Load(ctx, r.stream(id),
		eventstore.From(e.head.Version+1), eventstore.After(e.position), eventstore.Leader())
	if err != nil {
		return e, false, err
	}
	if history.Head.Position == e.head.Position {
		return e, false, nil
	}
	if !e.continuedBy(history) {
		return r.fallen(ctx, id, e, history.Head)
	}
	if e, err = r.fold(e, history); err != nil {
		return e, false, err
	}
	return r.keep(id, e), true, nil
}

// fallen says what it means that a stream's head is below what is remembered: the log went backwards, or its new leader
// was not as far yet when it was asked. Then the stream is replayed.
func (r *Repository[S, E]) fallen(ctx context.Context, id string, e entry[S], head eventstore.Head) (entry[S], bool, error) {
	c, err := r.store.At(ctx, e.position)
	if err != nil {
		return e, false, err
	}
	if c == nil || c.ID != e.last {
		return e, false, &eventstore.LogRewoundError{
			Store: r.store.Name(), End: head.Position, Position: e.position, CommitID: e.last.String(),
			Reason: fmt.Sprintf("%s stands at version %d", r.stream(id), head.Version),
		}
	}
	e, err = r.replay(ctx, id, eventstore.Leader())
	return e, true, err
}

// continuedBy reports whether what was read behind an entry fits onto it.
func (e *entry[S]) continuedBy(history eventstore.History) bool {
	if len(history.Commits) == 0 {
		return history.Head.Version == e.head.Version
	}
	return history.Commits[0].First == e.head.Version+1
}

// keep puts an entry into the cache and, where its stream has grown enough, has a snapshot saved.
func (r *Repository[S, E]) keep(id string, e entry[S]) entry[S] {
	if r.snapshots.Due(e.commits, e.snapshot) {
		r.snapshots.Save(id, snapshot.Snapshot[S]{
			State: e.state, Version: e.head.Version, Position: e.position, Commit: e.last, Commits: e.commits, Keys: e.keys,
		})
		e.snapshot = e.commits
	}
	r.cache.put(id, e)
	return e
}
