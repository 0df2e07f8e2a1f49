package eventstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

func TestHealthSaysWhetherAnythingIsStored(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, health(t.Context(), store))

	for what, subject := range map[string]string{"no leader": "$JS.API.STREAM.INFO.bank", "nothing is stored": "$KV.bank_control.>"} {
		proxy.Silence(subject)
		require.Eventually(t, func() bool { return health(t.Context(), store) != nil }, 10*time.Second, time.Millisecond, what)
		require.ErrorIs(t, health(t.Context(), store), eventstore.ErrUnavailable, what)
		proxy.Resume()
		require.Eventually(t, func() bool { return health(t.Context(), store) == nil }, 10*time.Second, time.Millisecond, what)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := store.JetStream().Conn().Stats().OutMsgs
	for range 1000 {
		require.NoError(t, health(ctx, store))
	}
	require.LessOrEqual(t, store.JetStream().Conn().Stats().OutMsgs, before+5, "the servers are asked once a second")
}

// A cluster may be unable to store anything but the log.
func TestAppendsSayThatTheLogIsStored(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	proxy.Silence("$KV.bank_control.>")
	head := eventstore.Head{}
	for begin := time.Now(); time.Since(begin) < 2*time.Second; {
		c, err := store.Append(t.Context(), account("1"), head, deposited{Amount: 1})
		require.NoError(t, err)
		head = c.Head()
		require.NoError(t, health(t.Context(), store))
	}
	require.Eventually(t, func() bool { return health(t.Context(), store) != nil }, 10*time.Second, time.Millisecond, "no append says more")
}

func TestAStoreThatWasJustOpenedIsNotHealthyForThat(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	proxy.Silence("$KV.bank_control.>")
	require.ErrorIs(t, health(t.Context(), store), eventstore.ErrUnavailable)
}

func health(ctx context.Context, store *eventstore.Store) error {
	_, err := store.Health(ctx)
	return err
}

func TestHealthEndsWithItsContext(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	proxy.Silence()
	defer proxy.Resume()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = store.Health(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	proxy.Resume()
	_, err = store.Health(t.Context())
	require.NoError(t, err, "a caller that leaves says nothing to others")
}
