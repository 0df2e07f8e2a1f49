package projection

import (
	"fmt"
	"reflect"

	"github.com/runnel-go/runnel/eventstore"
)

// Rule says how events of one type change the documents V of a view. [On] and [OnRecorded] make rules.
type Rule[V any] interface {
	// prototype is a zero event of the rule's type, or an error where it has none.
	prototype() (eventstore.Event, error)
	// keyOf gives the key of the document that a decoded event of the type changes.
	keyOf(event eventstore.Event, recorded eventstore.Recorded) string
	// apply folds the event into the document.
	apply(document V, event eventstore.Event, recorded eventstore.Recorded) V
}

// EventRule is the rule for events of type E.
type EventRule[V any, E eventstore.Event] struct {
	fold func(V, E, eventstore.Recorded) V
	key  func(E, eventstore.Recorded) string
}

// On makes the rule that folds events of type E into documents. The fold is given the document as it is, or the zero V
// where there is none, and gives what it becomes. It must be pure: it may run again for the same event.
func On[V any, E eventstore.Event](fold func(document V, event E) V) *EventRule[V, E] {
	return OnRecorded(func(document V, event E, _ eventstore.Recorded) V { return fold(document, event) })
}

// OnRecorded is On for folds that need to know where, when or by whom the event was recorded.
func OnRecorded[V any, E eventstore.Event](fold func(document V, event E, recorded eventstore.Recorded) V) *EventRule[V, E] {
	return &EventRule[V, E]{
		fold: fold,
		key:  func(_ E, recorded eventstore.Recorded) string { return recorded.Stream.ID },
	}
}

// By makes the event choose the key of its document. The default is the id of the event's stream. An event with an empty
// key changes nothing.
func (r *EventRule[V, E]) By(key func(event E) string) *EventRule[V, E] {
	return r.ByRecorded(func(event E, _ eventstore.Recorded) string { return key(event) })
}

// ByRecorded is By for keys that depend on where the event was recorded.
func (r *EventRule[V, E]) ByRecorded(key func(event E, recorded eventstore.Recorded) string) *EventRule[V, E] {
	r.key = key
	return r
}

func (r *EventRule[V, E]) prototype() (eventstore.Event, error) {
	t := reflect.TypeFor[E]()
	if t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer {
		return nil, fmt.Errorf("%w: for %s: write it for the event's own struct type", ErrInvalidRule, t)
	}
	var zero E
	return zero, nil
}

func (r *EventRule[V, E]) keyOf(event eventstore.Event, recorded eventstore.Recorded) string {
	return r.key(event.(E), recorded)
}

func (r *EventRule[V, E]) apply(document V, event eventstore.Event, recorded eventstore.Recorded) V {
	return r.fold(document, event.(E), recorded)
}

// rulesByType indexes rules by the name of their event, as the store knows it.
func rulesByType[V any](store *eventstore.Store, rules []Rule[V]) (map[string]Rule[V], error) {
	if len(rules) == 0 {
		return nil, fmt.Errorf("%w: a view has one rule at least", ErrInvalidRule)
	}
	byType := make(map[string]Rule[V], len(rules))
	for _, rule := range rules {
		event, err := rule.prototype()
		if err != nil {
			return nil, err
		}
		name, err := store.TypeOf(event)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidRule, err)
		}
		if _, twice := byType[name]; twice {
			return nil, fmt.Errorf("%w: two rules for %q: put what both do into one", ErrInvalidRule, name)
		}
		byType[name] = rule
	}
	return byType, nil
}

// storedNames gives the names under which events with a rule may stand in the log: upcasters lead from several to one.
func storedNames[V any](store *eventstore.Store, rules map[string]Rule[V]) map[string]bool {
	names := make(map[string]bool)
	for name := range rules {
		for _, stored := range store.StoredAs(name) {
			names[stored] = true
		}
	}
	return names
}
