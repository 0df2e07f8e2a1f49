package saga

import (
	"fmt"
	"strings"
	"time"

	"github.com/runnel-go/runnel/eventstore"
)

// This file has the state machine: what follows from what. Everything here is pure.

// maxError is how many bytes of an error are written down.
const maxError = 1000

func textOf(err error) string {
	text := err.Error()
	if len(text) > maxError {
		text = text[:maxError] + "..."
	}
	return strings.ToValidUTF8(text, "\uFFFD") // a store that encodes in JSON refuses other text
}

// onward gives what follows once the steps before one are done: it begins, or the saga is completed.
func (d *Definition[S]) onward(s *Status, from int, data S, now time.Time) []eventstore.Event {
	if from == len(s.Steps) {
		return []eventstore.Event{Completed{}}
	}
	begun := StepBegun{Step: s.Steps[from].Name}
	if next, _ := d.find(begun.Step); next.await != nil {
		if begun.Deadline = next.await.until(data, now).UTC(); begun.Deadline.IsZero() {
			begun.Deadline = now.UTC() // zero is what tells a Do from it
		}
	}
	return []eventstore.Event{begun}
}

// backward gives what follows once the steps behind one are undone: it is undone, if it has begun and can be, or one
// before it, or nothing is left of the saga.
func (d *Definition[S]) backward(s *Status, from int) []eventstore.Event {
	for i := from; i >= 0; i-- {
		one := s.Steps[i]
		step, _ := d.find(one.Name)
		if one.State != Ahead && one.State != Reverted && step.do != nil && step.do.undo != nil {
			return []eventstore.Event{UndoBegun{Step: one.Name}}
		}
	}
	return []eventstore.Event{Compensated{}}
}

// giveUp gives what follows when the current step has failed for good: the saga goes back, or where there is no way back it
// is stuck.
func (d *Definition[S]) giveUp(s *Status, reason string) []eventstore.Event {
	current := s.Current()
	if current.State == Undoing || !d.mayReturn(s) {
		return []eventstore.Event{Stuck{Step: current.Name, Error: reason}}
	}
	return append([]eventstore.Event{Compensating{Error: reason}}, d.backward(s, s.At)...)
}

// mayReturn reports whether no step has begun from which there is no way back.
func (d *Definition[S]) mayReturn(s *Status) bool {
	for _, one := range s.Steps {
		if step, _ := d.find(one.Name); one.State != Ahead && step.do != nil && step.do.retriable {
			return false
		}
	}
	return true
}

// claim makes a saga a runner's, if the claim before it is still the one that is known to be over.
func (d *Definition[S]) claim(runner string, lasts time.Duration, claims int) transition {
	return func(s Status) ([]eventstore.Event, error) {
		if s.Claims != claims || s.State != StateRunning && s.State != StateCompensating {
			return nil, errNotOurs
		}
		return []eventstore.Event{Claimed{Runner: runner, For: lasts}}, nil
	}
}

// renew makes a saga a runner's for longer.
func renew(runner string, lasts time.Duration) transition {
	return owned(runner, func(Status) ([]eventstore.Event, error) {
		return []eventstore.Event{Claimed{Runner: runner, For: lasts}}, nil
	})
}

// owned is a transition that only the runner may make who has claimed the saga.
func owned(runner string, then transition) transition {
	return func(s Status) ([]eventstore.Event, error) {
		if s.Runner != runner {
			return nil, errNotOurs
		}
		return then(s)
	}
}

// expire decides that the deadline of a step has passed. It claims the saga for what follows.
func (d *Definition[S]) expire(runner string, lasts time.Duration, step string) transition {
	return func(s Status) ([]eventstore.Event, error) {
		if s.State != StateWaiting || s.Current().Name != step {
			return nil, errNotOurs
		}
		events := []eventstore.Event{Claimed{Runner: runner, For: lasts}, DeadlinePassed{Step: step}}
		if one, _ := d.find(step); one.await.otherwise == nil {
			reason := fmt.Sprintf("no answer until %s", s.Current().Deadline.Format(time.RFC3339))
			events = append(events, d.giveUp(&s, reason)...)
		}
		return events, nil
	}
}

// receive decides that an event has happened that a step awaits. A runner claims the saga where it was waiting for that.
func receive(received EventReceived, claim *Claimed) transition {
	return func(s Status) ([]eventstore.Event, error) {
		i := s.index(received.Step)
		if i < 0 || received.Position < s.First || s.State.Final() || s.State == StateCompensating {
			return nil, nil
		}
		if one := s.Steps[i]; one.State != Ahead && one.State != UnderWay || one.Received != nil || one.Passed {
			return nil, nil // it has ended, or an event came before
		}
		events := []eventstore.Event{received}
		if claim != nil && s.State == StateWaiting && i == s.At {
			events = append(events, *claim)
		}
		return events, nil
	}
}
