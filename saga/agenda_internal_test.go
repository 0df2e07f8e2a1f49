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
	"github.com/runnel-go/runnel/internal/sagaevent"
)

// A saga that cannot be run here may have changed. Its status says why it is left alone until a runner has looked at it
// again.
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

// A runner that knows an older state does not apply a commit to it if another commit came in between.
func TestACommitAfterOneThatIsMissingIsNotTakenIn(t *testing.T) {
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", Events(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	definition, err := Define("wait", Step("a", func(context.Context, Call, struct{}) (struct{}, error) { return struct{}{}, nil }).NoUndo())
	require.NoError(t, err)
	m, err := Open(t.Context(), store, definition, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	_, err = m.Start(t.Context(), "1", struct{}{})
	require.NoError(t, err)
	in, err := m.load(t.Context(), "1")
	require.NoError(t, err)
	claimed := func(head eventstore.Head) *eventstore.Commit {
		c, err := store.Append(t.Context(), m.stream("1"), head, sagaevent.Claimed{Runner: "a", For: time.Hour})
		require.NoError(t, err)
		return c
	}
	next := claimed(in.head)
	afterNext := claimed(next.Head())

	r := &runner[struct{}]{m: m, agenda: newAgenda[struct{}](), wake: make(chan struct{}, 1)}
	r.note(in)
	r.learn(afterNext)
	known, _ := r.agenda.get("1")
	require.Zero(t, known.status.Version, "it is loaded")
	_, due, _ := r.agenda.first()
	require.WithinDuration(t, time.Now(), due, time.Second)
	r.note(in)
	known, _ = r.agenda.get("1")
	require.Zero(t, known.status.Version, "what is older is not believed")

	r = &runner[struct{}]{m: m, agenda: newAgenda[struct{}](), wake: make(chan struct{}, 1)}
	r.note(in)
	r.learn(next)
	r.learn(afterNext)
	known, _ = r.agenda.get("1")
	require.Equal(t, afterNext.Last(), known.status.Version)
}
