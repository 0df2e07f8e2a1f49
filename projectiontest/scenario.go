package projectiontest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/literal"
	"github.com/runnel-go/runnel/projection"
)

// Commit holds the events that one append writes to one stream.
type Commit struct {
	Stream string // category/id
	Events []eventstore.Event
}

// Scenario is a log to fold. [For] begins one. Call its methods on the goroutine of the test.
type Scenario[V any] struct {
	t       testing.TB
	events  []eventstore.Event
	rules   []projection.Rule[V]
	history []Commit
	folded  map[string]V // nil until it is asked for
}

// For begins a scenario with a view of these rules, over a store that is opened with these prototypes:
//
//	For -> Given commits -> Then documents, ThenDocument, ThenNone
func For[V any](t testing.TB, events []eventstore.Event, rules ...projection.Rule[V]) *Scenario[V] {
	t.Helper()
	return &Scenario[V]{t: t, events: events, rules: rules}
}

// Given stores a commit on a stream, "category/id", after the commits of earlier calls.
func (s *Scenario[V]) Given(stream string, events ...eventstore.Event) *Scenario[V] {
	s.history, s.folded = append(s.history, Commit{Stream: stream, Events: events}), nil
	return s
}

// Then fails the test unless the view has these documents, by their keys, and no others.
func (s *Scenario[V]) Then(want map[string]V) *Scenario[V] {
	s.t.Helper()
	if diff := literal.Diff(lines(want), lines(s.documents())); diff != "" {
		s.t.Fatalf("projectiontest: the documents are not as expected (- expected, + actual):\n%s\ngiven\n%s", diff, told(s.history))
	}
	return s
}

// ThenDocument fails the test unless the view has a document.
func (s *Scenario[V]) ThenDocument(key string, want V) *Scenario[V] {
	s.t.Helper()
	got, ok := s.documents()[key]
	if !ok {
		s.t.Fatalf("projectiontest: there is no document %q, but\n%s\ngiven\n%s", key, lines(s.documents()), told(s.history))
	}
	w := literal.Writer{}
	if diff := literal.Diff(w.Lines(want), w.Lines(got)); diff != "" {
		s.t.Fatalf("projectiontest: document %q is not as expected (- expected, + actual):\n%s\ngiven\n%s", key, diff, told(s.history))
	}
	return s
}

// ThenNone fails the test if the view has a document under one of these keys.
func (s *Scenario[V]) ThenNone(keys ...string) *Scenario[V] {
	s.t.Helper()
	for _, key := range keys {
		if got, ok := s.documents()[key]; ok {
			s.t.Fatalf("projectiontest: there is a document %q: %s\ngiven\n%s", key, literal.Writer{}.Lines(got), told(s.history))
		}
	}
	return s
}

// documents waits until the view has folded the history, and returns its documents.
func (s *Scenario[V]) documents() map[string]V {
	s.t.Helper()
	if s.folded != nil {
		return s.folded
	}
	l := &lab[V]{js: eventstoretest.JetStream(s.t, eventstoretest.Memory()), events: s.events, rules: s.rules}
	err := l.open(s.t.Context(), func(ctx context.Context, store *eventstore.Store) error {
		for _, commit := range s.history {
			if _, err := appendTo(ctx, store, commit); err != nil {
				return err
			}
		}
		var err error
		s.folded, err = l.straight(ctx, store)
		return err
	})
	if err != nil {
		s.t.Fatalf("projectiontest: %v\ngiven\n%s", err, told(s.history))
	}
	return s.folded
}

// lines shows documents, each on a line of its own, in the order of their keys.
func lines[V any](documents map[string]V) string {
	if len(documents) == 0 {
		return "no documents"
	}
	w := literal.Writer{}
	var text strings.Builder
	for _, key := range sorted(documents) {
		fmt.Fprintf(&text, "%s: %s\n", key, w.Lines(documents[key]))
	}
	return strings.TrimSuffix(text.String(), "\n")
}

// told prints commits.
func told(history []Commit) string {
	if len(history) == 0 {
		return "\tno events"
	}
	text := make([]string, len(history))
	for i, commit := range history {
		text[i] = "\t" + commit.String()
	}
	return strings.Join(text, "\n")
}

// String shows the commit as Go values.
func (c Commit) String() string {
	events := make([]string, len(c.Events))
	for i, event := range c.Events {
		events[i] = literal.Writer{}.Line(event)
	}
	return c.Stream + ": " + strings.Join(events, ", ")
}
