package projection_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// heardOf is what a Trace was told.
type heardOf struct {
	mu      sync.Mutex
	open    int // begun and not ended
	batches []toldBatch
	builds  []toldBuild
}

type toldBatch struct {
	view              string
	after, to         eventstore.Position
	events, documents int
	err               error
}

type toldBuild struct {
	view        string
	foldVersion int
	id          string
	at          eventstore.Position
	flipped     bool
	err         error
}

func (l *heardOf) trace() *projection.Trace {
	begin := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.open++
	}
	return &projection.Trace{
		Batch: func(_ context.Context, view string, after eventstore.Position) func(eventstore.Position, int, int, error) {
			begin()
			return func(to eventstore.Position, events, documents int, err error) {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.open--
				l.batches = append(l.batches, toldBatch{view, after, to, events, documents, err})
			}
		},
		Build: func(_ context.Context, view string, foldVersion int, build string) func(eventstore.Position, bool, error) {
			begin()
			return func(at eventstore.Position, flipped bool, err error) {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.open--
				l.builds = append(l.builds, toldBuild{view, foldVersion, build, at, flipped, err})
			}
		},
	}
}

func traced(t *testing.T, store *eventstore.Store, trace *projection.Trace, fold func(balance, deposited) balance) *projection.View[balance] {
	t.Helper()
	view, err := projection.Open(t.Context(), store, "balances", 1, &projection.Config{Trace: trace}, projection.On(fold))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	return view
}

func add(b balance, e deposited) balance { return balance{b.Amount + e.Amount, b.Events + 1} }

func TestATraceIsToldOfEachBatch(t *testing.T) {
	store := open(t)
	var l heardOf
	view := traced(t, store, l.trace(), add)
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "built", 1)))
	begin, err := view.Position(t.Context())
	require.NoError(t, err)
	end := begin
	for i := range 20 {
		end = deposit(t, store, fmt.Sprint(i%5), 1, 1)
	}
	require.NoError(t, view.WaitFor(t.Context(), end))
	stop()
	require.Zero(t, l.open, "all that began has ended")
	events, documents, at := 0, 0, begin
	for _, b := range l.batches {
		if b.after < begin {
			continue
		}
		require.NoError(t, b.err)
		require.Equal(t, "balances", b.view)
		require.Equal(t, at, b.after, "batches adjoin")
		require.Greater(t, b.to, b.after)
		events, documents, at = events+b.events, documents+b.documents, b.to
	}
	require.Equal(t, end, at)
	require.Equal(t, 40, events)
	require.GreaterOrEqual(t, documents, 5)
	require.LessOrEqual(t, documents, 20)
}

func TestATraceIsToldOfABatchThatFails(t *testing.T) {
	store := open(t)
	var l heardOf
	view := traced(t, store, l.trace(), func(b balance, e deposited) balance {
		if e.Amount < 0 {
			panic("negative")
		}
		return add(b, e)
	})
	ended := make(chan error, 1)
	go func() { ended <- view.Run(t.Context()) }()
	at := deposit(t, store, "a", 1)
	require.NoError(t, view.WaitFor(t.Context(), at))
	deposit(t, store, "a", -1)
	err := <-ended
	require.ErrorIs(t, err, projection.ErrFold)
	require.Zero(t, l.open)
	last := l.batches[len(l.batches)-1]
	require.ErrorIs(t, last.err, projection.ErrFold)
	require.Equal(t, toldBatch{view: "balances", after: at, to: at, err: last.err}, last)
}

func TestATraceIsToldOfEachBuild(t *testing.T) {
	store := open(t)
	end := deposit(t, store, "a", 1, 2, 3)
	var l heardOf
	broken := errors.New("broken")
	fail := false
	view := traced(t, store, l.trace(), func(b balance, e deposited) balance {
		if fail {
			panic(broken)
		}
		return add(b, e)
	})
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), end))
	stop()
	first, err := view.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, []toldBuild{{"balances", 1, first.Serving.Build, end, true, nil}}, l.builds)

	fail = true
	err = view.Rebuild(t.Context(), nil)
	require.ErrorIs(t, err, broken)
	require.Len(t, l.builds, 2)
	require.False(t, l.builds[1].flipped)
	require.ErrorIs(t, l.builds[1].err, broken)
	require.NotEqual(t, first.Serving.Build, l.builds[1].id)
	require.Zero(t, l.open)
}

func TestATraceMayLeaveOutWhatItDoesNotNeed(t *testing.T) {
	store := open(t)
	for _, trace := range []*projection.Trace{{}, {
		Batch: func(context.Context, string, eventstore.Position) func(eventstore.Position, int, int, error) {
			return nil
		},
		Build: func(context.Context, string, int, string) func(eventstore.Position, bool, error) { return nil },
	}} {
		view := traced(t, store, trace, add)
		stop := run(t, view)
		require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
		require.NoError(t, view.Rebuild(t.Context(), nil))
		stop()
	}
}
