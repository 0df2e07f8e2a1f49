package projection_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// view makes a view of sums at a fold version, which multiplies amounts by it, so that the documents of different
// versions differ.
func sums(t *testing.T, store *eventstore.Store, foldVersion int, cfg *projection.Config) *projection.View[balance] {
	t.Helper()
	view, err := projection.Open(t.Context(), store, "sums", foldVersion, cfg,
		projection.On(func(b balance, e deposited) balance {
			return balance{b.Amount + int64(foldVersion)*e.Amount, b.Events + 1}
		}))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	return view
}

// buckets lists the view's buckets.
func buckets(t *testing.T, store *eventstore.Store) []string {
	t.Helper()
	names := store.JetStream().KeyValueStoreNames(t.Context())
	var all []string
	for name := range names.Name() {
		if strings.HasPrefix(name, "bank_sums") {
			all = append(all, name)
		}
	}
	require.NoError(t, names.Error())
	slices.Sort(all)
	return all
}

func TestABuildWithLittleMemoryIsRight(t *testing.T) {
	store := open(t)
	for i := range 500 {
		deposit(t, store, fmt.Sprint(i%50), int64(i))
	}
	var last eventstore.Progress
	view := sums(t, store, 1, &projection.Config{BuildCacheSize: 5})
	require.NoError(t, view.Rebuild(t.Context(), func(p eventstore.Progress) { last = p }))
	requireFolded(t, store, view)
	require.Equal(t, int64(500), last.Events)
	require.InDelta(t, 1, last.Fraction(), 0)
}

func TestReadersNeverSeeAGapOrAStepBackWhileAViewIsRebuilt(t *testing.T) {
	store := open(t)
	view, reader := sums(t, store, 1, nil), sums(t, store, 1, nil)
	_, err := view.Get(t.Context(), "a")
	require.ErrorIs(t, err, projection.ErrNotReady)
	run(t, view)
	require.NoError(t, reader.WaitFor(t.Context(), deposit(t, store, "a", 1)))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var others sync.WaitGroup
	others.Go(func() { // writes all through it
		for ctx.Err() == nil {
			deposit(t, store, "a", 1)
		}
	})
	others.Go(func() { // and reads
		seen := 0
		for ctx.Err() == nil {
			got, err := reader.Get(t.Context(), "a")
			if err != nil || got.Events < seen || got.Amount != int64(got.Events) {
				t.Errorf("read %+v after %d events: %v", got, seen, err)
				return
			}
			seen = got.Events
		}
	})
	before := view.Bucket()
	for range 5 {
		require.NoError(t, sums(t, store, 1, nil).Rebuild(t.Context(), nil))
	}
	cancel()
	others.Wait()
	end := deposit(t, store, "a", 1)
	require.NoError(t, reader.WaitFor(t.Context(), end))
	requireFolded(t, store, reader)
	require.NotEqual(t, before, reader.Bucket())
	require.Eventually(t, func() bool { return view.Bucket() == reader.Bucket() }, 5*time.Second, time.Millisecond)
	require.NoError(t, view.WaitFor(t.Context(), end))
}

// The one that rebuilt the view knew how far its build was, and took that for how far the view is.
func TestWhoRebuiltAViewSeesItGoOnElsewhere(t *testing.T) {
	store := open(t)
	run(t, sums(t, store, 1, nil))
	other := sums(t, store, 1, nil)
	require.NoError(t, other.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	require.NoError(t, other.Rebuild(t.Context(), nil))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := other.Get(ctx, "a", projection.At(deposit(t, store, "a", 1)))
	require.NoError(t, err)
	require.Equal(t, balance{2, 2}, got)
}

func TestOldAndNewCodeRunSideBySide(t *testing.T) {
	store := open(t)
	older, newer := sums(t, store, 1, quick), sums(t, store, 2, quick)
	stopOlder := run(t, older)
	end := deposit(t, store, "a", 1)
	require.NoError(t, older.WaitFor(t.Context(), end))
	require.Eventually(t, func() bool { return newer.Bucket() != "" }, 5*time.Second, time.Millisecond)
	got, err := newer.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, balance{1, 1}, got, "the older version serves until the newer is built")
	waiting, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = newer.Get(waiting, "a", projection.At(end))
	require.ErrorIs(t, err, context.DeadlineExceeded, "what the older version has folded does not count")

	run(t, newer)
	run(t, sums(t, store, 2, quick))
	require.Eventually(t, func() bool { return newer.Bucket() != older.Bucket() }, 5*time.Second, time.Millisecond)
	begin := time.Now()
	for i := 0; i < 50 || time.Since(begin) < longer(0, time.Minute); i++ {
		end = deposit(t, store, "a", 1)
		for factor, view := range map[int64]*projection.View[balance]{1: older, 2: newer} {
			got, err := view.Get(t.Context(), "a", projection.At(end))
			require.NoError(t, err)
			require.Equal(t, balance{factor * int64(i+2), i + 2}, got)
		}
	}
	require.Len(t, buckets(t, store), 2, "the newer version was built once")

	control, err := store.JetStream().KeyValue(t.Context(), older.Control())
	require.NoError(t, err)
	record, err := control.Get(t.Context(), "view.sums")
	require.NoError(t, err)
	var led struct{ Bucket string }
	require.NoError(t, json.Unmarshal(record.Value(), &led))
	require.Equal(t, newer.Bucket(), led.Bucket, "other clients are led to the newer one")

	_, err = older.Prune(t.Context())
	require.NoError(t, err)
	require.Len(t, buckets(t, store), 2, "the older one keeps the newer")
	pruned, err := newer.Prune(t.Context())
	require.NoError(t, err)
	require.Empty(t, pruned, "somebody runs the older one")
	stopOlder()
	pruned, err = newer.Prune(t.Context())
	require.NoError(t, err)
	require.Len(t, pruned, 1)
	require.Equal(t, []string{newer.Bucket()}, buckets(t, store))
}

// frozen is the configuration of an instance that shows no sign of life, like a process that was stopped.
var frozen = &projection.Config{Heartbeat: time.Hour, StandBy: time.Hour}

func TestABuildThatWasLeftIsMadeAnewByAnother(t *testing.T) {
	store := open(t)
	for i := range 600 {
		deposit(t, store, fmt.Sprint(i%5), 1)
	}
	cfg := &projection.Config{Heartbeat: 50 * time.Millisecond, StandBy: 200 * time.Millisecond}
	died := errors.New("died")
	ctx, die := context.WithCancelCause(t.Context())
	blocked := make(chan struct{})
	first, err := projection.Open(t.Context(), store, "sums", 1, frozen,
		projection.On(func(b balance, e deposited) balance {
			if b.Events == 60 {
				close(blocked)
				<-ctx.Done() // for others, it has frozen
			}
			return balance{b.Amount + e.Amount, b.Events + 1}
		}))
	require.NoError(t, err)
	defer first.Close()
	ended := make(chan error, 1)
	go func() { ended <- first.Rebuild(ctx, nil) }()
	<-blocked

	second := sums(t, store, 1, cfg)
	run(t, second)
	require.NoError(t, second.WaitFor(t.Context(), 600))
	requireFolded(t, store, second)
	die(died)
	require.Error(t, <-ended)
	requireFolded(t, store, second)
}

// The build that takes the place deletes the bucket of the one that froze, which finds out by its writes.
func TestABuildThatThawsAfterAnotherIsMadeAnew(t *testing.T) {
	store := open(t)
	for i := range 300 {
		deposit(t, store, fmt.Sprint(i%5), 1)
	}
	thawed := sums(t, store, 1, frozen)
	other := sums(t, store, 1, &projection.Config{Heartbeat: 20 * time.Millisecond, StandBy: 50 * time.Millisecond})
	takeOver := sync.OnceFunc(func() { require.NoError(t, other.Rebuild(t.Context(), nil)) })
	require.NoError(t, thawed.Rebuild(t.Context(), func(eventstore.Progress) { takeOver() }))
	requireFolded(t, store, thawed)
}

// runnerOf tells who works on a view.
func runnerOf(t *testing.T, view *projection.View[balance]) string {
	t.Helper()
	status, err := view.Status(t.Context())
	require.NoError(t, err)
	return status.Runner
}

func TestASecondInstanceStandsByAndTakesOver(t *testing.T) {
	store := open(t)
	cfg := &projection.Config{Heartbeat: 50 * time.Millisecond, StandBy: 3 * time.Second}
	one, two := sums(t, store, 1, cfg), sums(t, store, 1, cfg)
	stop := run(t, one)
	require.NoError(t, one.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	require.NoError(t, two.WaitFor(t.Context(), 1))
	first := runnerOf(t, two)
	run(t, two)
	for range 20 {
		require.NoError(t, two.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	}
	require.Equal(t, first, runnerOf(t, two), "the other stands by")
	begin := time.Now()
	stop()
	require.NoError(t, two.WaitFor(t.Context(), deposit(t, store, "a", 1)), "and takes over")
	require.Less(t, time.Since(begin), cfg.StandBy, "at once, since the first one has said that it ends")
	require.NotEqual(t, first, runnerOf(t, two))
	requireFolded(t, store, two)
}

func TestARunnerThatWasFrozenChangesNothing(t *testing.T) {
	store := open(t)
	freeze, thaw := make(chan struct{}), make(chan struct{})
	var once sync.Once
	one, err := projection.Open(t.Context(), store, "sums", 1, frozen,
		projection.On(func(b balance, e deposited) balance {
			if e.Amount == 13 {
				once.Do(func() { close(freeze) })
				<-thaw
			}
			return balance{b.Amount + e.Amount, b.Events + 1}
		}))
	require.NoError(t, err)
	defer one.Close()
	stop := run(t, one)
	require.NoError(t, one.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	last := deposit(t, store, "a", 13)
	<-freeze
	two := sums(t, store, 1, &projection.Config{Heartbeat: 50 * time.Millisecond, StandBy: 200 * time.Millisecond})
	run(t, two)
	require.NoError(t, two.WaitFor(t.Context(), last), "the other takes over")
	require.NoError(t, two.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	close(thaw)
	requireFolded(t, store, two)
	require.NoError(t, two.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	requireFolded(t, store, two)
	stop()
}

func TestAPausedViewDoesNotMove(t *testing.T) {
	store := open(t)
	view, operator := sums(t, store, 1, nil), sums(t, store, 1, nil)
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	require.NoError(t, operator.Pause(t.Context()))
	status := func() projection.Status {
		s, err := operator.Status(t.Context())
		require.NoError(t, err)
		return s
	}
	require.True(t, status().Paused)
	require.NoError(t, view.Pause(t.Context()), "again is harmless")
	deposit(t, store, "b", 1, 1)
	s := status()
	require.Equal(t, uint64(1), s.Lag.Commits)
	require.Equal(t, uint64(2), s.Lag.Events)
	_, err := view.Get(t.Context(), "a")
	require.NoError(t, err, "readers go on")
	require.NoError(t, operator.Resume(t.Context()))
	require.NoError(t, view.WaitFor(t.Context(), 2))
	require.Zero(t, status().Lag)
}

func TestPruningTouchesNoViewOfASimilarName(t *testing.T) {
	store := open(t)
	deposit(t, store, "a", 1)
	other, err := projection.Open(t.Context(), store, "sums_v1", 1, nil,
		projection.On(func(b balance, e deposited) balance { return balance{b.Amount + e.Amount, b.Events + 1} }))
	require.NoError(t, err)
	defer other.Close()
	require.NoError(t, other.Rebuild(t.Context(), nil))
	view := sums(t, store, 1, nil)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	pruned, err := view.Prune(t.Context())
	require.NoError(t, err)
	require.Empty(t, pruned)
	_, err = other.Get(t.Context(), "a")
	require.NoError(t, err)
}

// The log grows by as much in each round, as it does over a long link while others append.
func TestABuildThatComesNoNearerToTheEndOfTheLogEnds(t *testing.T) {
	const growth, atMost = 1100, 12
	var writer atomic.Pointer[eventstore.Store]
	var rounds atomic.Int64
	store := openBetween(t, func(_ *nats.Conn, subject string, msg *nats.Msg) (answered bool) {
		round := strings.HasPrefix(subject, "STREAM.MSG.GET.KV_bank_sums") && strings.Contains(string(msg.Data), "=checkpoint")
		if n := rounds.Load(); round && n < atMost {
			grow(t, writer.Load(), n, growth)
			rounds.CompareAndSwap(n, n+1)
		}
		return false
	})
	js, err := jetstream.New(store.JetStream().Conn())
	require.NoError(t, err)
	writer.Store(openAt(t, js))
	deposit(t, store, "a", 1)
	view := sums(t, store, 1, nil)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	took := rounds.Swap(atMost)
	require.Less(t, took, int64(atMost/2))
	require.Greater(t, took, int64(1))
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	requireFolded(t, store, view)
}

// grow appends commits to streams of their own.
func grow(t *testing.T, store *eventstore.Store, round int64, commits int) {
	t.Helper()
	for part := range 2 {
		writes := make([]eventstore.Write, commits/2)
		for i := range writes {
			id := account(fmt.Sprintf("%d.%d.%d", round, part, i))
			writes[i] = eventstore.Write{Stream: id, Events: []eventstore.Event{deposited{Amount: 1}}}
		}
		if _, err := store.AppendAll(t.Context(), writes...); err != nil {
			t.Errorf("append: %v", err)
		}
	}
}
