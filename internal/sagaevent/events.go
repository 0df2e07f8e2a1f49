// Package sagaevent holds the events in which the history of a saga is written. Package saga shows them to its users as
// lines of a history, and exports the few to which a program reacts.
package sagaevent

import (
	"time"

	"github.com/runnel-go/runnel/eventstore"
)

// All are the prototypes of all events.
func All() []eventstore.Event {
	return []eventstore.Event{
		Started{}, Claimed{}, Released{}, StepBegun{}, StepFailed{}, StepDone{}, EventReceived{}, DeadlinePassed{}, Completed{},
		Compensating{}, UndoBegun{}, UndoFailed{}, Undone{}, Compensated{}, Stuck{}, Retried{}, Resolved{},
	}
}

// Started is the first event of every saga.
type Started struct {
	Steps []string // their names, in order; the saga keeps to them whatever a later release defines
	Kinds []string // of the steps; empty in sagas of older releases
	Data  []byte   // in msgpack

	Awaits [][]string // the names of the types that each step awaits; empty in sagas of older releases

	Cause      eventstore.Position // of the event that started the saga; 0 if Start was called
	CauseIndex int                 // of that event in its commit
}

// Claimed says that a runner works on the saga from now on, until it releases the saga or the time is over without
// another claim. A runner renews its claim with the same event.
type Claimed struct {
	Runner string
	For    time.Duration // since another runner has heard of the event
}

// Released says that the runner has given the saga back before its end.
type Released struct{ Runner string }

// StepBegun says that a step's Do may have effects from now on, or that its event is awaited.
type StepBegun struct {
	Step     string
	Deadline time.Time // until when the event is awaited; zero for a Do
	Awaits   []string  // the names of the types that are awaited; empty if an older release began the step
	Undo     string    // "due" if the saga goes back, or "never" if it must not; else "", as in older releases
}

// StepFailed says that a try of Do failed. The saga is claimed by nobody until it is tried again.
type StepFailed struct {
	Step  string
	Error string
	Again time.Time // not before
}

// StepDone says that a step has come to its end.
type StepDone struct {
	Step string
	Data []byte // in msgpack; nil if it did not change
}

// EventReceived says that the event that a step awaits, or will await, has happened.
type EventReceived struct {
	Step     string
	Type     string // its name
	Position eventstore.Position
	Index    int // in the commit at that position
}

// DeadlinePassed says that the deadline of a step has passed. An awaited event that stands before it in the log is in
// time, also if it is received later. One that stands after it is too late.
type DeadlinePassed struct{ Step string }

// Completed is the last event of a saga whose steps are all done.
type Completed struct{}

// Compensating says that the saga goes back from now on.
type Compensating struct{ Error string }

// UndoBegun says that a step's Undo may have effects from now on.
type UndoBegun struct{ Step string }

// UndoFailed says that a try of Undo failed. The saga is claimed by nobody until it is tried again.
type UndoFailed struct {
	Step  string
	Error string
	Again time.Time // not before
}

// Undone says that nothing is left of a step.
type Undone struct {
	Step string
	Data []byte // in msgpack; nil if it did not change
}

// Compensated is the last event of a saga of which nothing is left.
type Compensated struct{}

// Stuck says that the saga cannot go on by itself: see Manager.Retry, Resolve and Cancel in package saga.
type Stuck struct {
	Step  string
	Error string
}

// Retried says that a saga which was stuck is tried again.
type Retried struct{}

// Resolved is the last event of a saga that was stuck and that a person has brought to its end.
type Resolved struct{ Reason string }

// EventType is the name of the event in the log.
func (Started) EventType() string { return "saga.started" }

// EventType is the name of the event in the log.
func (Claimed) EventType() string { return "saga.claimed" }

// EventType is the name of the event in the log.
func (Released) EventType() string { return "saga.released" }

// EventType is the name of the event in the log.
func (StepBegun) EventType() string { return "saga.step.begun" }

// EventType is the name of the event in the log.
func (StepFailed) EventType() string { return "saga.step.failed" }

// EventType is the name of the event in the log.
func (StepDone) EventType() string { return "saga.step.done" }

// EventType is the name of the event in the log.
func (EventReceived) EventType() string { return "saga.event.received" }

// EventType is the name of the event in the log.
func (DeadlinePassed) EventType() string { return "saga.deadline.passed" }

// EventType is the name of the event in the log.
func (Completed) EventType() string { return "saga.completed" }

// EventType is the name of the event in the log.
func (Compensating) EventType() string { return "saga.compensating" }

// EventType is the name of the event in the log.
func (UndoBegun) EventType() string { return "saga.undo.begun" }

// EventType is the name of the event in the log.
func (UndoFailed) EventType() string { return "saga.undo.failed" }

// EventType is the name of the event in the log.
func (Undone) EventType() string { return "saga.undone" }

// EventType is the name of the event in the log.
func (Compensated) EventType() string { return "saga.compensated" }

// EventType is the name of the event in the log.
func (Stuck) EventType() string { return "saga.stuck" }

// EventType is the name of the event in the log.
func (Retried) EventType() string { return "saga.retried" }

// EventType is the name of the event in the log.
func (Resolved) EventType() string { return "saga.resolved" }
