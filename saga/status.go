package saga

import (
	"slices"
	"time"

	"github.com/runnel-go/runnel/eventstore"
)

// State says how a saga is.
type State string

// The states of a saga. Those from StateCompleted on are final.
const (
	StateRunning      State = "running"      // a step is under way, or is to be tried again
	StateWaiting      State = "waiting"      // for an event, or for the deadline
	StateCompensating State = "compensating" // it goes back
	StateStuck        State = "stuck"        // somebody has to look at it
	StateCompleted    State = "completed"    // all steps are done
	StateCompensated  State = "compensated"  // nothing is left of it
	StateResolved     State = "resolved"     // it was stuck, and brought to its end by a person
)

// Final reports whether nothing happens to the saga any more.
func (s State) Final() bool {
	return s == StateCompleted || s == StateCompensated || s == StateResolved
}

// StepState says how one step of a saga is.
type StepState string

// The states of a step.
const (
	Ahead    StepState = "ahead"    // it has not begun
	UnderWay StepState = "underway" // Do may have effects, or the event is awaited
	Finished StepState = "finished"
	Undoing  StepState = "undoing" // Undo may have effects
	Reverted StepState = "reverted"
)

// Status is what a saga's history amounts to, but for its data. It is also the document of the saga in the view of all of
// its definition, in JSON.
type Status struct {
	ID       string        `json:"id"`
	State    State         `json:"state"`
	Steps    []StepStatus  `json:"steps"`
	At       int           `json:"at"`               // index into Steps: the one that is under way, or was last
	Failures int           `json:"failures"`         // of the tries of what is under way
	Again    time.Time     `json:"again,omitzero"`   // when it is tried again
	Error    string        `json:"error,omitempty"`  // why it is tried again, goes back or is stuck
	Runner   string        `json:"runner,omitempty"` // who has claimed it
	Claims   int           `json:"claims"`           // how often it was claimed; what names a claim
	ClaimFor time.Duration `json:"claim_for"`        // in nanoseconds
	Started  time.Time     `json:"started"`          // by the clock of who started it
	Changed  time.Time     `json:"changed"`          // by the clock of who wrote the last event

	Version  eventstore.Version  `json:"version"`  // of the last event
	Position eventstore.Position `json:"position"` // of its commit
	First    eventstore.Position `json:"first"`    // where the saga was started
}

// StepStatus says how one step of a saga is.
type StepStatus struct {
	Name     string              `json:"name"`
	State    StepState           `json:"state"`
	Begun    eventstore.Position `json:"begun,omitempty"`    // where the step began, or its Undo once that has
	Deadline time.Time           `json:"deadline,omitzero"`  // until when its event is awaited
	Passed   bool                `json:"passed,omitempty"`   // the deadline has
	Received *EventReceived      `json:"received,omitempty"` // the event it awaits, perhaps before the step began
}

// Current is the step that is under way, or was last.
func (s Status) Current() StepStatus { return s.Steps[s.At] }

// open reports whether a runner can have something to do for the saga, now or later.
func (s Status) open() bool { return s.Version > 0 && !s.State.Final() && s.State != StateStuck }

// index finds a step by its name, or gives -1.
func (s Status) index(step string) int {
	return slices.IndexFunc(s.Steps, func(one StepStatus) bool { return one.Name == step })
}

// apply gives the status after an event.
func (s Status) apply(event eventstore.Event, r eventstore.Recorded) Status {
	s.Version, s.Position, s.Changed = r.Version(), r.Position, r.Time
	switch e := event.(type) {
	case Started:
		s.ID, s.State, s.Started, s.First = r.Stream.ID, StateRunning, r.Time, r.Position
		for _, name := range e.Steps {
			s.Steps = append(s.Steps, StepStatus{Name: name, State: Ahead})
		}
	case Claimed:
		s.Runner, s.ClaimFor, s.Again = e.Runner, e.For, time.Time{}
		s.Claims++
	case Released:
		s.Runner = ""
	case StepBegun:
		s = s.begin(e, r.Position)
	case StepFailed:
		s = s.fail(e.Error, e.Again)
	case StepDone:
		s = s.step(e.Step, func(one *StepStatus) { one.State = Finished })
		s.Failures, s.Error = 0, ""
	case EventReceived:
		s = s.step(e.Step, func(one *StepStatus) { one.Received = &e })
		s = s.awake(e.Step)
	case DeadlinePassed:
		s = s.step(e.Step, func(one *StepStatus) { one.Passed = true })
		s = s.awake(e.Step)
	case Completed:
		s = s.end(StateCompleted)
	case Compensating:
		s.State, s.Error, s.Failures, s.Again = StateCompensating, e.Error, 0, time.Time{}
	case UndoBegun:
		s = s.step(e.Step, func(one *StepStatus) { one.State, one.Begun = Undoing, r.Position })
		s.Failures = 0
	case UndoFailed:
		s = s.fail(s.Error, e.Again)
	case Undone:
		s = s.step(e.Step, func(one *StepStatus) { one.State = Reverted })
	case Compensated:
		s = s.end(StateCompensated)
	case Stuck:
		s = s.end(StateStuck)
		s.Error = e.Error
	case Retried:
		s.State, s.Failures = StateRunning, 0
		if s.Current().State == Undoing {
			s.State = StateCompensating
		}
	case Resolved:
		s = s.end(StateResolved)
	}
	return s
}

// step gives the status with one step changed, which becomes the current one unless it is ahead.
func (s Status) step(name string, change func(*StepStatus)) Status {
	i := s.index(name)
	if i < 0 {
		return s
	}
	s.Steps = slices.Clone(s.Steps)
	change(&s.Steps[i])
	if s.Steps[i].State != Ahead {
		s.At = i
	}
	return s
}

func (s Status) begin(e StepBegun, position eventstore.Position) Status {
	s = s.step(e.Step, func(one *StepStatus) { one.State, one.Begun, one.Deadline = UnderWay, position, e.Deadline })
	s.Failures = 0
	if !e.Deadline.IsZero() && s.Current().Received == nil {
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
	s.Error, s.Again, s.Runner = reason, again, ""
	return s
}

func (s Status) end(state State) Status {
	s.State, s.Runner, s.Again = state, "", time.Time{}
	return s
}
