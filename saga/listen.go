package saga

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/reactor"
)

// handler handles one event that is awaited or starts a saga.
type handler func(ctx context.Context, event eventstore.Event, recorded eventstore.Recorded) error

// listener is what one step, or the start of sagas, has to do with events of one type.
type listener[S any] struct {
	source source
	step   string // that awaits the event
	key    func(event eventstore.Event, recorded eventstore.Recorded) string
	take   func(data S, event eventstore.Event) (S, error)
	start  func(event eventstore.Event) (id string, data S) // nil if a step awaits the event
}

// reaction makes the reaction that handles events of type E.
func (typed[E]) reaction(handle handler) reactor.Reaction {
	return reactor.On(func(ctx context.Context, event E, recorded eventstore.Recorded) error {
		return handle(ctx, event, recorded)
	})
}

// openEvents opens the reactor that brings events to sagas. It is nil if the definition has no events.
func (m *Manager[S]) openEvents(ctx context.Context) (*reactor.Reactor, error) {
	if len(m.listening) == 0 {
		return nil, nil
	}
	var reactions []reactor.Reaction
	for _, listeners := range m.listening {
		reactions = append(reactions, listeners[0].source.reaction(func(ctx context.Context, event eventstore.Event, recorded eventstore.Recorded) error {
			return m.bring(ctx, listeners, event, recorded)
		}))
	}
	// Another takes over after 2.5 heartbeats at most. An error that may pass is tried again until it does.
	cfg := &reactor.Config{
		Workers: m.cfg.Workers, Interval: m.cfg.Claim / 50, Heartbeat: m.cfg.Claim * 2 / 5, Logger: m.cfg.Logger,
		Retries: math.MaxInt32, MaxBackoff: 2 * time.Second,
	}
	ctx, name := control.SagaName(ctx, m.definition.name)
	return reactor.Open(ctx, m.store, name, cfg, reactions...)
}

// orFinal is an error of bringing an event, permanent if no other try helps: then its stream is parked.
func orFinal(err error) error {
	for _, final := range []error{
		ErrInvalidID, ErrInvalidData, ErrOtherData, eventstore.ErrInvalidID, eventstore.ErrInvalidEvents, eventstore.ErrTooLarge, eventstore.ErrClosed,
		eventstore.ErrErased, eventstore.ErrCorrupt, eventstore.ErrForeign, eventstore.ErrNoPermission, eventstore.ErrRefused,
	} {
		if errors.Is(err, final) {
			return Permanent(err)
		}
	}
	return err
}

// bring brings an event to the sagas that it is for, and starts the one that it starts. It returns the errors of all.
func (m *Manager[S]) bring(ctx context.Context, listeners []listener[S], event eventstore.Event, recorded eventstore.Recorded) error {
	var failed []error
	for _, l := range listeners {
		if l.start != nil {
			failed = append(failed, m.startOn(ctx, l, event, recorded))
			continue
		}
		id, err := m.keyOf(l, event, recorded)
		if err == nil && id != "" {
			err = m.receive(ctx, id, received(l.step, recorded))
		}
		failed = append(failed, err)
	}
	return orFinal(errors.Join(failed...))
}

// startOn starts the saga that an event starts, if any, and brings it what came before.
func (m *Manager[S]) startOn(ctx context.Context, l listener[S], event eventstore.Event, recorded eventstore.Recorded) error {
	var id string
	var data S
	err := guarded(m.definition.whereEvent(recorded), "the function that starts a saga", func() error {
		id, data = l.start(event)
		return nil
	})
	if err != nil || id == "" {
		return err
	}
	_, err = m.start(ctx, id, data, place{recorded.Position, recorded.Index})
	if _, unfit := errors.AsType[*unfitError](orUnfit(err)); unfit {
		m.logger.WarnContext(ctx, "saga: left alone: it was started before, and another release went on with it", "id", id,
			"position", recorded.Position, "type", recorded.Type(), "error", err)
		return nil
	}
	if err != nil {
		return err
	}
	for _, received := range m.early.of(id) {
		if err := m.receive(ctx, id, received); err != nil {
			return err // the others are brought at the next try
		}
	}
	m.early.forget(id)
	return nil
}

// receive writes an event into the history of the saga that awaits it. One that comes too late, or after another, is
// not written.
func (m *Manager[S]) receive(ctx context.Context, id string, received sagaevent.EventReceived) error {
	in, err := m.loadToReceive(ctx, id, received)
	if _, unfit := errors.AsType[*unfitError](orUnfit(err)); unfit {
		m.logger.WarnContext(ctx, "saga: left alone: a release that can run it has to look for the event", "id", id,
			"position", received.Position, "type", received.Type, "error", err)
		return nil
	}
	if err != nil || in.status.Version == 0 {
		return err
	}
	var r *runner[S]
	if m.definition.fits(&in.status) == nil {
		r = m.admit(id)
	}
	before, now := in.status.Version, time.Now()
	err = m.change(ctx, &in, receive(received, m.claimFor(r)))
	if r != nil {
		// Only a claim of this commit is ours to work on.
		m.launch(ctx, r, in, now, err == nil && in.status.Version > before)
	}
	if err != nil {
		return fmt.Errorf("saga: %s/%s: receive %s: %w", m.definition.name, id, received.Type, err)
	}
	return nil
}

// loadToReceive loads the saga that an event is for. If the saga may be started by an event that is handled later,
// the event is kept for it.
func (m *Manager[S]) loadToReceive(ctx context.Context, id string, received sagaevent.EventReceived) (instance[S], error) {
	in, err := m.load(ctx, id)
	if err != nil || in.status.Version > 0 || len(m.definition.starts) == 0 {
		return in, err
	}
	m.early.keep(id, received)
	return m.load(ctx, id) // it may have been started before the event was kept
}

// heard returns the event that the current step of a saga has received, and its listener. It returns an unfitError if
// this release cannot take the event: the one that brought it can.
func (m *Manager[S]) heard(ctx context.Context, in *instance[S]) (event eventstore.Event, by listener[S], err error) {
	current := in.status.Current()
	position := current.Received
	c, err := m.store.At(ctx, position)
	if err != nil {
		return nil, by, fmt.Errorf("the event at position %d cannot be read: %w", position, err)
	}
	if c == nil {
		return nil, by, Permanent(fmt.Errorf("the log ends before the event at position %d", position))
	}
	event, by, err = m.awaited(eventstore.Recorded{Commit: c, Index: current.ReceivedIndex}, in.id, current.Name)
	switch what := fmt.Sprintf("its step %q has received the event at position %d", current.Name, position); {
	case err != nil:
		return nil, by, &unfitError{fmt.Errorf("%s, which cannot be taken here: %w", what, err)}
	case event == nil:
		return nil, by, &unfitError{fmt.Errorf("%s, which it does not await here", what)}
	}
	return event, by, nil
}

// awaited returns what an event in the log decodes to that a saga's step awaits, and its listener.
func (m *Manager[S]) awaited(recorded eventstore.Recorded, id, step string) (event eventstore.Event, by listener[S], err error) {
	err = m.each(recorded, func(l listener[S], one eventstore.Event) error {
		if l.step != step || event != nil {
			return nil
		}
		key, err := m.keyOf(l, one, recorded)
		if err == nil && key == id {
			event, by = one, l
		}
		return err
	})
	return event, by, err
}

// Reactor is the reactor that brings awaited events to their sagas, or nil if the definition has none: for its status,
// and for its parked streams. [Manager.Run] runs it.
//
// If the function that says for which saga an event is fails, or returns an id that no saga can have, the stream of
// the event is parked, and what comes after it waits. A saga that awaits such an event is given it when its deadline
// passes, at the latest.
func (m *Manager[S]) Reactor() *reactor.Reactor { return m.events }
