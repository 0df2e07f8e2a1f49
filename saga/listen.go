package saga

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-go/runnel/eventstore"
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
	start  func(event eventstore.Event) (id string, data S) // nil where a step awaits the event
}

// reaction makes the reaction that handles events of type E.
func (typed[E]) reaction(handle handler) reactor.Reaction {
	return reactor.On(func(ctx context.Context, event E, recorded eventstore.Recorded) error {
		return handle(ctx, event, recorded)
	})
}

// openEvents gives the reactor that brings events to sagas, nil where the definition has none.
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
	// Another takes over after 2.5 heartbeats at most.
	cfg := &reactor.Config{Workers: m.cfg.Workers, Heartbeat: m.cfg.Claim * 2 / 5, Replicas: m.cfg.Replicas, Logger: m.cfg.Logger}
	return reactor.Open(ctx, m.store, m.definition.name+"-sagas", cfg, reactions...)
}

// bring tells of an event whoever listens to its type.
func (m *Manager[S]) bring(ctx context.Context, listeners []listener[S], event eventstore.Event, recorded eventstore.Recorded) error {
	var failed []error
	for _, l := range listeners {
		failed = append(failed, m.bringTo(ctx, l, event, recorded))
	}
	return errors.Join(failed...)
}

func (m *Manager[S]) bringTo(ctx context.Context, l listener[S], event eventstore.Event, recorded eventstore.Recorded) error {
	if l.start == nil {
		id := l.key(event, recorded)
		if id == "" {
			return nil
		}
		return m.receive(ctx, id, EventReceived{Step: l.step, Type: recorded.Type(), Position: recorded.Position, Index: recorded.Index})
	}
	id, data := l.start(event)
	if id == "" {
		return nil
	}
	_, err := m.Start(ctx, id, data)
	if errors.Is(err, ErrInvalidID) || errors.Is(err, ErrInvalidData) || errors.Is(err, ErrOtherData) {
		return Permanent(err)
	}
	return err
}

// receive writes an event into the history of the saga that awaits it. One that comes too late, or after another, is not.
func (m *Manager[S]) receive(ctx context.Context, id string, received EventReceived) error {
	in, err := m.load(ctx, id)
	if err != nil {
		return err
	}
	r, now := m.admit(id), time.Now()
	var claim *Claimed
	if r != nil {
		claim = &Claimed{Runner: r.id, For: m.cfg.Claim}
	}
	before := in.status.Version
	err = m.change(ctx, &in, receive(received, claim))
	if r != nil {
		// Only a claim of this commit is ours to work on.
		if err == nil && in.status.Version > before && in.status.Runner == r.id {
			r.launch(in, now)
		} else {
			r.dismiss(id)
		}
	}
	if err != nil {
		return fmt.Errorf("saga: %s/%s: receive %s: %w", m.definition.name, id, received.Type, err)
	}
	return nil
}

// receiveUnread brings a saga what it awaits and the reactor has not come to yet, or reports that there is nothing. An event
// that was stored before a deadline was decided is in time, however long the runners were away.
func (m *Manager[S]) receiveUnread(ctx context.Context, in *instance[S], step string) (received bool, err error) {
	if m.events == nil {
		return false, nil
	}
	status, err := m.events.Status(ctx)
	if err != nil {
		return false, err
	}
	types := make([]string, 0, len(m.listening))
	for name := range m.listening {
		types = append(types, name)
	}
	for recorded, err := range m.store.All(ctx, eventstore.After(status.Position), eventstore.Types(types...)) {
		if err != nil {
			return false, err
		}
		event, _, err := m.awaited(recorded, in.id, step)
		if err != nil {
			return false, err
		}
		if event != nil {
			found := EventReceived{Step: step, Type: recorded.Type(), Position: recorded.Position, Index: recorded.Index}
			if err := m.change(ctx, in, receive(found, nil)); err != nil {
				return false, err
			}
		}
	}
	return in.status.State != StateWaiting, nil
}

// awaited gives what an event in the log stands for that a saga's step awaits, and the name of its type, or nil where it is
// none of that.
func (m *Manager[S]) awaited(recorded eventstore.Recorded, id, step string) (event eventstore.Event, name string, err error) {
	decoded, err := recorded.Decode()
	if err != nil {
		return nil, "", err
	}
	for _, event := range decoded {
		name, err := m.store.TypeOf(event)
		if err != nil {
			return nil, "", err
		}
		if slices.ContainsFunc(m.listening[name], func(l listener[S]) bool {
			return l.start == nil && l.step == step && l.key(event, recorded) == id
		}) {
			return event, name, nil
		}
	}
	return nil, "", nil
}
