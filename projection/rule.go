package projection

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/plain"
)

// Rule says how events of one type change the documents V of a view. [On], [OnRecorded], [Delete] and [Move] make
// rules. A view may have several rules for one type of event. They are applied in the order in which Open was given
// them, so "decrement, and delete at zero" is an On and a Delete.
type Rule[V any] interface {
	// prototype returns a zero event of the rule's type, or an error if there is none.
	prototype() (eventstore.Event, error)
	// byStream reports whether the key is the id of the event's stream, so that it is known without decoding.
	byStream() bool
	// moves reports whether the rule moves a document from the first of its two keys to the second.
	moves() bool
	// keysOf returns the keys of the documents that a decoded event of the type changes.
	keysOf(event eventstore.Event, recorded eventstore.Recorded) []string
	// apply folds the event into the document.
	apply(document V, exists bool, event eventstore.Event, recorded eventstore.Recorded) (V, effect)
}

// effect is what a rule did to a document.
type effect int

const (
	kept    effect = iota // the document, or that there is none, stays as it was
	changed               // the document is there, with another value
	removed               // there is no document any more
)

// EventRule is the rule for events of type E.
type EventRule[V any, E eventstore.Event] struct {
	fold func(document V, exists bool, event E, recorded eventstore.Recorded) (V, effect)
	keys func(E, eventstore.Recorded) []string // nil for the id of the stream
}

// On makes the rule that folds events of type E into documents. The fold is given the document as it is, or the zero V
// if there is none, and returns what it becomes. It must be pure, because it may run again for the same event. It must
// return within [Config.FoldTimeout].
func On[V any, E eventstore.Event](fold func(document V, event E) V) *EventRule[V, E] {
	return OnRecorded(func(document V, event E, _ eventstore.Recorded) V { return fold(document, event) })
}

// OnRecorded is On for folds that need to know where, when or by whom the event was recorded.
func OnRecorded[V any, E eventstore.Event](fold func(document V, event E, recorded eventstore.Recorded) V) *EventRule[V, E] {
	return &EventRule[V, E]{fold: func(document V, _ bool, event E, recorded eventstore.Recorded) (V, effect) {
		return fold(document, event, recorded), changed
	}}
}

// Delete makes the rule that deletes the document of an event of type E if the function says so. Otherwise the document
// stays as it is. The function is not called if there is no document. It must be pure.
func Delete[V any, E eventstore.Event](when func(document V, event E) bool) *EventRule[V, E] {
	return &EventRule[V, E]{fold: func(document V, exists bool, event E, _ eventstore.Recorded) (V, effect) {
		if exists && when(document, event) {
			return *new(V), removed
		}
		return document, kept
	}}
}

// By makes the event choose the key of its document. The default is the id of the event's stream. An event with an
// empty key changes nothing.
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

func (r *EventRule[V, E]) prototype() (eventstore.Event, error) { return prototypeOf[E]() }

func prototypeOf[E eventstore.Event]() (eventstore.Event, error) {
	t := reflect.TypeFor[E]()
	if t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer {
		return nil, fmt.Errorf("%w: for %s: write it for the event's own struct type", ErrInvalidRule, t)
	}
	var zero E
	return zero, nil
}

func (r *EventRule[V, E]) byStream() bool { return r.keys == nil }

func (r *EventRule[V, E]) moves() bool { return false }

func (r *EventRule[V, E]) keysOf(event eventstore.Event, recorded eventstore.Recorded) []string {
	if r.keys == nil {
		return []string{recorded.Stream.ID}
	}
	return r.keys(event.(E), recorded)
}

func (r *EventRule[V, E]) apply(document V, exists bool, event eventstore.Event, recorded eventstore.Recorded) (V, effect) {
	return r.fold(document, exists, event.(E), recorded)
}

// moveRule is the rule that moves documents.
type moveRule[V any, E eventstore.Event] struct {
	keys func(E, eventstore.Recorded) (from, to string)
}

// Move makes the rule that moves a document to another key: an event of type E says from which key to which. The
// document under the second key is replaced. If there is none under the first, or one of the keys is empty, or both are
// the same, nothing changes. Both keys are written in one batch. Further rules for the same event may change the
// document before or after the move:
//
//	projection.Move[Profile](func(e EmailChanged) (from, to string) { return e.Old, e.New }),
//	projection.On(func(p Profile, e EmailChanged) Profile { p.Email = e.New; return p }).
//		By(func(e EmailChanged) string { return e.New }),
//
// A document whose first key is parked cannot be moved. So the second key is parked too, and [View.Replay] of the first
// replays both. The function must be pure.
func Move[V any, E eventstore.Event](keys func(event E) (from, to string)) Rule[V] {
	return MoveRecorded[V](func(event E, _ eventstore.Recorded) (from, to string) { return keys(event) })
}

// MoveRecorded is Move for keys that depend on where the event was recorded, such as the id of its stream.
func MoveRecorded[V any, E eventstore.Event](keys func(event E, recorded eventstore.Recorded) (from, to string)) Rule[V] {
	return &moveRule[V, E]{keys: keys}
}

func (r *moveRule[V, E]) prototype() (eventstore.Event, error) { return prototypeOf[E]() }

func (r *moveRule[V, E]) byStream() bool { return false }

func (r *moveRule[V, E]) moves() bool { return true }

func (r *moveRule[V, E]) keysOf(event eventstore.Event, recorded eventstore.Recorded) []string {
	from, to := r.keys(event.(E), recorded)
	return []string{from, to}
}

// apply is not called, because the folder moves documents itself.
func (r *moveRule[V, E]) apply(document V, _ bool, _ eventstore.Event, _ eventstore.Recorded) (V, effect) {
	return document, kept
}

// rules are the rules of a view, as its runners look them up.
type rules[V any] struct {
	byType map[string][]Rule[V]
	// stored has the names in the log under which events with a rule may stand, since upcasters lead from several to
	// one; true if all rules that they may lead to go by the stream.
	stored map[string]bool
	// shared has the names of the types whose events, copied, share memory.
	shared map[string]bool
	// moves says that some rule moves documents.
	moves bool
}

// newRules indexes rules by the name of their event, as the store knows it.
func newRules[V any](store *eventstore.Store, all []Rule[V]) (*rules[V], error) {
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: a view has one rule at least", ErrInvalidRule)
	}
	r := &rules[V]{byType: make(map[string][]Rule[V], len(all)), stored: make(map[string]bool), shared: make(map[string]bool)}
	for _, rule := range all {
		event, err := rule.prototype()
		if err != nil {
			return nil, err
		}
		name, err := eventstore.Inside(inside.Pass{}, store).TypeOf(event)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrInvalidRule, err)
		}
		if slices.Contains(r.byType[name], rule) {
			return nil, fmt.Errorf("%w: the same rule for %q stands twice: leave one out", ErrInvalidRule, name)
		}
		r.byType[name], r.moves = append(r.byType[name], rule), r.moves || rule.moves()
		r.shared[name] = plain.KeepingOf(reflect.TypeOf(event)) == plain.DecodedFor
		for _, stored := range eventstore.Inside(inside.Pass{}, store).StoredAs(name) {
			others, known := r.stored[stored]
			r.stored[stored] = rule.byStream() && (others || !known)
		}
	}
	return r, nil
}
