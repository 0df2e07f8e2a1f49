package saga

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/projection"
)

// Instance is one saga, whole.
type Instance[S any] struct {
	Status
	Data    S       // after the last step that was done or undone
	History []Entry // oldest first
}

// Get returns a saga with its history, from the leader's newest version. It returns an error that matches
// ErrNotFound, or the error of loading: see eventstore.Store.Load. If the data, or an event of the history, cannot be
// decoded by this release, it returns the saga as far as it can be read together with the error, and Status.LeftAlone
// says so as well.
func (m *Manager[S]) Get(ctx context.Context, id string) (Instance[S], error) {
	var found Instance[S]
	in := instance[S]{id: id}
	for recorded, err := range m.store.Stream(ctx, m.stream(id), eventstore.Leader()) {
		if err != nil {
			return found, err
		}
		decoded, err := recorded.Decode()
		if err != nil {
			found.Status, found.LeftAlone = in.status, err.Error()
			return found, err
		}
		in.apply(decoded[0], recorded)
		found.History = append(found.History, entryOf(decoded[0], recorded))
	}
	if in.status.Version == 0 {
		return found, m.notFound(id)
	}
	found.Status = m.told(in.status)
	var err error
	if found.Data, err = m.definition.decode(&in); err != nil && !in.status.State.Final() {
		found.LeftAlone = err.Error()
	}
	return found, err
}

// told returns a status that says whether this manager leaves the saga alone.
func (m *Manager[S]) told(s Status) Status {
	if s.State.Final() {
		return s
	}
	if err := m.definition.fits(&s); err != nil {
		s.LeftAlone = err.Error()
		return s
	}
	m.mu.Lock()
	r := m.runner
	m.mu.Unlock()
	if r != nil {
		s.LeftAlone = r.leftAlone(s.ID)
	}
	return s
}

func (m *Manager[S]) notFound(id string) error {
	return fmt.Errorf("saga: %s/%s: %w", m.definition.name, id, ErrNotFound)
}

// List yields the sagas in one of the states, or all, those that changed least recently first. It reads the view,
// which is behind the log by some milliseconds. On failure it yields one error and ends: see projection.View.List.
func (m *Manager[S]) List(ctx context.Context, states ...State) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		for document, err := range m.view.List(ctx) {
			if err != nil {
				yield(Status{}, err)
				return
			}
			if s := document.Value; len(states) == 0 || slices.Contains(states, s.State) {
				if !yield(m.told(s), nil) {
					return
				}
			}
		}
	}
}

// Wait blocks until a saga has come to its end or is stuck, in whichever process it runs, and returns it then. It
// returns an error that matches ErrNotFound if the saga was not started, the cause of ctx, or the error of reading
// the view or the log.
func (m *Manager[S]) Wait(ctx context.Context, id string) (Instance[S], error) {
	for {
		found, err := m.Get(ctx, id)
		if err != nil || found.State.Final() || found.State == StateStuck {
			return found, err
		}
		if err := m.view.WaitFor(ctx, found.Position); err != nil {
			return found, err
		}
		if err := m.await(ctx, id, found.Version); err != nil {
			return found, err
		}
	}
}

// await blocks until the view shows a saga at rest in a later version than one.
func (m *Manager[S]) await(ctx context.Context, id string, version eventstore.Version) error {
	for change, err := range m.view.Watch(ctx, id) {
		switch s := change.Value; {
		case errors.Is(err, projection.ErrVersionChanged):
			return nil
		case err != nil:
			return err
		case change.Key == id && s.Version > version && (s.State.Final() || s.State == StateStuck):
			return nil
		}
	}
	return context.Cause(ctx)
}

// Retry makes a saga that is stuck go on with the step at which it is, in the direction it had. It returns an error
// that matches ErrNotFound or ErrState, or the error of appending.
func (m *Manager[S]) Retry(ctx context.Context, id string) error {
	return m.operate(ctx, id, m.definition.whenStuck(sagaevent.Retried{}, "only a saga that is stuck can be retried"))
}

// Resolve ends a saga that is stuck. It is for a person who has done, or undone, by hand what the saga could not. The
// reason is cut off after 1,000 bytes. It fails like [Manager.Retry].
func (m *Manager[S]) Resolve(ctx context.Context, id, reason string) error {
	resolved := sagaevent.Resolved{Reason: readable(reason)}
	return m.operate(ctx, id, m.definition.whenStuck(resolved, "only a saga that is stuck can be resolved: retry or cancel it, or wait"))
}

// Cancel makes a saga go back that runs, waits, or is stuck on its way forwards. It returns once that is written
// down; a runner does the rest. An action that is under way sees its context end. A saga that goes back already, has
// ended, or has begun a step from which there is no return, is left as it is, with an error that matches ErrState. The
// reason is cut off after 1,000 bytes. It fails like [Manager.Retry] otherwise.
func (m *Manager[S]) Cancel(ctx context.Context, id, reason string) error {
	return m.operate(ctx, id, m.definition.cancel(reason))
}

func (m *Manager[S]) operate(ctx context.Context, id string, decide transition) error {
	in, err := m.load(ctx, id)
	if err != nil {
		return err
	}
	return m.change(ctx, &in, func(s Status) ([]eventstore.Event, error) {
		if s.Version == 0 {
			return nil, m.notFound(id)
		}
		if err := m.definition.fits(&s); err != nil {
			return nil, m.definition.stateError(s, err.Error())
		}
		return decide(s)
	})
}
