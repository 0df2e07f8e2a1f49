package saga

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/reactor"
)

// This file decides what happens next to a saga. Each function returns the events that follow from a status, and
// machine.go has the last word on whether they may happen. All of it is pure, but for due, which calls a function of
// the definition.

// due is the deadline of the step that comes next, or why it cannot be set. It is zero if that step awaits nothing.
type due struct {
	at  time.Time
	err error
}

// due calls the function that sets the deadline of a step, if it has one. A time that cannot be written down is
// replaced by the nearest that can. The deadline is never zero, since that is what tells a Do from it.
func (d *Definition[S]) due(s *Status, step int, data S, now time.Time) (next due) {
	if step >= len(s.Steps) {
		return next
	}
	one, _ := d.find(s.Steps[step].Name)
	if one.await == nil {
		return next
	}
	var at time.Time
	next.err = guarded(d.where(s.ID, one.name), "the function of its deadline", func() error {
		at = one.await.until(data, now)
		return nil
	})
	if next.err != nil {
		return next
	}
	if at.IsZero() {
		at = now
	}
	next.at = storable(at)
	return next
}

// onward returns what follows once the steps before one are done: that step begins, or the saga is completed. If the
// deadline of the step cannot be set, the saga is given up.
func (d *Definition[S]) onward(s *Status, from int, next due) []eventstore.Event {
	switch {
	case from == len(s.Steps):
		return []eventstore.Event{sagaevent.Completed{}}
	case next.err != nil:
		return d.giveUp(s, from, readable(next.err.Error()))
	}
	step, _ := d.find(s.Steps[from].Name)
	return []eventstore.Event{sagaevent.StepBegun{Step: step.name, Deadline: next.at, Awaits: step.awaits, Undo: step.undone()}}
}

// backward returns what follows once the steps after one are undone: that step is undone if it has begun and can be,
// or one before it is. If there is none, the saga is compensated. Nothing follows if a step comes first that has to be
// undone and has no Undo here: a release that has it goes on.
func (d *Definition[S]) backward(s *Status, from int) []eventstore.Event {
	for i := from; i >= 0; i-- {
		one := s.Steps[i]
		step, _ := d.find(one.Name)
		switch {
		case one.State != Ahead && one.State != Reverted && step.undone() == undoDue:
			return []eventstore.Event{sagaevent.UndoBegun{Step: one.Name}}
		case one.owed():
			return nil
		}
	}
	return []eventstore.Event{sagaevent.Compensated{}}
}

// giveUp returns what follows when a step has failed for good: the saga goes back. If there is no way back, or if what
// failed is an Undo, the saga is stuck.
func (d *Definition[S]) giveUp(s *Status, at int, reason string) []eventstore.Event {
	one := s.Steps[at]
	if one.State == Undoing || !d.mayReturn(s) {
		return []eventstore.Event{sagaevent.Stuck{Step: one.Name, Error: reason}}
	}
	return append([]eventstore.Event{sagaevent.Compensating{Error: reason}}, d.backward(s, at)...)
}

// mayReturn reports whether no step has begun from which there is no way back, by this definition or by the one with
// which it began.
func (d *Definition[S]) mayReturn(s *Status) bool {
	for _, one := range s.Steps {
		if step, _ := d.find(one.Name); one.State != Ahead && step.undone() == undoNever {
			return false
		}
	}
	return s.mayReturn()
}

// starting starts a saga that was not started. If a runner has room for the saga, it claims the saga in the same
// commit, and the first step begins.
func (d *Definition[S]) starting(started sagaevent.Started, stream eventstore.StreamID, claim *sagaevent.Claimed, first due) transition {
	return func(s Status) ([]eventstore.Event, error) {
		if s.Version > 0 {
			return nil, nil
		}
		if claim == nil {
			return []eventstore.Event{started}, nil
		}
		after := startedAs(started, stream)
		return append([]eventstore.Event{started, *claim}, d.onward(&after, 0, first)...), nil
	}
}

// startedAs is the status of a saga once it is started.
func startedAs(started sagaevent.Started, stream eventstore.StreamID) Status {
	return Status{}.apply(started, eventstore.Recorded{Commit: &eventstore.Commit{Stream: stream}})
}

// claim makes a saga a runner's, if the claim before it is still the one that is known to be over. If a Do is the next
// to begin, it begins in the same commit. The deadline of a step that awaits an event is only set once the claim is
// known, since a function of the definition says it.
func (d *Definition[S]) claim(claimed sagaevent.Claimed, claims int) transition {
	return func(s Status) ([]eventstore.Event, error) {
		if s.Claims != claims || s.State != StateRunning && s.State != StateCompensating {
			return nil, errNotOurs
		}
		events := []eventstore.Event{claimed}
		if next, _ := d.find(s.Current().Name); s.State == StateRunning && s.Current().State == Ahead && next.do != nil {
			events = append(events, d.onward(&s, s.At, due{})...)
		}
		return events, nil
	}
}

// owned is a transition that only the runner may make that has claimed the saga.
func owned(runner string, then transition) transition {
	return func(s Status) ([]eventstore.Event, error) {
		if s.Runner != runner {
			return nil, errNotOurs
		}
		return then(s)
	}
}

// only is a transition that leads to one event.
func only(event eventstore.Event) transition {
	return func(Status) ([]eventstore.Event, error) { return []eventstore.Event{event}, nil }
}

// expire decides that the deadline of a step has passed, and claims the saga for what follows. From then on it is
// settled which events are in time: those that stand before this decision in the log. See runner.late.
func expire(claimed sagaevent.Claimed, step string) transition {
	return func(s Status) ([]eventstore.Event, error) {
		if s.State != StateWaiting || s.Current().Name != step {
			return nil, errNotOurs
		}
		return []eventstore.Event{claimed, sagaevent.DeadlinePassed{Step: step}}, nil
	}
}

// receive decides that an event has happened that a step awaits. A runner claims the saga if it was waiting for that
// event. An event that comes too late, or after another, changes nothing.
func receive(received sagaevent.EventReceived, claim *sagaevent.Claimed) transition {
	return func(s Status) ([]eventstore.Event, error) {
		if !s.permits(received) {
			return nil, nil
		}
		events := []eventstore.Event{received}
		if claim != nil && s.State == StateWaiting && s.Current().Name == received.Step {
			events = append(events, *claim)
		}
		return events, nil
	}
}

// outcome is how a try of what is under way ended.
type outcome[S any] struct {
	data    S
	changed []byte // data as it is written down; nil if it is as before
	failed  error
	retry   Retry
	next    due // of the step that comes next, on the way forwards
}

// settle returns what follows from a try of what is under way.
func (d *Definition[S]) settle(s *Status, o outcome[S], now time.Time) []eventstore.Event {
	current := s.Current()
	undo := current.State == Undoing
	switch {
	case o.failed == nil && undo:
		return append([]eventstore.Event{sagaevent.Undone{Step: current.Name, Data: o.changed}}, d.backward(s, s.At-1)...)
	case o.failed == nil:
		return append([]eventstore.Event{sagaevent.StepDone{Step: current.Name, Data: o.changed}}, d.onward(s, s.At+1, o.next)...)
	case final(o.failed) || s.Failures+1 >= o.retry.Tries:
		return d.giveUp(s, s.At, readable(o.failed.Error()))
	}
	again := now.Add(backoff.Policy{Base: o.retry.Backoff, Max: o.retry.MaxBackoff}.Delay(s.Failures + 1)).UTC()
	if undo {
		return []eventstore.Event{sagaevent.UndoFailed{Step: current.Name, Error: readable(o.failed.Error()), Again: again}}
	}
	return []eventstore.Event{sagaevent.StepFailed{Step: current.Name, Error: readable(o.failed.Error()), Again: again}}
}

// final reports whether no other try helps against an error.
func final(err error) bool {
	var read *said
	if errors.As(err, &read) && read.final {
		return true
	}
	return reactor.IsPermanent(err) || errors.Is(err, aggregate.ErrRejected) || errors.Is(err, aggregate.ErrKeyClosed) ||
		errors.Is(err, aggregate.ErrKeyReused) || errors.Is(err, aggregate.ErrInvalidCommand)
}

// cancel makes a saga go back that runs, waits, or is stuck on its way forwards.
func (d *Definition[S]) cancel(reason string) transition {
	return func(s Status) ([]eventstore.Event, error) {
		switch {
		case s.State.Final():
			return nil, d.stateError(s, "it has ended")
		case s.Back:
			return nil, d.stateError(s, "it goes back already")
		case !d.mayReturn(&s):
			return nil, d.stateError(s, fmt.Sprintf("step %q has begun, from which there is no way back", s.Current().Name))
		}
		back := s
		back.Back = true
		if err := d.fits(&back); err != nil {
			return nil, d.stateError(s, err.Error())
		}
		var events []eventstore.Event
		if s.Runner != "" {
			events = append(events, sagaevent.Released{Runner: s.Runner})
		}
		events = append(events, sagaevent.Compensating{Error: readable("cancelled: " + reason)})
		return append(events, d.backward(&s, s.At)...), nil
	}
}

// whenStuck is a transition of a saga that is stuck.
func (d *Definition[S]) whenStuck(event eventstore.Event, otherwise string) transition {
	return func(s Status) ([]eventstore.Event, error) {
		if s.State != StateStuck {
			return nil, d.stateError(s, otherwise)
		}
		return []eventstore.Event{event}, nil
	}
}

func (d *Definition[S]) stateError(s Status, reason string) error {
	return &StateError{Definition: d.name, Saga: s.ID, State: s.State, Reason: reason}
}

// checked returns the events that a transition decides, unless one of them must not happen to the saga as it is. Then
// it returns an error that matches ErrState. That is the one place through which all events of sagas go.
func (d *Definition[S]) checked(s Status, decide transition) ([]eventstore.Event, error) {
	events, err := decide(s)
	if err != nil {
		return nil, err
	}
	after := s
	for i, event := range events {
		if !after.permits(event) {
			return nil, d.stateError(after, fmt.Sprintf("%s must not happen then", event.EventType()))
		}
		if i < len(events)-1 {
			c := &eventstore.Commit{Stream: eventstore.StreamID{Category: d.name, ID: s.ID}, First: s.Version + 1, Position: s.Position + 1}
			after = after.after(event, eventstore.Recorded{Commit: c, Index: i})
		}
	}
	return events, nil
}

// sameStart reports whether a saga was started with data. Fields that one release has and the other has not do not
// count.
func (d *Definition[S]) sameStart(in *instance[S], encoded []byte) bool {
	return bytes.Equal(in.started, encoded) || d.shape.Agrees(in.started, encoded)
}
