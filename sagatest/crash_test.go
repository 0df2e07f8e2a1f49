package sagatest_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/saga"
	"github.com/runnel-go/runnel/sagatest"
)

func TestWhatDoesNotHoldFailsTheRun(t *testing.T) {
	till := &till{paid: make(map[string]bool)}
	for name, c := range map[string]struct {
		stage func(t testing.TB, outside *eventstore.Store) sagatest.Play[Booking]
		says  string
	}{
		"a key that counts twice": {func(t testing.TB, outside *eventstore.Store) sagatest.Play[Booking] {
			head := eventstore.Head{}
			for range 2 {
				commits, err := outside.AppendAll(t.Context(), eventstore.Write{
					Stream: eventstore.StreamID{Category: "seat", ID: "7b"}, Expected: head, Events: seatEvents, Key: "k",
				})
				require.NoError(t, err)
				head = commits[0].Head()
			}
			return staged(t, outside, till)
		}, `sagatest: seat/7b under the key "k" is written twice, at positions 1 and 2`},
		"what the caller checks": {func(t testing.TB, outside *eventstore.Store) sagatest.Play[Booking] {
			play := staged(t, outside, till)
			play.Check = func(t testing.TB, in saga.Instance[Booking]) { t.Errorf("money is lost: %s", in.State) }
			return play
		}, "money is lost: completed"},
		"a definition that is none": {func(t testing.TB, outside *eventstore.Store) sagatest.Play[Booking] {
			play := staged(t, outside, till)
			play.Define = func(*eventstore.Store) (*saga.Definition[Booking], error) { return nil, errors.New("no steps") }
			return play
		}, "sagatest: define: no steps"},
	} {
		t.Run(name, func(t *testing.T) {
			run := &shown{quiet: true}
			sagatest.Crash(run, seatEvents, c.stage)
			run.end()
			require.Equal(t, []string{c.says}, run.failures)
			require.Equal(t, int64(1), run.runs.Load(), "what does not hold undisturbed is not tried at any point")
		})
	}
}

func TestAStoryTellsWhyThingsHappened(t *testing.T) {
	for want, entry := range map[string]saga.Entry{
		"saga.step.failed pay: no": {Version: 1, Type: "saga.step.failed", Step: "pay", Reason: "no"},
		"saga.step.done pay":       {Version: 1, Type: "saga.step.done", Step: "pay"},
		"saga.compensating: no":    {Version: 1, Type: "saga.compensating", Reason: "no"},
	} {
		story := sagatest.Story(saga.Instance[struct{}]{
			Status: saga.Status{ID: "1", State: saga.StateStuck}, History: []saga.Entry{entry},
		})
		require.Equal(t, "saga 1 is stuck:\n   1  "+want+"\n", story)
	}
	require.Equal(t, "a saga without a history\n", sagatest.Story(saga.Instance[struct{}]{}))
}
