package projection_test

import (
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// A fold that takes as long as a batch may grow makes that batch short, and no other.
func TestTheBatchesBehindASlowFoldAreLargeAgain(t *testing.T) {
	store := open(t)
	var slow atomic.Bool
	view, err := projection.NewView(t.Context(), store, "sums", 1, quick,
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
