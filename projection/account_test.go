package projection_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// Hosted accounts demand a bound of each stream, and have room for little.
func TestAViewIsBuiltAndRebuiltInASmallAccount(t *testing.T) {
	js := eventstoretest.Limited(t, func(l *server.JetStreamAccountLimits) { l.MaxStore, l.MaxBytesRequired = 16<<20, true },
		eventstoretest.Options(func(o *server.Options) { o.JetStreamLimits.Duplicates = time.Second }))
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{MaxBytes: 1 << 20})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	view := balances(t, store)
	stop := run(t, view)
	defer stop()
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1, 2)))
	for range 5 {
		require.NoError(t, view.Rebuild(t.Context(), nil))
	}
	got, err := view.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, balance{3, 2}, got)
}
