package projection_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
)

// spend takes a time, as the work of a fold does.
func spend(d time.Duration) { <-time.After(d) }

// slow makes a view of sums whose folds take a time each.
func slow(t *testing.T, store *eventstore.Store, fold time.Duration, park bool) *projection.View[balance] {
	t.Helper()
	view, err := projection.Open(t.Context(), store, "sums", 1,
		&projection.Config{Heartbeat: quick.Heartbeat, StandBy: quick.StandBy, Park: park},
		projection.On(func(b balance, e deposited) balance {
			spend(fold)
			return balance{b.Amount + e.Amount, b.Events + 1}
		}))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	return view
}

// A fold that takes longer than Config.StandBy shows no life by its writes.
func TestASlowFoldKeepsItsRunner(t *testing.T) {
	store := open(t)
	var views []*projection.View[balance]
	for range 3 {
		views = append(views, slow(t, store, 3*quick.StandBy/2, false))
		run(t, views[len(views)-1])
	}
	require.NoError(t, views[0].WaitFor(t.Context(), deposit(t, store, "a", 1)))
	first := runnerOf(t, views[0])
	for range 3 {
		end := deposit(t, store, "a", 1)
		require.NoError(t, views[1].WaitFor(t.Context(), end))
		require.Equal(t, first, runnerOf(t, views[0]))
	}
	requireFolded(t, store, views[2])
}

// A build that takes longer than Config.StandBy keeps its place beside other instances, also while it catches up.
func TestALongBuildIsMadeOnce(t *testing.T) {
	server := eventstoretest.NewServer(t)
	store, said := openOn(t, server)
	for i := range 400 {
		deposit(t, store, fmt.Sprint(i%7), 1)
	}
	var views []*projection.View[balance]
	for range 3 {
		views = append(views, slow(t, store, 4*time.Millisecond, false))
		run(t, views[len(views)-1])
	}
	var end eventstore.Position
	load := time.NewTicker(20 * time.Millisecond)
	defer load.Stop()
	for n := 0; views[0].Bucket() == ""; n++ {
		<-load.C
		if n < 100 { // a busy machine folds slower than the log would grow
			end = deposit(t, store, "a", 1)
		}
	}
	require.NoError(t, views[1].WaitFor(t.Context(), end))
	require.Equal(t, 1, strings.Count(said.String(), "projection: view built"))
	require.NotContains(t, said.String(), "building in its place")
	require.Equal(t, []string{views[0].Bucket()}, buckets(t, store))
}

// A builder that was killed shows no life, and its bucket is not left over.
func TestABuildWhoseConnectionIsLostIsMadeByAnother(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, _ := openOn(t, server)
	end := deposit(t, store, "a", 1)
	begun, ended := make(chan struct{}), make(chan error, 1)
	var calls atomic.Int32
	killed, err := projection.Open(t.Context(), storeBehind(t, proxy), "sums", 1, quick,
		projection.On(func(b balance, e deposited) balance {
			if calls.Add(1) == 1 {
				close(begun)
				spend(3 * quick.StandBy)
			}
			return balance{b.Amount + e.Amount, b.Events + 1}
		}))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- killed.Rebuild(ctx, nil) }()
	<-begun
	proxy.Cut()
	view := sums(t, store, 1, quick)
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), end))
	requireFolded(t, store, view)
	cancel()
	require.Error(t, <-ended)
	require.NoError(t, killed.Close())
	require.Equal(t, []string{view.Bucket()}, buckets(t, store))
	proxy.Heal()
}

// The names of store and view are the same if they are joined with "-".
func TestViewsOfStoresWhoseNamesRunTogetherAreApart(t *testing.T) {
	server := eventstoretest.NewServer(t)
	openNamed := func(name, view string) (*eventstore.Store, *projection.View[balance]) {
		store, err := eventstore.Open(t.Context(), server.JetStream(t), name, events, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		v, err := projection.Open(t.Context(), store, view, 1, nil,
			projection.On(func(b balance, e deposited) balance { return balance{b.Amount + e.Amount, b.Events + 1} }))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, v.Close()) })
		return store, v
	}
	bank, first := openNamed("bank", "eu-sums")
	eu, second := openNamed("bank-eu", "sums")
	deposit(t, bank, "a", 1)
	require.NoError(t, first.Rebuild(t.Context(), nil))
	_, err := second.Get(t.Context(), "a")
	require.ErrorIs(t, err, projection.ErrNotReady)
	deposit(t, eu, "a", 7)
	require.NoError(t, second.Rebuild(t.Context(), nil))
	for _, view := range []*projection.View[balance]{first, second} {
		pruned, err := view.Prune(t.Context())
		require.NoError(t, err)
		require.Empty(t, pruned)
	}
	requireFolded(t, bank, first)
	requireFolded(t, eu, second)
}

// The record outlives a store that is made anew under its name.
func TestAViewOfAStoreThatWasMadeAnewIsRefused(t *testing.T) {
	server := eventstoretest.NewServer(t)
	store, _ := openOn(t, server)
	deposit(t, store, "a", 1)
	require.NoError(t, sums(t, store, 1, nil).Rebuild(t.Context(), nil))
	js := server.JetStream(t)
	require.NoError(t, js.DeleteStream(t.Context(), "bank"))
	control, err := js.KeyValue(t.Context(), "bank_control")
	require.NoError(t, err)
	require.NoError(t, control.Purge(t.Context(), "mark"))
	again, _ := openOn(t, server)
	view := sums(t, again, 1, nil)
	_, err = view.Get(t.Context(), "a")
	require.ErrorIs(t, err, projection.ErrOtherStore)
	err = view.Run(t.Context())
	require.ErrorIs(t, err, projection.ErrOtherStore)
	require.ErrorContains(t, err, "delete that key")
	require.NoError(t, control.Purge(t.Context(), "view.sums"))
	eventually(t, func() bool {
		_, err := view.Get(t.Context(), "a")
		return errors.Is(err, projection.ErrNotReady)
	}, "the reader hears of it")
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, again, "a", 2)))
	requireFolded(t, again, view)
}

// A reader that loses the request with which it opens a new build, or its connection, goes on with the new build later.
func TestAReaderFollowsThroughInterruptions(t *testing.T) {
	for name, interrupt := range map[string]func(*eventstoretest.Proxy){
		"a lost request": func(*eventstoretest.Proxy) {},
		"a cut":          func(p *eventstoretest.Proxy) { p.Cut(); p.Heal() },
	} {
		t.Run(name, func(t *testing.T) {
			server := eventstoretest.NewServer(t)
			proxy := server.Proxy(t)
			store, _ := openOn(t, server)
			runner := sums(t, store, 1, quick)
			run(t, runner)
			require.NoError(t, runner.WaitFor(t.Context(), deposit(t, store, "a", 1)))
			reader := sums(t, storeBehind(t, proxy), 1, quick)
			var lost atomic.Bool
			done := make(chan struct{})
			old := runner.Bucket()
			proxy.DropRequests(func(subject string, _ []byte) bool {
				opens := strings.HasPrefix(subject, "$JS.API.STREAM.INFO.KV_bank_sums_v1_") && !strings.HasSuffix(subject, old)
				if !opens || !lost.CompareAndSwap(false, true) {
					return false
				}
				go func() { defer close(done); interrupt(proxy) }()
				return true
			})
			require.NoError(t, sums(t, store, 1, quick).Rebuild(t.Context(), nil))
			<-done
			end := deposit(t, store, "a", 1)
			got, err := reader.Get(t.Context(), "a", projection.At(end))
			require.NoError(t, err)
			require.Equal(t, balance{2, 2}, got)
			require.NotEqual(t, old, reader.Bucket())
		})
	}
}

// Once Pause has returned nothing is folded, whatever an instance was about to do.
func TestNothingIsFoldedAfterPause(t *testing.T) {
	store := open(t)
	view, other, operator := sums(t, store, 1, quick), sums(t, store, 1, quick), sums(t, store, 1, quick)
	run(t, view)
	run(t, other)
	require.NoError(t, operator.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	for range 10 {
		require.NoError(t, operator.Pause(t.Context()))
		before, err := operator.Position(t.Context())
		require.NoError(t, err)
		end := deposit(t, store, "a", 1)
		for range 20 {
			now, err := operator.Position(t.Context())
			require.NoError(t, err)
			require.Equal(t, before, now)
		}
		require.NoError(t, operator.Resume(t.Context()))
		require.NoError(t, operator.WaitFor(t.Context(), end))
	}
}

// A bucket that somebody deletes is built anew, and readers hear that it is gone.
func TestAViewWhoseBucketWasDeletedIsBuiltAnew(t *testing.T) {
	store := open(t)
	view := sums(t, store, 1, quick)
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	stop()
	require.NoError(t, store.JetStream().DeleteStream(t.Context(), "KV_"+view.Bucket()))
	_, err := view.Get(t.Context(), "a")
	require.ErrorIs(t, err, projection.ErrNotReady)
	require.NotErrorIs(t, err, jetstream.ErrStreamNotFound)
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	requireFolded(t, store, view)
}
