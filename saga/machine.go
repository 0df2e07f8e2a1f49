package saga

import (
	"slices"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	runners "github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/internal/sagaevent"
)

// This file is the state machine of a saga: which event may follow in which state, and what the saga is then.
// Everything here is pure. Nothing else changes a Status, and no event is appended that permits refuses. The guide
// has its table.

// apply returns the status after an event of the saga's history. An event that the state refuses changes nothing but
// the version: an older release may have written it, and the history stays as it is.
func (s Status) apply(event eventstore.Event, r eventstore.Recorded) Status {
	if s.permits(event) {
		s = s.after(event, r)
	}
	s.Version, s.Position, s.Changed = r.Version(), r.Position, storable(r.Time)
	return s
}

// permits reports whether an event may happen to the saga as it is.
func (s Status) permits(event eventstore.Event) bool {
	switch s.State {
	case "":
		started, is := event.(sagaevent.Started)
		return is && len(started.Steps) > 0
	case StateRunning, StateWaiting:
		return s.permitsForwards(event, s.State == StateRunning)
	case StateCompensating:
		return s.permitsBackwards(event)
	case StateStuck:
		return s.permitsStuck(event)
	case StateCompleted, StateCompensated, StateResolved:
	}
	return false
}

// permitsForwards is permits for a saga on its way forwards. It runs, or it waits.
func (s Status) permitsForwards(event eventstore.Event, running bool) bool {
	switch e := event.(type) {
	case sagaevent.Claimed:
		return true
	case sagaevent.Compensating:
		return s.mayReturn()
	case sagaevent.Released:
		return s.claimedBy(e.Runner)
	case sagaevent.StepBegun:
		return running && s.ahead(e.Step)
	case sagaevent.StepFailed:
		return running && s.at(e.Step, UnderWay)
	case sagaevent.StepDone:
		return running && s.at(e.Step, UnderWay)
	case sagaevent.EventReceived:
		return s.awaits(e)
	case sagaevent.DeadlinePassed:
		return !running && s.at(e.Step, UnderWay)
	case sagaevent.Completed:
		return running && s.unfinished() == len(s.Steps)
	case sagaevent.Stuck:
		return running && s.nextStep(e.Step)
	}
	return false
}

// permitsBackwards is permits for a saga that goes back.
func (s Status) permitsBackwards(event eventstore.Event) bool {
	switch e := event.(type) {
	case sagaevent.Claimed:
		return true
	case sagaevent.Released:
		return s.claimedBy(e.Runner)
	case sagaevent.UndoBegun:
		return s.mayUndo(e.Step)
	case sagaevent.UndoFailed:
		return s.at(e.Step, Undoing)
	case sagaevent.Undone:
		return s.at(e.Step, Undoing)
	case sagaevent.Compensated:
		return !slices.ContainsFunc(s.Steps, StepStatus.owed)
	case sagaevent.Stuck:
		return s.at(e.Step, Undoing)
	}
	return false
}

// permitsStuck is permits for a saga that is stuck.
func (s Status) permitsStuck(event eventstore.Event) bool {
	switch e := event.(type) {
	case sagaevent.EventReceived:
		return !s.Back && s.awaits(e)
	case sagaevent.Compensating:
		return !s.Back && s.mayReturn()
	case sagaevent.Retried, sagaevent.Resolved:
		return true
	}
	return false
}

func (s Status) claimedBy(runner string) bool { return s.Runner != "" && s.Runner == runner }

// at reports whether a step is the current one, and in a state.
func (s Status) at(step string, state StepState) bool {
	current := s.Current()
	return current.Name == step && current.State == state
}

// unfinished returns the index of the first step that is not finished, or the number of steps.
func (s Status) unfinished() int {
	i := slices.IndexFunc(s.Steps, func(one StepStatus) bool { return one.State != Finished })
	if i < 0 {
		return len(s.Steps)
	}
	return i
}

// nextStep reports whether a step is the one that the saga is at, or comes to next, on its way forwards.
func (s Status) nextStep(step string) bool {
	i := s.unfinished()
	return i < len(s.Steps) && s.Steps[i].Name == step
}

// ahead reports whether a step is the next to begin.
func (s Status) ahead(step string) bool {
	return s.nextStep(step) && s.Steps[s.unfinished()].State == Ahead
}

// mayReturn reports whether no step has begun from which there is no way back.
func (s Status) mayReturn() bool {
	return !slices.ContainsFunc(s.Steps, func(one StepStatus) bool { return one.Undo == undoNever })
}

// mayUndo reports whether the Undo of a step may begin: the steps after it are undone, or have nothing to undo.
func (s Status) mayUndo(step string) bool {
	i := s.index(step)
	if i < 0 || i > s.At || slices.ContainsFunc(s.Steps[i+1:], StepStatus.owed) {
		return false
	}
	return s.Steps[i].State == UnderWay || s.Steps[i].State == Finished
}

// awaits reports whether an event is in time for a step that awaits it: it happened after what started the saga, before
// the step's deadline passed, and no other was received.
func (s Status) awaits(e sagaevent.EventReceived) bool {
	i := s.index(e.Step)
	if i < 0 || !s.origin().before(place{e.Position, e.Index}) {
		return false
	}
	one := s.Steps[i]
	return one.Kind != kindDo && (one.State == Ahead || one.State == UnderWay) && one.Received == 0 &&
		(!one.Passed || e.Position < one.PassedAt)
}

// place is where an event stands in the log.
type place struct {
	position eventstore.Position
	index    int // in the commit
}

func (p place) before(other place) bool {
	return p.position < other.position || p.position == other.position && p.index < other.index
}

// origin is the place of the event that started the saga, or of the saga's own first commit.
func (s Status) origin() place {
	if s.Cause > 0 {
		return place{s.Cause, s.CauseIndex}
	}
	return place{position: s.First}
}

// after returns the status after an event that it permits.
func (s Status) after(event eventstore.Event, r eventstore.Recorded) Status {
	switch e := event.(type) {
	case sagaevent.Started:
		s = s.start(e, r)
	case sagaevent.Claimed:
		s.Runner, s.ClaimFor, s.Again = e.Runner, e.For, time.Time{}
		s.Claims++
	case sagaevent.Released:
		s.Runner = ""
	case sagaevent.StepBegun:
		s = s.begin(e, r.Position)
	case sagaevent.StepFailed:
		s = s.fail(e.Error, e.Again)
	case sagaevent.StepDone:
		s = s.step(e.Step, func(one *StepStatus) { one.State = Finished })
		s.Failures, s.Error = 0, ""
	case sagaevent.EventReceived:
		s = s.step(e.Step, func(one *StepStatus) { one.Kind, one.Received, one.ReceivedIndex = kindAwait, e.Position, e.Index })
		s = s.awake(e.Step)
	case sagaevent.DeadlinePassed:
		s = s.step(e.Step, func(one *StepStatus) { one.Passed, one.PassedAt = true, r.Position })
		s = s.awake(e.Step)
	case sagaevent.Completed:
		s = s.end(StateCompleted)
	case sagaevent.Compensating:
		s.State, s.Back, s.Error, s.Failures, s.Again = StateCompensating, true, readable(e.Error), 0, time.Time{}
	case sagaevent.UndoBegun:
		s = s.step(e.Step, func(one *StepStatus) { one.State, one.Begun = Undoing, r.Position })
		s.At, s.Failures = s.index(e.Step), 0
	case sagaevent.UndoFailed:
		s = s.fail(s.Error, e.Again)
	case sagaevent.Undone:
		s = s.step(e.Step, func(one *StepStatus) { one.State = Reverted })
	case sagaevent.Compensated:
		s = s.end(StateCompensated)
	case sagaevent.Stuck:
		s = s.end(StateStuck)
		s.At, s.Error = s.index(e.Step), readable(e.Error)
	case sagaevent.Retried:
		s.State, s.Failures = StateRunning, 0
		if s.Back {
			s.State = StateCompensating
		}
	case sagaevent.Resolved:
		s = s.end(StateResolved)
	}
	return s
}

func (s Status) start(e sagaevent.Started, r eventstore.Recorded) Status {
	s.ID, s.State, s.Started, s.First = r.Stream.ID, StateRunning, storable(r.Time), r.Position
	s.Cause, s.CauseIndex = e.Cause, e.CauseIndex
	for i, name := range e.Steps {
		one := StepStatus{Name: name, State: Ahead}
		if i < len(e.Kinds) {
			one.Kind = e.Kinds[i]
		}
		if i < len(e.Awaits) {
			one.Awaits = e.Awaits[i]
		}
		s.Steps = append(s.Steps, one)
	}
	return s
}

// step returns the status with one step changed.
func (s Status) step(name string, change func(*StepStatus)) Status {
	s.Steps = slices.Clone(s.Steps)
	change(&s.Steps[s.index(name)])
	return s
}

func (s Status) begin(e sagaevent.StepBegun, position eventstore.Position) Status {
	kind := kindDo
	if !e.Deadline.IsZero() {
		kind = kindAwait
	}
	s = s.step(e.Step, func(one *StepStatus) {
		one.State, one.Kind, one.Begun, one.Deadline = UnderWay, kind, position, storable(e.Deadline)
		one.Undo = e.Undo
		if len(e.Awaits) > 0 {
			one.Awaits = e.Awaits
		}
	})
	s.At, s.Failures = s.index(e.Step), 0
	if kind == kindAwait && s.Current().Received == 0 {
		s.State, s.Runner = StateWaiting, ""
	}
	return s
}

// awake lets a saga go on that waits at a step.
func (s Status) awake(step string) Status {
	if s.State == StateWaiting && s.Current().Name == step {
		s.State = StateRunning
	}
	return s
}

func (s Status) fail(reason string, again time.Time) Status {
	s.Failures++
	s.Error, s.Again, s.Runner = readable(reason), storable(again), ""
	return s
}

func (s Status) end(state State) Status {
	s.State, s.Runner, s.Again = state, "", time.Time{}
	return s
}

// The times that a status can hold. Every store and every view can write them down, in whichever codec.
var (
	earliest = time.Unix(0, 0).UTC()
	latest   = time.Date(9999, time.December, 31, 0, 0, 0, 0, time.UTC)
)

// storable returns the nearest time that can be written down. The zero time stays, because it means no time.
func storable(t time.Time) time.Time {
	switch {
	case t.IsZero():
		return time.Time{}
	case t.Before(earliest):
		return earliest
	case t.After(latest):
		return latest
	}
	return t.UTC()
}

// maxText is how many bytes of an error, or of a reason that a person states, are written down.
const maxText = 1000

// readable returns a text of maxText bytes at most that every store and every view can hold.
func readable(text string) string { return runners.Shortened(text, maxText) }
