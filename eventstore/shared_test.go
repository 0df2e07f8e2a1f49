package eventstore_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// Servers that do not answer on a new connection keep all users of a store waiting together, and not one after the
// other. Each waits no longer than its context.
func TestALookAtTheLogKeepsNobodyBeyondItsTime(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	js := proxy.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{ReadTimeout: time.Second})
	require.NoError(t, err)
	defer store.Close()
	_, err = store.Append(t.Context(), account("a"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	proxy.Silence()
	defer proxy.Resume()
	proxy.Cut()
	proxy.Heal()
	require.Eventually(t, func() bool { return js.Conn().IsConnected() && js.Conn().Stats().Reconnects > 0 }, 10*time.Second, time.Millisecond)

	const loads = 8
	dropped, began := proxy.Dropped(), time.Now()
	var all sync.WaitGroup
	failed := make(chan error, loads)
	for range loads {
		all.Go(func() {
			_, err := store.Load(t.Context(), account("a"))
			failed <- err
		})
	}
	require.Eventually(t, func() bool { return proxy.Dropped() > dropped }, 10*time.Second, time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	asked := time.Now()
	_, err = store.Load(ctx, account("a"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(asked), time.Second)
	all.Wait()
	require.Less(t, time.Since(began), 8*time.Second, "a look takes two")
	for range loads {
		require.ErrorIs(t, <-failed, eventstore.ErrUnavailable)
	}

	proxy.Resume()
	_, err = store.Load(t.Context(), account("a"))
	require.NoError(t, err)
}
