package saga

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/sagaevent"
)

// The states of the table in the guide, in its order. A saga that is stuck has a direction.
var tableStates = []string{
	"not started", "running", "waiting", "compensating", "stuck", "stuck, going back", "completed", "compensated", "resolved",
}

func tableState(s Status) string {
	switch {
	case s.State == "":
		return "not started"
	case s.State == StateStuck && s.Back:
		return "stuck, going back"
	}
	return string(s.State)
}

// The places in the log at which things happen in the table: a saga starts, and its deadlines pass.
const (
	startsAt eventstore.Position = 10
	passesAt eventstore.Position = 30
)

// tableEvents are all events that can happen to a saga of three steps, in all variants that matter.
func tableEvents() []eventstore.Event {
	events := []eventstore.Event{
		sagaevent.Started{Steps: []string{"do", "await", "last"}, Kinds: []string{kindDo, kindAwait, kindAwait}}, sagaevent.Started{},
		sagaevent.Claimed{Runner: "a", For: time.Second}, sagaevent.Claimed{Runner: "b", For: time.Second}, sagaevent.Released{}, sagaevent.Released{Runner: "a"}, sagaevent.Released{Runner: "b"},
		sagaevent.Completed{}, sagaevent.Compensating{Error: "no"}, sagaevent.Compensated{}, sagaevent.Retried{}, sagaevent.Resolved{},
	}
	for _, step := range []string{"do", "await", "last", "unknown"} {
		begun := sagaevent.StepBegun{Step: step}
		if step == "await" || step == "last" {
			begun.Deadline = time.Unix(1, 0)
		}
		if step == "do" {
			events = append(events, sagaevent.StepBegun{Step: step, Undo: undoDue}, sagaevent.StepBegun{Step: step, Undo: undoNever})
		}
		events = append(events, begun, sagaevent.StepFailed{Step: step}, sagaevent.StepDone{Step: step}, sagaevent.DeadlinePassed{Step: step},
			sagaevent.UndoBegun{Step: step}, sagaevent.UndoFailed{Step: step}, sagaevent.Undone{Step: step}, sagaevent.Stuck{Step: step})
		for _, at := range []eventstore.Position{startsAt - 1, startsAt + 1, passesAt + 1} {
			events = append(events, sagaevent.EventReceived{Step: step, Position: at})
		}
	}
	return events
}

// in is the event as the log has it.
func in(event eventstore.Event) eventstore.Recorded {
	at := passesAt
	if _, starts := event.(sagaevent.Started); starts {
		at = startsAt
	}
	return eventstore.Recorded{Commit: &eventstore.Commit{Stream: eventstore.StreamID{Category: "c", ID: "1"}, First: 1, Position: at}}
}

// statusKey is what the state machine looks at in a status. Only counters and texts are left out.
type statusKey struct {
	state  State
	back   bool
	at     int
	runner string
	steps  [3]stepKey
}

type stepKey struct {
	state    StepState
	kind     string
	passed   bool
	received eventstore.Position
	undo     string
}

func keyOf(s Status) statusKey {
	key := statusKey{state: s.State, back: s.Back, at: s.At, runner: s.Runner}
	for i, one := range s.Steps {
		key.steps[i] = stepKey{state: one.State, kind: one.Kind, passed: one.Passed, received: one.Received, undo: one.Undo}
	}
	return key
}

// reachable calls a function for every status that a saga of three steps can have, with each event, and what follows.
func reachable(visit func(s Status, event eventstore.Event, after Status, permitted bool)) (statuses int) {
	events := tableEvents()
	seen, open := map[statusKey]bool{keyOf(Status{}): true}, []Status{{}}
	for len(open) > 0 {
		s := open[0]
		open = open[1:]
		for _, event := range events {
			after, permitted := s.apply(event, in(event)), s.permits(event)
			visit(s, event, after, permitted)
			if key := keyOf(after); permitted && !seen[key] {
				seen[key] = true
				open = append(open, after)
			}
		}
	}
	return len(seen)
}

// tableOf is the table of all states and all events, as the guide has it.
func tableOf(t *testing.T) string {
	t.Helper()
	cells := make(map[string]map[string][]string)
	n := reachable(func(s Status, event eventstore.Event, after Status, permitted bool) {
		row := cells[event.EventType()]
		if row == nil {
			row = make(map[string][]string)
			cells[event.EventType()] = row
		}
		if to := tableState(after); permitted && !slices.Contains(row[tableState(s)], to) {
			row[tableState(s)] = append(row[tableState(s)], to)
		}
	})
	t.Logf("%d statuses can be reached", n)
	var table strings.Builder
	fmt.Fprintf(&table, "| event | %s |\n|%s\n", strings.Join(tableStates, " | "), strings.Repeat(" --- |", len(tableStates)+1))
	for _, event := range Events() {
		fmt.Fprintf(&table, "| `%s` |", event.EventType())
		for _, state := range tableStates {
			to := cells[event.EventType()][state]
			slices.SortFunc(to, func(a, b string) int { return cmp.Compare(slices.Index(tableStates, a), slices.Index(tableStates, b)) })
			fmt.Fprintf(&table, " %s |", cmp.Or(strings.Join(to, " or "), "-"))
		}
		table.WriteString("\n")
	}
	return table.String()
}

func TestTheTableOfTheGuideIsTheStateMachine(t *testing.T) {
	guide, err := os.ReadFile("../docs/guides/sagas.md")
	require.NoError(t, err)
	table := tableOf(t)
	require.Contains(t, string(guide), "\n"+table+"\n")
}

func TestWhatNoSagaMayBe(t *testing.T) {
	reachable(func(s Status, event eventstore.Event, after Status, permitted bool) {
		if why := wrong(s, after, permitted); why != "" {
			require.Fail(t, why, "%+v\n%T\n%+v", s, event, after)
		}
	})
}

// wrong says what no event may do to a saga.
func wrong(s, after Status, permitted bool) string {
	undone := slices.ContainsFunc(after.Steps, func(one StepStatus) bool { return one.State == Undoing || one.State == Reverted })
	switch {
	case !permitted && keyOf(s) != keyOf(after):
		return "a refusal changes something"
	case !permitted:
		return ""
	case s.State.Final():
		return "a saga goes on that has ended"
	case undone && !after.Back:
		return "a step is undone on the way forwards"
	case s.Back && !after.Back:
		return "a saga that goes back is turned round"
	case after.State == StateCompleted && (after.Back || after.unfinished() < len(after.Steps)):
		return "a saga is completed that is not done"
	case after.State == StateCompensated && !after.Back:
		return "a saga is compensated that did not go back"
	case after.State == StateCompensated && slices.ContainsFunc(after.Steps, func(one StepStatus) bool { return one.Undo == undoDue && one.State != Reverted }):
		return "a saga is compensated that leaves a step as it is"
	case after.Back && slices.ContainsFunc(after.Steps, func(one StepStatus) bool { return one.Undo == undoNever }):
		return "a saga goes back from a step from which there is no way back"
	case after.State == StateWaiting && (after.Current().State != UnderWay || after.Current().Kind != kindAwait || after.Current().Received > 0):
		return "a saga waits for nothing"
	}
	return ""
}

// Whatever a definition decides, the state machine permits it, or the decision is refused by name.
func TestDecisionsKeepToTheStateMachine(t *testing.T) {
	type data struct{ N int }
	action := func(_ context.Context, _ Call, d data) (data, error) { return d, nil }
	nothing := func(d data) (data, error) { return d, nil }
	for name, do := range map[string]*DoStep[data]{
		"Undo": Step("do", action).Undo(action), "NoUndo": Step("do", action).NoUndo(), "Retriable": Step("do", action).Retriable(),
	} {
		t.Run(name, func(t *testing.T) {
			definition, err := Define("c",
				do, Await[data]("await").Within(time.Second).Else(nothing), Await[data]("last").Within(time.Second).Else(nothing))
			require.NoError(t, err)
			requireDecisionsFit(t, definition)
		})
	}
}

// requireDecisionsFit makes all decisions of a definition in all statuses.
func requireDecisionsFit[S any](t *testing.T, definition *Definition[S]) {
	t.Helper()
	failed := errors.New("no")
	decisions := map[string]transition{
		"expire": expire(sagaevent.Claimed{Runner: "a"}, "await"), "cancel": definition.cancel("why"),
		"retry": definition.whenStuck(sagaevent.Retried{}, ""), "resolve": definition.whenStuck(sagaevent.Resolved{}, ""),
		"go on back": owned("a", func(s Status) ([]eventstore.Event, error) {
			if s.State != StateCompensating || s.Current().State == Undoing {
				return nil, errNotOurs
			}
			return definition.backward(&s, s.At), nil
		}),
		"give back": owned("a", only(sagaevent.Released{Runner: "a"})),
		"claim": func(s Status) ([]eventstore.Event, error) {
			return definition.claim(sagaevent.Claimed{Runner: "a"}, s.Claims)(s)
		},
		"receive": receive(sagaevent.EventReceived{Step: "await", Position: startsAt + 1}, &sagaevent.Claimed{Runner: "a"}),
	}
	for name, o := range map[string]outcome[S]{"done": {}, "fails": {failed: failed}, "fails for good": {failed: Permanent(failed)}} {
		decisions[name] = owned("a", func(s Status) ([]eventstore.Event, error) {
			current := s.Current().State
			if (s.State != StateRunning || current != UnderWay) && (s.State != StateCompensating || current != Undoing) {
				return nil, errNotOurs // a runner does something else then
			}
			return definition.settle(&s, o, time.Now()), nil
		})
	}
	var last *StepStatus // of the status that was looked at
	reachable(func(s Status, _ eventstore.Event, _ Status, _ bool) {
		if s.State == "" || last == &s.Steps[0] {
			return
		}
		last = &s.Steps[0]
		for name, decide := range decisions {
			_, err := definition.checked(s, decide)
			if errors.Is(err, errNotOurs) {
				continue
			}
			if err != nil && strings.Contains(err.Error(), "must not happen then") {
				require.Fail(t, err.Error(), "%s: %+v", name, s)
			}
		}
	})
}
