package projection_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

func TestAWaitThatIsGivenUpSaysWhatItWaitedFor(t *testing.T) {
	store := open(t)
	hold, enter := make(chan struct{}), make(chan struct{}, 1)
	view, err := projection.Open(t.Context(), store, "sums", 1, nil, projection.On(func(b balance, e deposited) balance {
		if e.Amount == 13 {
			enter <- struct{}{}
			<-hold
		}
		return balance{b.Amount + e.Amount, b.Events + 1}
	}))
	require.NoError(t, err)
	defer view.Close()
	require.Equal(t, "sums", view.Name())
	first := deposit(t, store, "a", 1)
	wait := func(position eventstore.Position) error {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return view.WaitFor(ctx, position)
	}
	givenUp := func(err error) {
		t.Helper()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "projection: view sums has not reached position")
		require.ErrorContains(t, err, "is it running?")
	}
	givenUp(wait(first)) // nothing is built

	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), first))
	last := deposit(t, store, "a", 13)
	<-enter
	givenUp(wait(last)) // its runner is at it
	close(hold)
	require.NoError(t, view.WaitFor(t.Context(), last))
	stop()
	givenUp(wait(deposit(t, store, "a", 1))) // nobody runs it
	require.ErrorIs(t, wait(last+2), projection.ErrPositionAhead)
}

func TestWhatIsAskedOfAViewEndsWithItsContext(t *testing.T) {
	store := open(t)
	view := parking(t, store, unlucky)
	for name, ask := range map[string]func(context.Context) error{
		"get":    func(ctx context.Context) error { _, err := view.Get(ctx, "a"); return err },
		"many":   func(ctx context.Context) error { _, err := view.GetMany(ctx, "a"); return err },
		"list":   func(ctx context.Context) error { return lastError(view.List(ctx)) },
		"watch":  func(ctx context.Context) error { return lastError(view.Watch(ctx)) },
		"parked": func(ctx context.Context) error { return lastError(view.Parked(ctx)) },
		"replay": func(ctx context.Context) error { return view.Replay(ctx) },
	} {
		require.ErrorIs(t, ask(t.Context()), projection.ErrNotReady, name)
	}
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1, 13)))
	stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, ask := range map[string]func(context.Context) error{
		"get":     func(ctx context.Context) error { _, err := view.Get(ctx, "a"); return err },
		"many":    func(ctx context.Context) error { _, err := view.GetMany(ctx, "a"); return err },
		"list":    func(ctx context.Context) error { return lastError(view.List(ctx)) },
		"watch":   func(ctx context.Context) error { return lastError(view.Watch(ctx)) },
		"parked":  func(ctx context.Context) error { return lastError(view.Parked(ctx)) },
		"replay":  func(ctx context.Context) error { return view.Replay(ctx) },
		"discard": func(ctx context.Context) error { return view.Discard(ctx, "a") },
		"status":  func(ctx context.Context) error { _, err := view.Status(ctx); return err },
		"pause":   func(ctx context.Context) error { return view.Pause(ctx) },
		"resume":  func(ctx context.Context) error { return view.Resume(ctx) },
		"wait":    func(ctx context.Context) error { return view.WaitFor(ctx, 1) },
	} {
		require.ErrorIs(t, ask(ctx), context.Canceled, name)
	}
}

// lastError returns the error that a sequence ends with.
func lastError[T any](seq func(func(T, error) bool)) (last error) {
	for _, err := range seq {
		last = err
	}
	return last
}

// A build that is about to take a view's place retires its runner first. If it dies right after, the retired one goes
// on.
func TestAViewThatWasRetiredForNothingGoesOn(t *testing.T) {
	store := open(t)
	view := sums(t, store, 1, &projection.Config{StandBy: 300 * time.Millisecond, Heartbeat: 100 * time.Millisecond})
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	stop()
	bucket, err := kv.Open[balance](t.Context(), store.JetStream(), view.Bucket(), nil)
	require.NoError(t, err)
	defer bucket.Close()
	checkpoints, err := kv.Beside[map[string]json.RawMessage](bucket, inside.Single())
	require.NoError(t, err)
	entry, err := checkpoints.GetLeader(t.Context(), "checkpoint")
	require.NoError(t, err)
	entry.Value["retired"] = json.RawMessage(`"a build"`)
	_, err = checkpoints.Update(t.Context(), "checkpoint", entry.Value, entry.Revision)
	require.NoError(t, err)

	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 2)))
	requireFolded(t, store, view)
	entry, err = checkpoints.GetLeader(t.Context(), "checkpoint")
	require.NoError(t, err)
	require.NotContains(t, entry.Value, "retired")
}

// The runner counts in parked documents, and operators write their wishes there. Here the wish comes between two events
// that the runner writes as one batch.
func TestAWishThatComesWhileItsEventsAreCountedIsHeeded(t *testing.T) {
	store := open(t)
	view, err := projection.Open(t.Context(), store, "sums", 1, &projection.Config{Park: true, Interval: time.Second},
		projection.On(func(b balance, e deposited) balance {
			if unlucky(e.Amount) {
				panic("no")
			}
			return balance{b.Amount + e.Amount, b.Events + 1}
		}))
	require.NoError(t, err)
	defer view.Close()
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "b", 1)))
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 13)))
	require.Len(t, parked(t, view), 1)
	last := deposit(t, store, "a", 2) // gathered for up to a second
	require.NoError(t, view.Discard(t.Context(), "a"))
	require.NoError(t, view.WaitFor(t.Context(), last))
	eventually(t, func() bool { return len(parked(t, view)) == 0 }, "the wish is heeded")
	got, err := view.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, balance{2, 1}, got)
}

func TestErrorsOfFoldsSayWhatToDo(t *testing.T) {
	fold := &projection.FoldError{View: "sums", Stream: account("a"), Version: 2, Position: 3, Type: "account.deposited", Panic: "no"}
	require.ErrorContains(t, fold, `sums: fold failed at account/a version 2, position 3: rule for "account.deposited" panicked: no: mend the rule`)
}
