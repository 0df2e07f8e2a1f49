package aggregate

import (
	"context"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/snapshots"
)

// openSnapshots prepares the snapshots of the repository's states, if it has any.
func (r *Repository[S, E]) openSnapshots(cloneable bool) (err error) {
	cache := (*snapshots.Cache)(r.cfg.Snapshots)
	switch {
	case cache == nil:
		return nil
	case !cache.Of(r.store, r.category):
		return fmt.Errorf("%w: the snapshots are of other aggregates: open them on the repository's store, with its category", ErrInvalid)
	case !cloneable:
		return fmt.Errorf("%w: state %T holds maps, slices or pointers, which a snapshot would share with callers: give it a method Clone() %T",
			ErrInvalid, r.initial, r.initial)
	}
	if r.snapshots, err = snapshots.For[S, E](cache, r.initial, r.clone, r.window, r.cfg.KeyAge); err != nil {
		return fmt.Errorf("%w: state of %w", ErrInvalid, err)
	}
	return nil
}

// recall returns the state of an aggregate from the nearest place that has it:
//
//	cache -> snapshot, and the newer commits from the log -> log
//
// It reports whether the state is from the cache. Then it may be older than a read with these options would be.
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
	keys, err := r.restoreKeys(ctx, id, found)
	if err != nil {
		return entry[S]{}, false, err
	}
	r.counters.restored.Add(1)
	e, err := r.fold(entry[S]{
		state: found.State, last: found.Commit,
		commits: found.Commits, position: found.Position, keys: keys, snapshot: found.Commits,
	}, history)
	if err != nil {
		return entry[S]{}, false, err
	}
	return r.keep(id, e), false, nil
}

// replay returns the state of an aggregate from the start of its stream.
func (r *Repository[S, E]) replay(ctx context.Context, id string, options ...eventstore.LoadOption) (entry[S], error) {
	history, err := r.store.Load(ctx, r.stream(id), options...)
	if err != nil {
		return entry[S]{}, err
	}
	r.counters.replayed.Add(1)
	e, err := r.fold(entry[S]{state: r.initial, keys: r.newKeyring(0, nil, 0, 0)}, history)
	if err != nil {
		return entry[S]{}, err
	}
	return r.keep(id, e), nil
}

// refresh brings an entry up to the leader's newest version. It reports whether the leader had more.
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

// fallen is called if a stream's head is before the remembered one. If the log has lost the remembered commit, it
// returns a LogRewoundError. Otherwise a new leader had not caught up when it was asked, and the stream is replayed.
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

// continuedBy reports whether the history that was read after an entry fits onto it.
func (e *entry[S]) continuedBy(history eventstore.History) bool {
	if len(history.Commits) == 0 {
		return history.Head.Version == e.head.Version
	}
	return history.Commits[0].First == e.head.Version+1
}

// fold returns the entry with the commits of a history folded in.
func (r *Repository[S, E]) fold(e entry[S], history eventstore.History) (entry[S], error) {
	e.state = r.clone(e.state)
	for _, c := range history.Commits {
		events, err := eventsOf[E](c)
		if err != nil {
			return e, err
		}
		for _, event := range events {
			e.state = e.state.Evolve(event)
		}
		closed, err := closedBy(c)
		if err != nil {
			return e, err
		}
		e.remember(c, closed)
	}
	e.head = history.Head
	return e, nil
}

// keep puts an entry into the cache, and saves a snapshot if the stream has grown enough since the last one.
func (r *Repository[S, E]) keep(id string, e entry[S]) entry[S] {
	if r.snapshots.Due(e.commits, e.snapshot) {
		keys, left := e.keys.saved(e.commits)
		r.snapshots.Save(id, snapshots.Snapshot[S]{
			State: e.state, Version: e.head.Version, Position: e.position, Commit: e.last, Commits: e.commits, Keys: keys, Left: left,
		})
		e.snapshot = e.commits
	}
	r.cache.put(id, e)
	return e
}
