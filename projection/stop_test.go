package projection_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
)

// An instance is stopped at its first write, at its second, and so on. Each time another one goes on at once.
func TestAViewIsGoneOnWithAtOnceWhereverAnotherWasStopped(t *testing.T) {
	server := eventstoretest.NewServer(t)
	for n := int64(1); stoppedAt(t, server, n); n++ {
	}
}

// stoppedAt stops an instance at its nth write, and reports whether it came to that.
func stoppedAt(t *testing.T, server *eventstoretest.Server, n int64) bool {
	t.Helper()
	js := server.JetStream(t)
	name := fmt.Sprint("bank", n)
	store, err := eventstore.Open(t.Context(), js, name, events, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	view := func() *projection.View[balance] {
		v, err := projection.Open(t.Context(), store, "balances", 1, &projection.Config{StandBy: time.Minute},
			projection.On(func(b balance, e deposited) balance { return balance{b.Amount + e.Amount, b.Events + 1} }))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, v.Close()) })
		return v
	}
	first, second := view(), view()
	end := deposit(t, store, "a", 1)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writes atomic.Int64
	sub, err := js.Conn().Subscribe("$KV.>", func(*nats.Msg) {
		if writes.Add(1) == n {
			stop()
		}
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Unsubscribe()) }()
	ended := make(chan error, 1)
	go func() { ended <- first.Run(ctx) }()
	if first.WaitFor(ctx, end) == nil {
		end = deposit(t, store, "a", 2)
		_ = first.WaitFor(ctx, end) // it may be stopped
	}
	came := writes.Load() >= n
	stop()
	require.NoError(t, <-ended)

	defer run(t, second)() // before the store is closed
	end = deposit(t, store, "a", 3)
	within, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, second.WaitFor(within, end), "stopped at write %d", n)
	return came
}
