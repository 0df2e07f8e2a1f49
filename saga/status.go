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

// The kinds of steps.
const (
	kindDo    = "do"    // made by Step
	kindAwait = "await" // made by Await
)

// The values of StepStatus.Undo.
const (
	undoDue   = "due"   // its Undo has to be called
	undoNever = "never" // the saga does not go back
)

// Status is what a saga's history amounts to, without its data. It is also the document of the saga, in JSON, in the
// view of all sagas of its definition. Times before 1970 and after 9999 are shown as the nearest of those.
//
// Error says why a Do is tried again, why the saga goes back, or why it is stuck. The errors of an Undo's tries are in
// the history.
type Status struct {
	ID       string        `json:"id"`
	State    State         `json:"state"`
	Steps    []StepStatus  `json:"steps"`
	At       int           `json:"at"`               // index into Steps: the one that is under way, or was last
	Back     bool          `json:"back,omitempty"`   // it goes back, or has gone back
	Failures int           `json:"failures"`         // of the tries of what is under way
	Again    time.Time     `json:"again,omitzero"`   // when it is tried again
	Error    string        `json:"error,omitempty"`  // see above
	Runner   string        `json:"runner,omitempty"` // the id of the run that has claimed it
	Claims   int           `json:"claims"`           // how often it was claimed; what names a claim
	ClaimFor time.Duration `json:"claimFor"`         // in nanoseconds
	Started  time.Time     `json:"started"`          // by the clock of the process that started it
	Changed  time.Time     `json:"changed"`          // by the clock of the process that wrote the last event

	Version  eventstore.Version  `json:"version"`  // of the last event
	Position eventstore.Position `json:"position"` // of its commit
	First    eventstore.Position `json:"first"`    // of the saga's first commit

	Cause      eventstore.Position `json:"cause,omitempty"`      // of the event that started it; 0 if Start was called
	CauseIndex int                 `json:"causeIndex,omitempty"` // of that event in its commit

	// LeftAlone says why the manager that was asked does not run the saga, or is empty if it does. Get and List set it.
	// Another release may run it.
	LeftAlone string `json:"leftAlone,omitempty"`
}

// StepStatus says how one step of a saga is.
type StepStatus struct {
	Name     string              `json:"name"`
	Kind     string              `json:"kind,omitempty"` // "do" or "await"; can be "" before it begins
	State    StepState           `json:"state"`
	Begun    eventstore.Position `json:"begun,omitempty"`    // where the step began, or its Undo once that has
	Deadline time.Time           `json:"deadline,omitzero"`  // until when its event is awaited
	Passed   bool                `json:"passed,omitempty"`   // the deadline has
	PassedAt eventstore.Position `json:"passedAt,omitempty"` // where: events that stand after it are too late

	// Awaits are the names of the types that it awaits, as the release says that began it, or that started the saga.
	Awaits []string `json:"awaits,omitempty"`
	// Undo is "due" if the step's Undo has to be called when the saga goes back, and "never" if there is no way back.
	// The release says it that begins the step.
	Undo string `json:"undo,omitempty"`

	Received      eventstore.Position `json:"received,omitempty"`      // of the awaited event, or 0; also before Begun
	ReceivedIndex int                 `json:"receivedIndex,omitempty"` // of that event in its commit
}

// Current returns the step that is under way, or was last. It is zero in a status without a history.
func (s Status) Current() StepStatus {
	if len(s.Steps) == 0 {
		return StepStatus{}
	}
	return s.Steps[s.At]
}

// owed reports whether the saga cannot be compensated before the step's Undo was called.
func (s StepStatus) owed() bool {
	return s.State == Undoing || s.Undo == undoDue && (s.State == UnderWay || s.State == Finished)
}

// open reports whether a runner can have something to do for the saga, now or later.
func (s Status) open() bool { return s.Version > 0 && !s.State.Final() && s.State != StateStuck }

// index returns the index of a step, or -1.
func (s Status) index(step string) int {
	return slices.IndexFunc(s.Steps, func(one StepStatus) bool { return one.Name == step })
}
