package aggregatetest

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/literal"
)

// Invariant returns an error if a rule does not hold. It is called after each event of an aggregate, with all events so
// far and the state that they led to. Pass a named function and not a literal, so that the test that [Check] prints can
// name it.
type Invariant[S, E any] func(events []E, state S) error

// domain is an aggregate as the kit knows it: its initial state, its events and its invariants.
type domain[S aggregate.State[S, E], E eventstore.Event] struct {
	initial    S
	events     map[reflect.Type]bool // the types that may be decided; nil for all
	invariants []Invariant[S, E]
	writer     literal.Writer
}

// fault is a law that does not hold, and how it is broken.
type fault struct {
	law, why  string
	invariant any // the broken Invariant, if the law is one
}

func broken(law, format string, args ...any) *fault {
	return &fault{law: law, why: fmt.Sprintf(format, args...)}
}

// The laws, as messages show them.
const (
	lawInvariant  = "the invariants hold after every event"
	lawTotal      = "Evolve takes every event, in every state"
	lawUntouched  = "Decide, Evolve and what comes later leave a state as it was"
	lawPure       = "Decide and Evolve return the same for the same"
	lawNoPanic    = "Decide rejects, it does not panic"
	lawRejected   = "a rejected command leaves no events"
	lawRegistered = "what is decided is registered"
	lawLive       = "what a store answers is what the domain decides"
	lawReplay     = "the state replayed from the log is the live one"
	lawSnapshot   = "a snapshot and what came after it give the state of a full replay"
	lawCodec      = "events that are stored, decoded and upcast mean what they meant"
)

// clone copies a state as a repository does.
func (d *domain[S, E]) clone(state S) S {
	if cloner, ok := any(state).(interface{ Clone() S }); ok {
		return cloner.Clone()
	}
	return state
}

// form returns the text of a state or event. Equal values have equal forms.
func form(v any) string { return literal.Writer{}.Line(v) }

// history is an aggregate in memory: its events, and the state after each.
type history[S, E any] struct {
	events []E
	states []S      // one more than events
	forms  []string // of the states, when they were made
}

func (d *domain[S, E]) begin() *history[S, E] {
	return &history[S, E]{states: []S{d.initial}, forms: []string{form(d.initial)}}
}

func (h *history[S, E]) state() S { return h.states[len(h.states)-1] }

// fold adds events to a history. If asked is false, the events are only given, so it does not check the invariants.
func (d *domain[S, E]) fold(h *history[S, E], events []E, asked bool) *fault {
	for _, event := range events {
		after, f := d.evolve(h.state(), event)
		if f != nil {
			return f
		}
		h.events, h.states, h.forms = append(h.events, event), append(h.states, after), append(h.forms, form(after))
		if !asked {
			continue
		}
		for _, invariant := range d.invariants {
			if err := invariant(slices.Clone(h.events), d.clone(after)); err != nil {
				return &fault{law: lawInvariant, why: err.Error(), invariant: invariant}
			}
		}
	}
	return nil
}

// unchanged compares the states of a history with their forms when they were made. A later Evolve may have written into
// memory that two states share.
func (d *domain[S, E]) unchanged(h *history[S, E]) *fault {
	for i, state := range h.states {
		if now := form(state); now != h.forms[i] {
			return broken(lawUntouched, "the state after %d events was, and is:\n%s", i, literal.Diff(h.forms[i], now))
		}
	}
	return nil
}

// evolve folds one event into a state, twice.
func (d *domain[S, E]) evolve(state S, event E) (after S, f *fault) {
	before, was := form(state), form(event)
	defer func() {
		if p := recover(); p != nil {
			f = broken(lawTotal, "Evolve panics: %v\nfor the event %s\nin the state %s", p, d.writer.Line(event), d.writer.Line(state))
		}
	}()
	after = d.clone(state).Evolve(event)
	again := d.clone(state).Evolve(event)
	switch {
	case form(after) != form(again):
		return after, broken(lawPure, "Evolve returns two states for one event:\n%s", literal.Diff(d.writer.Lines(after), d.writer.Lines(again)))
	case form(state) != before:
		return after, broken(lawUntouched, "Evolve changes its receiver: give the state a Clone, or write into a copy")
	case form(event) != was:
		return after, broken(lawUntouched, "Evolve changes the event")
	}
	return after, nil
}

// decision is the result of a command: events, or an error.
type decision[E any] struct {
	events []E
	err    error
}

// text returns the decision as text. Equal decisions have equal texts.
func (d decision[E]) text(w literal.Writer) string {
	if d.err != nil {
		return "rejected: " + d.err.Error()
	}
	return eventLines(w, d.events)
}

// decide decides a command on a state, twice.
func (d *domain[S, E]) decide(state S, command aggregate.Command[S, E]) (decided decision[E], f *fault) {
	before := form(state)
	defer func() {
		if p := recover(); p != nil {
			f = broken(lawNoPanic, "Decide panics: %v\nin the state %s", p, d.writer.Line(state))
		}
	}()
	decided.events, decided.err = command.Decide(d.clone(state))
	var again decision[E]
	again.events, again.err = command.Decide(d.clone(state))
	switch {
	case decided.text(d.writer) != again.text(d.writer):
		return decided, broken(lawPure, "Decide returns two answers in one state:\n%s", literal.Diff(decided.text(d.writer), again.text(d.writer)))
	case form(state) != before:
		return decided, broken(lawUntouched, "Decide changes its receiver's state")
	case decided.err != nil && len(decided.events) > 0:
		return decided, broken(lawRejected, "it was rejected (%v) with %s", decided.err, d.writer.Lines(decided.events))
	}
	return decided, d.registered(decided.events)
}

func (d *domain[S, E]) registered(events []E) *fault {
	for _, event := range events {
		if t := reflect.TypeOf(event); d.events != nil && !d.events[t] {
			return broken(lawRegistered, "Decide returns a %v, which is not among the events", t)
		}
	}
	return nil
}

// play decides commands one after the other on top of a history. It returns how many were decided, including the one
// that breaks a law.
func (d *domain[S, E]) play(h *history[S, E], commands []aggregate.Command[S, E]) (decided int, f *fault) {
	for i, command := range commands {
		decision, f := d.decide(h.state(), command)
		if f == nil {
			f = d.fold(h, decision.events, true)
		}
		if f != nil {
			return i + 1, f
		}
	}
	return len(commands), d.unchanged(h)
}
