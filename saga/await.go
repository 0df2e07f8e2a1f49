package saga

import (
	"fmt"
	"reflect"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/reactor"
)

// AwaitStep is a step that waits for an event. [Await] makes such steps. Its methods change the step and return it.
type AwaitStep[S any] struct {
	name      string
	events    []Event[S]
	until     func(data S, begun time.Time) time.Time
	otherwise func(data S) (S, error)
}

// Await makes a step that waits until one of the events happens, or until its deadline, which it must have: see
// [AwaitStep.Within] and [AwaitStep.Until]. The first event counts, even if it happens before the step begins. An event
// from before the saga was started does not count. Without events it waits for the deadline. An event that several
// steps await counts for each of them.
func Await[S any](name string, events ...Event[S]) *AwaitStep[S] {
	return &AwaitStep[S]{name: name, events: events}
}

// Within sets the deadline to a time after the step begins.
func (s *AwaitStep[S]) Within(d time.Duration) *AwaitStep[S] {
	return s.deadline(func(_ S, begun time.Time) time.Time { return begun.Add(d) })
}

// Until sets the deadline to a time that follows from the saga's data when the step begins.
func (s *AwaitStep[S]) Until(deadline func(data S) time.Time) *AwaitStep[S] {
	return s.deadline(func(data S, _ time.Time) time.Time { return deadline(data) })
}

func (s *AwaitStep[S]) deadline(until func(S, time.Time) time.Time) *AwaitStep[S] {
	s.until = until
	return s
}

// Else makes the saga go on when the deadline passes, with the data that the function returns, or back if it returns an
// error. The function must be pure. Without Else the saga goes back.
func (s *AwaitStep[S]) Else(otherwise func(data S) (S, error)) *AwaitStep[S] {
	s.otherwise = otherwise
	return s
}

func (s *AwaitStep[S]) add(d *Definition[S]) error {
	if s.until == nil {
		return fmt.Errorf("step %q has no deadline, so it may never end: give it Within or Until", s.name)
	}
	for i, event := range s.events {
		if event == nil {
			return fmt.Errorf("step %q: event %d is nil", s.name, i)
		}
	}
	return d.addStep(step[S]{name: s.name, await: s})
}

// Event is an event that a saga with data S awaits. [On] makes such events.
type Event[S any] interface {
	source
	// key returns the id of the saga that an event is for, or "" for none.
	key(event eventstore.Event, recorded eventstore.Recorded) string
	// take returns the data after the event.
	take(data S, event eventstore.Event) (S, error)
}

// source is where events of one type come from.
type source interface {
	// eventType is the name of the type, as the store knows it.
	eventType(store *eventstore.Store) (string, error)
	// reaction makes the reaction that handles events of the type.
	reaction(handle handler) reactor.Reaction
}

// typed is the source of events of type E.
type typed[E eventstore.Event] struct{}

func (typed[E]) eventType(store *eventstore.Store) (string, error) {
	if k := reflect.TypeFor[E]().Kind(); k == reflect.Interface || k == reflect.Pointer {
		return "", fmt.Errorf("%s is not an event: name the event's own struct type", reflect.TypeFor[E]())
	}
	var zero E
	return eventstore.Inside(inside.Pass{}, store).TypeOf(zero)
}

// AwaitedEvent is the [Event] of type E for sagas with data S.
type AwaitedEvent[S any, E eventstore.Event] struct {
	typed[E]
	taking func(S, E) (S, error)
	by     func(E) string
}

// On makes an event of type E that is awaited. The function returns the saga's data after it, or an error, which
// sends the saga back. It must be pure: it may run again for the same event.
func On[S any, E eventstore.Event](take func(data S, event E) (S, error)) *AwaitedEvent[S, E] {
	return &AwaitedEvent[S, E]{taking: take}
}

// By makes the event say for which saga it is. The default is the id of the event's stream. An event with an empty
// key is for no saga.
func (a *AwaitedEvent[S, E]) By(saga func(event E) string) *AwaitedEvent[S, E] {
	a.by = saga
	return a
}

func (a *AwaitedEvent[S, E]) key(event eventstore.Event, recorded eventstore.Recorded) string {
	if a.by == nil {
		return recorded.Stream.ID
	}
	return a.by(event.(E))
}

func (a *AwaitedEvent[S, E]) take(data S, event eventstore.Event) (S, error) {
	return a.taking(data, event.(E))
}

// start begins a saga with an event.
type start[S any] interface {
	source
	start(event eventstore.Event) (id string, data S)
}

type startOn[S any, E eventstore.Event] struct {
	typed[E]
	begin func(E) (string, S)
}

// StartOn is the part of a definition that starts a saga with each event of type E. The function returns the saga's
// id and data, or the id "" if the event starts none. It must be pure: an event may be handled twice, and starts one
// saga then.
func StartOn[S any, E eventstore.Event](begin func(event E) (id string, data S)) Part[S] {
	return startOn[S, E]{begin: begin}
}

func (s startOn[S, E]) start(event eventstore.Event) (string, S) { return s.begin(event.(E)) }

func (s startOn[S, E]) add(d *Definition[S]) error {
	d.starts = append(d.starts, s)
	return nil
}
