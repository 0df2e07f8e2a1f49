package projection

import (
	"fmt"
	"reflect"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/plain"
)

// Rule says how events of one type change the documents V of a view. [On], [OnRecorded] and [Delete] make rules.
type Rule[V any] interface {
	// prototype is a zero event of the rule's type, or an error where it has none.
	prototype() (eventstore.Event, error)
	// byStream reports whether the key is the id of the event's stream, so that it is known without decoding.
	byStream() bool
	// keysOf gives the keys of the documents that a decoded event of the type changes.
	keysOf(event eventstore.Event, recorded eventstore.Recorded) []string
	// apply folds the event into the document, or reports that it is deleted.
	apply(document V, event eventstore.Event, recorded eventstore.Recorded) (changed V, deleted bool)
}

// EventRule is the rule for events of type E.
type EventRule[V any, E eventstore.Event] struct {
	fold func(V, E, eventstore.Recorded) (V, bool)
	keys func(E, eventstore.Recorded) []string // nil for the id of the stream
}

// On makes the rule that folds events of type E into documents. The fold is given the document as it is, or the zero V
// where there is none, and gives what it becomes. It must be pure: it may run again for the same event.
func On[V any, E eventstore.Event](fold func(document V, event E) V) *EventRule[V, E] {
	return OnRecorded(func(document V, event E, _ eventstore.Recorded) V { return fold(document, event) })
}

// OnRecorded is On for folds that need to know where, when or by whom the event was recorded.
func OnRecorded[V any, E eventstore.Event](fold func(document V, event E, recorded eventstore.Recorded) V) *EventRule[V, E] {
	return &EventRule[V, E]{fold: func(document V, event E, recorded eventstore.Recorded) (V, bool) {
		return fold(document, event, recorded), false
	}}
}

// Delete makes the rule that deletes the document of an event of type E where the function says so; else the document
// stays as it is. It must be pure.
func Delete[V any, E eventstore.Event](when func(document V, event E) bool) *EventRule[V, E] {
	return &EventRule[V, E]{fold: func(document V, event E, _ eventstore.Recorded) (V, bool) {
		return document, when(document, event)
	}}
}

// By makes the event choose the key of its document. The default is the id of the event's stream. An event with an empty
// key changes nothing.
func (r *EventRule[V, E]) By(key func(event E) string) *EventRule[V, E] {
	return r.ByRecorded(func(event E, _ eventstore.Recorded) string { return key(event) })
}

// ByRecorded is By for keys that depend on where the event was recorded.
func (r *EventRule[V, E]) ByRecorded(key func(event E, recorded eventstore.Recorded) string) *EventRule[V, E] {
	r.keys = func(event E, recorded eventstore.Recorded) []string { return []string{key(event, recorded)} }
	return r
}

// ByEach makes the event choose several documents, each of which it is folded into: all of them change together. A key
// that comes twice counts once.
func (r *EventRule[V, E]) ByEach(keys func(event E) []string) *EventRule[V, E] {
	r.keys = func(event E, _ eventstore.Recorded) []string { return keys(event) }
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

func (r *EventRule[V, E]) byStream() bool { return r.keys == nil }

func (r *EventRule[V, E]) keysOf(event eventstore.Event, recorded eventstore.Recorded) []string {
	if r.keys == nil {
		return []string{recorded.Stream.ID}
	}
	return r.keys(event.(E), recorded)
}

func (r *EventRule[V, E]) apply(document V, event eventstore.Event, recorded eventstore.Recorded) (V, bool) {
	return r.fold(document, event.(E), recorded)
}

// rules are the rules of a view, as its runners look them up.
type rules[V any] struct {
	byType map[string]Rule[V]
	// stored has the names in the log under which events with a rule may stand, since upcasters lead from several to one;
	// true where all rules that they may lead to go by the stream.
	stored map[string]bool
	// shared has the names of the types whose events, copied, share memory.
	shared map[string]bool
}

// newRules indexes rules by the name of their event, as the store knows it.
func newRules[V any](store *eventstore.Store, all []Rule[V]) (*rules[V], error) {
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: a view has one rule at least", ErrInvalidRule)
	}
	r := &rules[V]{byType: make(map[string]Rule[V], len(all)), stored: make(map[string]bool), shared: make(map[string]bool)}
	for _, rule := range all {
		event, err := rule.prototype()
		if err != nil {
			return nil, err
		}
		name, err := store.TypeOf(event)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidRule, err)
		}
		if _, twice := r.byType[name]; twice {
			return nil, fmt.Errorf("%w: two rules for %q: put what both do into one", ErrInvalidRule, name)
		}
		r.byType[name], r.shared[name] = rule, plain.KeepingOf(reflect.TypeOf(event)) == plain.DecodedFor
		for _, stored := range store.StoredAs(name) {
			others, known := r.stored[stored]
			r.stored[stored] = rule.byStream() && (others || !known)
		}
	}
	return r, nil
}
