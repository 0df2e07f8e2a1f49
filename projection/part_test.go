package projection_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
)

// bounded opens a store on a server that takes no larger batches.
func bounded(t *testing.T, messages int) *eventstore.Store {
	t.Helper()
	js := eventstoretest.JetStream(t, eventstoretest.Options(func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = messages }))
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// byVersion returns a view with a document for each event, which parks what is unlucky.
func byVersion(t *testing.T, store *eventstore.Store) *projection.View[balance] {
	t.Helper()
	view, err := projection.Open(t.Context(), store, "entries", 1, &projection.Config{Park: true},
		projection.On(func(b balance, e deposited) balance {
			if unlucky(e.Amount) {
				panic("no luck")
			}
			return balance{b.Amount + e.Amount, b.Events + 1}
		}).ByRecorded(func(_ deposited, r eventstore.Recorded) string { return fmt.Sprintf("%03d", r.Version()) }))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	return view
}

func TestAViewFitsItsBatchesToTheServer(t *testing.T) {
	for _, messages := range []int{3, 10, 50} {
		t.Run(fmt.Sprint(messages), func(t *testing.T) {
			store := bounded(t, messages)
			view := balances(t, store)
			run(t, view)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			require.NoError(t, view.WaitFor(ctx, 0))
			var end eventstore.Position
			for range 4 {
				writes := make([]eventstore.Write, messages) // as many as the server takes; the checkpoint is one more
				for i := range writes {
					stream := account(fmt.Sprint(i))
					head, err := store.Head(t.Context(), stream)
					require.NoError(t, err)
					writes[i] = eventstore.Write{Stream: stream, Expected: head, Events: []eventstore.Event{deposited{Amount: 1}}}
				}
				commits, err := store.AppendAll(t.Context(), writes...)
				require.NoError(t, err)
				end = commits[len(commits)-1].Position
			}
			for i := range messages {
				got, err := view.Get(ctx, fmt.Sprint(i), projection.At(end))
				require.NoError(t, err)
				require.Equal(t, balance{4, 4}, got)
			}
		})
	}
}

func TestAServerWhoseBatchesAreTooSmallIsNamed(t *testing.T) {
	store := bounded(t, 2)
	err := balances(t, store).Run(t.Context())
	require.ErrorIs(t, err, projection.ErrTooManyDocuments)
	require.ErrorContains(t, err, "raise max_batch_size")
}

// A write of many batches is cut off after each of them, and gone on with.
func TestAWriteOfSeveralBatchesCountsEachEventOnce(t *testing.T) {
	store := bounded(t, 5)
	view := byVersion(t, store)
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1, 1, 1)))
	stop()
	amounts := make([]int64, 40)
	for i := range amounts {
		amounts[i] = int64(i) // one of them is unlucky
	}
	end := deposit(t, store, "b", amounts...)

	js := store.JetStream()
	checkpoints := make(chan *nats.Msg, 100)
	sub, err := js.Conn().ChanSubscribe("$KV.*.=checkpoint", checkpoints)
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Unsubscribe()) }()
	parts := 0
	for ; ; parts++ {
		at, err := view.Position(t.Context())
		require.NoError(t, err)
		if at == end {
			break
		}
		require.Equal(t, end-1, at, "it stays until all is there")
		require.Less(t, parts, 40, "each run must bring it on")
		ctx, cancel := context.WithCancel(t.Context())
		var killer sync.WaitGroup
		killer.Go(func() {
			<-checkpoints // of the claim
			<-checkpoints // of one batch
			cancel()
		})
		require.NoError(t, view.Run(ctx))
		killer.Wait()
		for len(checkpoints) > 0 {
			<-checkpoints // of a batch that was faster
		}
	}
	require.Greater(t, parts, 3)
	for i := range amounts {
		want := balance{int64(i), 1}
		if i < 3 {
			want = balance{int64(i) + 1, 2}
		}
		got, err := view.Get(t.Context(), fmt.Sprintf("%03d", i+1))
		if unlucky(int64(i)) {
			require.ErrorIs(t, err, projection.ErrNotFound)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.Len(t, parked(t, view), 1)
}
