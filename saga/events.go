package saga

import (
	"time"

	"github.com/runnel-go/runnel/eventstore"
)

// Events are the prototypes of the events in which the history of sagas is written. Open the store with them beside its
// own:
//
//	store, err := eventstore.Open(ctx, js, "bank", append(saga.Events(), events...), nil)
func Events() []eventstore.Event {
	return []eventstore.Event{
		Started{}, Claimed{}, Released{}, StepBegun{}, StepFailed{}, StepDone{}, EventReceived{}, DeadlinePassed{}, Completed{},
		Compensating{}, UndoBegun{}, UndoFailed{}, Undone{}, Compensated{}, Stuck{}, Retried{}, Resolved{},
	}
}

// Started is the first event of every saga.
type Started struct {
	Steps []string   // their names, in order; the saga keeps to them whatever a later release defines
	Kinds []StepKind // of the steps; empty in sagas of older releases
	Data  []byte     // in msgpack

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
// time, also if it is received later. One that stands behind it is too late.
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

// Stuck says that the saga cannot go on by itself: see [Manager.Retry], [Manager.Resolve] and [Manager.Cancel].
type Stuck struct {
	Step  string
	Error string
}

// Retried says that a saga which was stuck is tried again.
type Retried struct{}

// Resolved is the last event of a saga that was stuck and that a person has brought to its end.
type Resolved struct{ Reason string }

// The names of the events in the log.

// EventType is "saga.started".
func (Started) EventType() string { return "saga.started" }

// EventType is "saga.claimed".
func (Claimed) EventType() string { return "saga.claimed" }

// EventType is "saga.released".
func (Released) EventType() string { return "saga.released" }

// EventType is "saga.step.begun".
func (StepBegun) EventType() string { return "saga.step.begun" }

// EventType is "saga.step.failed".
func (StepFailed) EventType() string { return "saga.step.failed" }

// EventType is "saga.step.done".
func (StepDone) EventType() string { return "saga.step.done" }

// EventType is "saga.event.received".
func (EventReceived) EventType() string { return "saga.event.received" }

// EventType is "saga.deadline.passed".
func (DeadlinePassed) EventType() string { return "saga.deadline.passed" }

// EventType is "saga.completed".
func (Completed) EventType() string { return "saga.completed" }

// EventType is "saga.compensating".
func (Compensating) EventType() string { return "saga.compensating" }

// EventType is "saga.undo.begun".
func (UndoBegun) EventType() string { return "saga.undo.begun" }

// EventType is "saga.undo.failed".
func (UndoFailed) EventType() string { return "saga.undo.failed" }

// EventType is "saga.undone".
func (Undone) EventType() string { return "saga.undone" }

// EventType is "saga.compensated".
func (Compensated) EventType() string { return "saga.compensated" }

// EventType is "saga.stuck".
func (Stuck) EventType() string { return "saga.stuck" }

// EventType is "saga.retried".
func (Retried) EventType() string { return "saga.retried" }

// EventType is "saga.resolved".
func (Resolved) EventType() string { return "saga.resolved" }
