package sagatest

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// recorder keeps the first line of the message of a check.
type recorder struct {
	testing.TB

	said []string
}

func (r *recorder) Helper() {}

func (r *recorder) Errorf(format string, args ...any) {
	line, _, _ := strings.Cut(fmt.Sprintf(format, args...), "\n")
	r.said = append(r.said, line)
}

// history is a saga with these events, each at a position of its own, from 1 on. An event is its name behind "saga.",
// and its step if it has one.
func history(state saga.State, events ...string) saga.Instance[struct{}] {
	in := saga.Instance[struct{}]{Status: saga.Status{ID: "1", State: state, First: 1}}
	for i, event := range events {
		name, step, _ := strings.Cut(event, " ")
		in.History = append(in.History, saga.Entry{
			Version: eventstore.Version(i + 1), Position: eventstore.Position(i + 1), Type: "saga." + name, Step: step,
		})
	}
	return in
}

func TestAnEndThatMustNotBeIsReported(t *testing.T) {
	for says, in := range map[string]saga.Instance[struct{}]{
		"sagatest: the saga does not end:":                  history(saga.StateRunning),
		"sagatest: the saga is completed and undone:":       history(saga.StateCompleted, "undo.begun a", "completed"),
		"sagatest: the saga ends 2 times:":                  history(saga.StateCompleted, "completed", "compensated"),
		"sagatest: step a is done 2 times:":                 history(saga.StateCompleted, "step.done a", "step.done a", "completed"),
		"sagatest: the saga is stuck at a without a cause:": history(saga.StateStuck, "step.begun a", "stuck a"),
	} {
		r := &recorder{}
		checkEnd(r, in)
		checkStuck(r, in, &failures{steps: map[string]bool{"b": true}})
		require.Equal(t, []string{says}, r.said)
	}
	r, failed := &recorder{}, &failures{steps: make(map[string]bool)}
	failed.note("a", errors.New("no"))
	checkStuck(r, history(saga.StateStuck, "step.begun a", "stuck a"), failed)
	awaiting := history(saga.StateStuck, "step.begun b", "stuck b")
	awaiting.Steps = []saga.StepStatus{{Name: "b", Deadline: time.Now()}}
	checkStuck(r, awaiting, failed)
	require.Empty(t, r.said)
}

func TestAnAnswerThatIsLostIsReported(t *testing.T) {
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "s", []eventstore.Event{reported{}}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	for i := range 3 { // at positions 1, 2 and 3
		_, err = store.Append(t.Context(), eventstore.StreamID{Category: "report", ID: fmt.Sprint(i)}, eventstore.Head{}, reported{})
		require.NoError(t, err)
	}
	awaits := func(eventstore.Event) string { return "wait" }
	late := history(saga.StateCompensated, "started", "deadline.passed wait")
	lost := history(saga.StateCompensated, "started", "step.begun wait", "deadline.passed wait")
	found := history(saga.StateCompleted, "started", "step.begun wait", "deadline.passed wait", "event.received wait")
	r := &recorder{}
	for _, in := range []saga.Instance[struct{}]{late, lost, found} {
		checkAnswers(t.Context(), r, store, in, awaits)
	}
	require.Equal(t, []string{"sagatest: the answer to wait at position 2 is lost:"}, r.said)
}

type reported struct{}

func (reported) EventType() string { return "reported" }
