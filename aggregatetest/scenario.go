package aggregatetest

import (
	"errors"
	"strings"
	"testing"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/literal"
)

// Scenario is an aggregate with a past. [For] makes one. Call its methods on the goroutine of the test. A method whose
// name begins with Then fails the test if its expectation does not hold.
type Scenario[S aggregate.State[S, E], E eventstore.Event] struct {
	t       testing.TB
	domain  *domain[S, E]
	history *history[S, E]
}

// For returns a scenario on an aggregate without events:
//
//	For -> Given events -> When a command -> Then events, ThenRejected, ThenError
//	                                      -> ThenState, ThenKeeps, ThenStored
//
// Only ThenStored starts a server. Each step checks the laws that need none: the test fails if Decide or Evolve changes
// its receiver, returns different results for the same state, or panics, and if a rejection comes with events.
func For[S aggregate.State[S, E], E eventstore.Event](t testing.TB, initial S) *Scenario[S, E] {
	t.Helper()
	d := &domain[S, E]{initial: initial, writer: literal.Writer{Local: callerPackage()}}
	return &Scenario[S, E]{t: t, domain: d, history: d.begin()}
}

// Given folds events that happened, after the events that were given before.
func (s *Scenario[S, E]) Given(events ...E) *Scenario[S, E] {
	s.t.Helper()
	s.check(s.domain.fold(s.history, events, false))
	return s
}

// When decides a command on the state, and folds the events if it is accepted.
func (s *Scenario[S, E]) When(command aggregate.Command[S, E]) *Outcome[S, E] {
	s.t.Helper()
	decided, f := s.domain.decide(s.history.state(), command)
	o := &Outcome[S, E]{Scenario: *s, command: command, given: len(s.history.events), decision: decided}
	o.check(f)
	o.check(s.domain.fold(o.history, decided.events, false))
	return o
}

// ThenState wants the state to be this.
func (s *Scenario[S, E]) ThenState(want S) *Scenario[S, E] {
	s.t.Helper()
	s.same("the state is", s.domain.writer.Lines(want), s.domain.writer.Lines(s.history.state()), "")
	return s
}

// ThenKeeps wants the invariants to hold after each event of the scenario.
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

// ThenStored stores the events in a real store. It wants them to come back as they were, and to lead to the same state
// when they are replayed from the log and when a snapshot is used. The store is opened with cfg, which may be nil, and
// with the prototypes.
func (s *Scenario[S, E]) ThenStored(cfg *eventstore.Config, prototypes ...eventstore.Event) *Scenario[S, E] {
	s.t.Helper()
	l := s.lab(cfg, prototypes)
	s.check(l.stored(s.t.Context(), s.history.events, nil, 0))
	return s
}

// lab opens a store that is closed when the test ends.
func (s *Scenario[S, E]) lab(cfg *eventstore.Config, prototypes []eventstore.Event) *lab[S, E] {
	s.t.Helper()
	full, err := (&Config{Store: cfg}).withDefaults()
	var l *lab[S, E]
	if err == nil {
		l, err = openLab(s.t, s.domain, prototypes, full)
	}
	if err != nil {
		s.t.Fatalf("aggregatetest: open a store: %v", err)
	}
	return l
}

// Outcome is a scenario after its command. The events of the command are part of its past.
type Outcome[S aggregate.State[S, E], E eventstore.Event] struct {
	Scenario[S, E]

	command  aggregate.Command[S, E]
	given    int // how many events came before the command
	decision decision[E]
}

// Then wants the command to be accepted and to lead to these events, or to none if there are no arguments.
func (o *Outcome[S, E]) Then(want ...E) *Outcome[S, E] {
	o.t.Helper()
	if o.decision.err != nil {
		o.fail("the command is rejected: " + o.decision.err.Error())
	}
	o.same("the events are", eventLines(o.domain.writer, want), eventLines(o.domain.writer, o.decision.events), o.told())
	return o
}

// ThenRejected wants the command to be rejected, and returns the error for a closer look.
func (o *Outcome[S, E]) ThenRejected() error {
	o.t.Helper()
	if o.decision.err == nil {
		o.fail("the command is accepted, with\n" + eventLines(o.domain.writer, o.decision.events))
	}
	return o.decision.err
}

// ThenError wants the command to be rejected with this error: one that matches it by [errors.Is], or has the same type
// and fields.
func (o *Outcome[S, E]) ThenError(want error) {
	o.t.Helper()
	if got := o.ThenRejected(); !errors.Is(got, want) && form(got) != form(want) {
		o.same("the error is", o.domain.writer.Lines(want), o.domain.writer.Lines(got), o.told())
	}
}

// ThenState wants the state after the command to be this.
func (o *Outcome[S, E]) ThenState(want S) *Outcome[S, E] {
	o.t.Helper()
	o.same("the state is", o.domain.writer.Lines(want), o.domain.writer.Lines(o.history.state()), o.told())
	return o
}

// ThenStored sends the command to a real store that holds the given events. It wants the answer to be as the domain
// decides, and the stored events to come back as they were. It wants the same state from a replay of the log, from a
// snapshot before the command, and from a snapshot after it. The arguments are as for [Scenario.ThenStored].
func (o *Outcome[S, E]) ThenStored(cfg *eventstore.Config, prototypes ...eventstore.Event) *Outcome[S, E] {
	o.t.Helper()
	l := o.lab(cfg, prototypes)
	for cut := range 2 {
		o.check(l.stored(o.t.Context(), o.history.events[:o.given], []aggregate.Command[S, E]{o.command}, cut))
	}
	return o
}

// told returns the scenario as text.
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
