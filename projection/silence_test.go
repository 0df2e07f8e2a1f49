package projection_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
)

// An answer that does not come says nothing about the one who waits for it. It lives, and must show it in time.
func TestARunnerThatWaitsForALostAnswerKeepsItsPlace(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, said := openOn(t, server)
	runner, other := sums(t, storeBehind(t, proxy), 1, quick), sums(t, store, 1, quick)
	run(t, runner)
	require.NoError(t, other.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	run(t, other)
	first := runnerOf(t, other)
	for range 3 {
		proxy.DropAcks(1)
		require.NoError(t, other.WaitFor(t.Context(), deposit(t, store, "a", 1)))
		lost := beatOf(t, other)
		eventually(t, func() bool { return beatOf(t, other).Sub(lost) > 2*quick.StandBy }, "somebody goes on")
		require.Equal(t, first, runnerOf(t, other), said.String())
	}
	requireFolded(t, store, other)
}

func beatOf(t *testing.T, view *projection.View[balance]) time.Time {
	t.Helper()
	status, err := view.Status(t.Context())
	require.NoError(t, err)
	return status.Beat
}

// The build takes as long as the test says. The answer to one of its signs of life is lost.
func TestABuildThatWaitsForALostAnswerKeepsItsPlace(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, said := openOn(t, server)
	end := deposit(t, store, "a", 1)
	goOn := make(chan struct{})
	release := sync.OnceFunc(func() { close(goOn) })
	defer release()
	builder, err := projection.Open(t.Context(), storeBehind(t, proxy), "sums", 1, quick,
		projection.On(func(b balance, e deposited) balance {
			<-goOn
			return balance{b.Amount + e.Amount, b.Events + 1}
		}))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, builder.Close()) })
	run(t, builder)
	other := sums(t, store, 1, quick)
	building := func() string {
		status, err := other.Status(t.Context())
		require.NoError(t, err)
		if status.Building == nil {
			return ""
		}
		return status.Building.Bucket
	}
	eventually(t, func() bool { return building() != "" }, "the build has begun")
	first := building()
	js := store.JetStream()
	signs := func() uint64 {
		stream, err := js.Stream(t.Context(), "KV_"+first)
		if err != nil {
			return 0 // it is not made yet
		}
		return stream.CachedInfo().State.LastSeq
	}
	eventually(t, func() bool { return signs() > 0 }, "the build shows life")
	run(t, other)
	proxy.DropAcks(1)
	lost := signs()
	eventually(t, func() bool { return building() != first || signs() > lost+10 }, "somebody goes on")
	require.Equal(t, first, building())
	release()
	require.NoError(t, other.WaitFor(t.Context(), end))
	require.NotContains(t, said.String(), "building in its place")
	require.Equal(t, first, other.Bucket())
}

// A fold that takes as long as a batch may grow makes that batch short, and no other.
func TestTheBatchesBehindASlowFoldAreLargeAgain(t *testing.T) {
	store := open(t)
	var slow atomic.Bool
	view, err := projection.Open(t.Context(), store, "sums", 1, quick,
		projection.On(func(b balance, e deposited) balance {
			if e.Amount == 13 && slow.CompareAndSwap(true, false) {
				spend(quick.Heartbeat)
			}
			return balance{b.Amount + e.Amount, b.Events + 1}
		}))
	require.NoError(t, err)
	defer view.Close()
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	stop()
	slow.Store(true)
	var end eventstore.Position
	for i := range 400 {
		end = deposit(t, store, "a", int64(i))
	}
	checkpoints := make(chan *nats.Msg, 1000)
	sub, err := store.JetStream().Conn().ChanSubscribe("$KV.*.=checkpoint", checkpoints)
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Unsubscribe()) }()
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), end))
	require.Less(t, len(checkpoints), 50)
	requireFolded(t, store, view)
}
