package saga

import (
	"cmp"
	"reflect"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/sagaevent"
)

// Events are the prototypes of the events in which the history of sagas is written. Open the store with them beside its
// own:
//
//	store, err := eventstore.Open(ctx, js, "bank", append(saga.Events(), events...), nil)
func Events() []eventstore.Event { return sagaevent.All() }

// These events end a saga. Views and reactors follow them as they follow other events. The guide on sagas lists all
// events of a history; [Manager.Get] shows them.
type (
	// Completed is the last event of a saga whose steps are all done. It has no fields.
	Completed = sagaevent.Completed
	// Compensated is the last event of a saga of which nothing is left. It has no fields.
	Compensated = sagaevent.Compensated
	// Resolved is the last event of a saga that was stuck and that a person has brought to its end. Its field Reason
	// is what [Manager.Resolve] was given.
	Resolved = sagaevent.Resolved
	// Stuck says that the saga cannot go on by itself: see [Manager.Retry], [Manager.Resolve] and [Manager.Cancel].
	// Its field Step is the name of the step, and Error is why.
	Stuck = sagaevent.Stuck
)

// Entry is one event of a saga's history.
type Entry struct {
	Version  eventstore.Version
	Position eventstore.Position
	Time     time.Time // by the clock of the writer
	Actor    string    // the person that asked for it, if one did; see eventstore.Metadata
	Type     string    // the name of the event in the log, such as "saga.step.done"
	Step     string    // the name of the step that it is about, or ""
	Reason   string    // the error behind it, or what Cancel or Resolve was given, or ""
}

// entryOf returns the entry of an event. All types of events name their fields alike.
func entryOf(event eventstore.Event, r eventstore.Recorded) Entry {
	text := func(field string) string {
		if f := reflect.ValueOf(event).FieldByName(field); f.IsValid() {
			return f.String()
		}
		return ""
	}
	return Entry{
		Version: r.Version(), Position: r.Position, Time: r.Time, Actor: r.Actor, Type: event.EventType(),
		Step: text("Step"), Reason: cmp.Or(text("Error"), text("Reason")),
	}
}
