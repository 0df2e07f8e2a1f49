package saga

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// News of a saga that cannot be run here do not make it one that can. So its status says why it is left alone until a
// runner has looked at it again.
func TestASagaThatIsLeftAloneStaysSoUntilItIsLookedAt(t *testing.T) {
	now := time.Now()
	at := func(status Status) instance[int] { return instance[int]{id: "1", status: status} }
	a := newAgenda[int]()
	require.True(t, a.set(at(Status{Version: 3, State: StateRunning}), now))
	a.take("1")
	require.False(t, a.leave("1", "unknown", now))
	_, _, due := a.first()
	require.False(t, due, "never by itself")

	require.True(t, a.set(at(Status{Version: 4, State: StateRunning}), now))
	require.Equal(t, "unknown", a.left("1"))
	_, _, due = a.first()
	require.True(t, due)

	a.take("1")
	a.fits("1")
	require.Empty(t, a.left("1"))
	require.False(t, a.leave("2", "unknown", now), "not told of this one")
	require.True(t, a.leave("1", "unknown", now), "told before")
}

// A saga that waits for a deadline is looked at as soon as another release has changed it, not at the deadline.
func TestASagaThatIsLeftAloneIsLookedAtOnceItHasChanged(t *testing.T) {
	now := time.Now()
	waiting := Status{Version: 3, State: StateWaiting, Steps: []StepStatus{{Name: "answer", Deadline: now.Add(time.Hour)}}}
	a := newAgenda[int]()
	a.set(instance[int]{id: "1", status: waiting}, now)
	a.take("1")
	a.leave("1", "unknown", now)
	a.look("1", 0, now)
	in, due, found := a.first()
	require.True(t, found)
	require.Equal(t, now, due)
	require.Zero(t, in.status, "so that it is loaded")
	require.Equal(t, "unknown", a.left("1"))
}

// The clock of the runner that failed is an hour ahead of this one, or an hour behind.
func TestARetryDoesNotWaitForTheClockOfTheRunnerThatFailed(t *testing.T) {
	now := time.Now()
	const soon = 100 * time.Millisecond
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
		theirs := now.Add(ahead)
		due := dueAt(Status{Version: 5, State: StateRunning, Changed: theirs, Again: theirs.Add(soon)}, now)
		require.WithinRange(t, due, now, now.Add(soon+spreadWork))
	}
}

func TestRunnersForgetTheSagasThatOthersHaveEnded(t *testing.T) {
	js := eventstoretest.JetStream(t)
	definition, err := Define("wait", Step("a", func(context.Context, Call, struct{}) (struct{}, error) { return struct{}{}, nil }).NoUndo())
	require.NoError(t, err)
	var managers [2]*Manager[struct{}]
	ctx, end := context.WithCancel(t.Context())
	var runs sync.WaitGroup
	for i := range managers {
		store, err := eventstore.Open(t.Context(), js, "bank", Events(), nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		managers[i], err = Open(t.Context(), store, definition, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, managers[i].Close()) })
		runs.Go(func() { _ = managers[i].Run(ctx) })
	}
	t.Cleanup(runs.Wait)
	t.Cleanup(end)
	for i := range 100 {
		_, err := managers[i%2].Start(t.Context(), fmt.Sprint(i), struct{}{})
		require.NoError(t, err)
		_, err = managers[i%2].Wait(t.Context(), fmt.Sprint(i))
		require.NoError(t, err)
	}
	for _, m := range managers {
		require.Eventually(t, func() bool {
			m.mu.Lock()
			r := m.runner
			m.mu.Unlock()
			if r == nil {
				return false
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			return len(r.agenda.sagas) == 0
		}, 10*time.Second, 5*time.Millisecond)
	}
}
