package aggregatetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/literal"
)

// Scenario is an aggregate with a past. [For] begins one; its methods are for the goroutine of the test.
type Scenario[S aggregate.State[S, E], E eventstore.Event] struct {
	t       testing.TB
	domain  *domain[S, E]
	history *history[S, E]
}

// For begins a scenario on an aggregate without events:
//
//	For -> Given events -> When a command -> Then events, ThenRejected, ThenError
//	                                      -> ThenState, ThenKeeps, ThenStored
//	                    -> WhenBoth       -> ThenInSomeOrder
//
// No server is started, but for ThenStored and ThenInSomeOrder. The laws that need none are checked at each step: a Decide or
// an Evolve that changes its receiver, gives two answers in one state or panics, and a rejection with events, fail the test.
func For[S aggregate.State[S, E], E eventstore.Event](t testing.TB, initial S) *Scenario[S, E] {
	t.Helper()
	d := &domain[S, E]{initial: initial, writer: literal.Writer{Local: callerPackage()}}
	return &Scenario[S, E]{t: t, domain: d, history: d.begin()}
}

// Given folds events that happened, on top of those given before.
func (s *Scenario[S, E]) Given(events ...E) *Scenario[S, E] {
	s.t.Helper()
	s.check(s.domain.fold(s.history, events, false))
	return s
}

// When decides a command on the state.
func (s *Scenario[S, E]) When(command aggregate.Command[S, E]) *Outcome[S, E] {
	s.t.Helper()
	decided, f := s.domain.decide(s.history.state(), command)
	o := &Outcome[S, E]{Scenario: *s, command: command, given: len(s.history.events), decision: decided}
	o.check(f)
	o.check(s.domain.fold(o.history, decided.events, false))
	return o
}

// ThenState wants the state to be what is given.
func (s *Scenario[S, E]) ThenState(want S) *Scenario[S, E] {
	s.t.Helper()
	s.same("the state is", s.domain.writer.Lines(want), s.domain.writer.Lines(s.history.state()), "")
	return s
}

// ThenKeeps wants the invariants to hold for the events and their state, after each of them.
func (s *Scenario[S, E]) ThenKeeps(invariants ...Invariant[S, E]) *Scenario[S, E] {
	s.t.Helper()
	if len(invariants) == 0 {
		s.t.Fatalf("aggregatetest: ThenKeeps wants the invariants that are to hold")
	}
	d := *s.domain
	d.invariants = invariants
	s.check(d.fold(d.begin(), s.history.events, true))
	return s
}

// ThenStored wants the events, stored in a real store, to come back as they were and to lead to the same state, replayed from the
// log and taken from a snapshot. The prototypes are what the store is opened with, the config is that of the store, or nil.
func (s *Scenario[S, E]) ThenStored(cfg *eventstore.Config, prototypes ...eventstore.Event) *Scenario[S, E] {
	s.t.Helper()
	l := s.lab(cfg, prototypes)
	s.check(l.stored(s.t.Context(), s.history.events, nil, 0))
	return s
}

// lab opens a store until the test ends.
func (s *Scenario[S, E]) lab(cfg *eventstore.Config, prototypes []eventstore.Event) *lab[S, E] {
	s.t.Helper()
	l, err := openLab(s.t, s.domain, prototypes, &Config{Store: cfg})
	if err != nil {
		s.t.Fatalf("aggregatetest: open a store: %v", err)
	}
	return l
}

// WhenBoth lets two clients send commands at the same time, each one after the other.
func (s *Scenario[S, E]) WhenBoth(one, other []aggregate.Command[S, E]) *Race[S, E] {
	return &Race[S, E]{scenario: s, one: one, other: other}
}

// Race is a scenario in which two clients send commands.
type Race[S aggregate.State[S, E], E eventstore.Event] struct {
	scenario   *Scenario[S, E]
	one, other []aggregate.Command[S, E]
}

// ThenInSomeOrder wants all answers, and the state at the end, to be those of some order of the commands, one at a time, in
// which no command is answered before it was sent. It runs them once, in a real store, which is opened as by
// [Scenario.ThenStored].
func (r *Race[S, E]) ThenInSomeOrder(cfg *eventstore.Config, prototypes ...eventstore.Event) {
	s := r.scenario
	s.t.Helper()
	l := s.lab(cfg, prototypes)
	s.check(l.race(s.t.Context(), s.history.events, r.one, r.other))
}

// Outcome is a scenario after its command: the events that it led to are part of the past now.
type Outcome[S aggregate.State[S, E], E eventstore.Event] struct {
	Scenario[S, E]

	command  aggregate.Command[S, E]
	given    int // how many events came before the command
	decision decision[E]
}

// Then wants the command to be accepted and to lead to these events, or to none.
func (o *Outcome[S, E]) Then(want ...E) *Outcome[S, E] {
	o.t.Helper()
	if o.decision.err != nil {
		o.fail("the command is rejected: " + o.decision.err.Error())
	}
	o.same("the events are", eventLines(o.domain.writer, want), eventLines(o.domain.writer, o.decision.events), o.told())
	return o
}

// ThenRejected wants the command to be rejected and gives the error, for a closer look.
func (o *Outcome[S, E]) ThenRejected() error {
	o.t.Helper()
	if o.decision.err == nil {
		o.fail("the command is accepted, with\n" + eventLines(o.domain.writer, o.decision.events))
	}
	return o.decision.err
}

// ThenError wants the command to be rejected with an error that matches the one given, by [errors.Is] or by being of its
// type with the same fields.
func (o *Outcome[S, E]) ThenError(want error) {
	o.t.Helper()
	if got := o.ThenRejected(); !errors.Is(got, want) && form(got) != form(want) {
		o.same("the error is", o.domain.writer.Lines(want), o.domain.writer.Lines(got), o.told())
	}
}

// ThenState wants the state after the command to be what is given.
func (o *Outcome[S, E]) ThenState(want S) *Outcome[S, E] {
	o.t.Helper()
	o.same("the state is", o.domain.writer.Lines(want), o.domain.writer.Lines(o.history.state()), o.told())
	return o
}

// ThenStored wants the command, sent to a real store that holds what was given, to be answered as the domain decides, what is
// stored to come back as it was, and the state to be the same when it is replayed from the log, and when it is taken from a
// snapshot of before the command, or after it. Config and prototypes are as for [Scenario.ThenStored].
func (o *Outcome[S, E]) ThenStored(cfg *eventstore.Config, prototypes ...eventstore.Event) *Outcome[S, E] {
	o.t.Helper()
	l := o.lab(cfg, prototypes)
	for cut := range 2 {
		o.check(l.stored(o.t.Context(), o.history.events[:o.given], []aggregate.Command[S, E]{o.command}, cut))
	}
	return o
}

// told says what the scenario is.
func (o *Outcome[S, E]) told() string {
	var text strings.Builder
	text.WriteString("\ngiven\n" + indented(eventLines(o.domain.writer, o.history.events[:o.given])))
	text.WriteString("\nwhen\n" + indented(o.domain.writer.Lines(o.command)))
	return text.String()
}

func (o *Outcome[S, E]) fail(what string) {
	o.t.Helper()
	o.t.Fatalf("aggregatetest: %s%s", what, o.told())
}

func (s *Scenario[S, E]) same(what, want, got, told string) {
	s.t.Helper()
	if diff := literal.Diff(want, got); diff != "" {
		s.t.Fatalf("aggregatetest: %s not as expected (- expected, + actual):\n%s%s", what, diff, told)
	}
}

func (s *Scenario[S, E]) check(f *fault) {
	s.t.Helper()
	if f != nil {
		s.t.Fatalf("aggregatetest: this does not hold: %s: %s", f.law, f.why)
	}
}

func eventLines[E any](w literal.Writer, events []E) string {
	if len(events) == 0 {
		return "no events"
	}
	lines := make([]string, len(events))
	for i, event := range events {
		lines[i] = w.Lines(event)
	}
	return strings.Join(lines, "\n")
}

func indented(text string) string { return "\t" + strings.ReplaceAll(text, "\n", "\n\t") }
