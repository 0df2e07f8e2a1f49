package sagatest

import (
	"context"
	"fmt"
	"testing"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/saga"
)

// check compares the end of a saga with the laws of all sagas.
func (p Play[S]) check(ctx context.Context, t testing.TB, outside *eventstore.Store, in saga.Instance[S], failed *failures) {
	t.Helper()
	checkEnd(t, in)
	checkStuck(t, in, failed)
	if p.Awaits != nil {
		checkAnswers(ctx, t, outside, in, p.Awaits)
	}
	for _, store := range append([]*eventstore.Store{outside}, p.Stores...) {
		checkKeys(ctx, t, store)
	}
	if p.Check != nil {
		p.Check(t, in)
	}
}

// checkEnd reports a saga that does not end, that ends more than once, or that ends in both ways.
func checkEnd[S any](t testing.TB, in saga.Instance[S]) {
	t.Helper()
	seen := make(map[string]int)
	undone := false
	for _, entry := range in.History {
		switch entry.Type {
		case "saga.step.done":
			seen["step "+entry.Step+" is done"]++
		case "saga.undo.begun":
			undone = true
		case "saga.undone":
			seen["step "+entry.Step+" is undone"]++
		case "saga.completed", "saga.compensated", "saga.resolved":
			seen["the saga ends"]++
		}
	}
	if seen["the saga ends"] == 0 && in.State != saga.StateStuck {
		t.Errorf("sagatest: the saga does not end:\n%s", Story(in))
	}
	if in.State == saga.StateCompleted && undone {
		t.Errorf("sagatest: the saga is completed and undone:\n%s", Story(in))
	}
	for what, times := range seen {
		if times > 1 {
			t.Errorf("sagatest: %s %d times:\n%s", what, times, Story(in))
		}
	}
}

// checkStuck reports a saga that is stuck at a step although no action of the step has failed.
func checkStuck[S any](t testing.TB, in saga.Instance[S], failed *failures) {
	t.Helper()
	awaiting := make(map[string]bool)
	for _, step := range in.Steps {
		awaiting[step.Name] = !step.Deadline.IsZero()
	}
	for _, entry := range in.History {
		if entry.Type == "saga.stuck" && !awaiting[entry.Step] && !failed.of(entry.Step) {
			t.Errorf("sagatest: the saga is stuck at %s without a cause:\n%s", entry.Step, Story(in))
		}
	}
}

// checkAnswers reports a step whose deadline passed although an awaited event stands before the deadline in the
// log.
func checkAnswers[S any](ctx context.Context, t testing.TB, store *eventstore.Store, in saga.Instance[S], awaits func(eventstore.Event) string) {
	t.Helper()
	passed, received := make(map[string]eventstore.Position), make(map[string]bool)
	for _, entry := range in.History {
		switch entry.Type {
		case "saga.deadline.passed":
			passed[entry.Step] = entry.Position
		case "saga.event.received":
			received[entry.Step] = true
		}
	}
	begun := in.First
	if in.Cause > 0 {
		begun = in.Cause
	}
	for recorded, err := range store.All(ctx, eventstore.After(begun)) {
		if err != nil {
			t.Fatalf("sagatest: %v", err)
		}
		decoded, err := recorded.Decode()
		if err != nil {
			t.Fatalf("sagatest: %v", err)
		}
		for _, event := range decoded {
			if step := awaits(event); step != "" && recorded.Position < passed[step] && !received[step] {
				t.Errorf("sagatest: the answer to %s at position %d is lost:\n%s", step, recorded.Position, Story(in))
			}
		}
	}
}

// checkKeys reports keys that count twice in one stream.
func checkKeys(ctx context.Context, t testing.TB, store *eventstore.Store) {
	t.Helper()
	seen := make(map[string]eventstore.Position)
	for c, err := range store.Log(ctx) {
		if err != nil {
			t.Fatalf("sagatest: %v", err)
		}
		if c.Key == "" {
			continue
		}
		one := fmt.Sprintf("%s under the key %q", c.Stream, c.Key)
		if before, twice := seen[one]; twice {
			t.Errorf("sagatest: %s is written twice, at positions %d and %d", one, before, c.Position)
		}
		seen[one] = c.Position
	}
}
