package projection_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/ondisk/ondisktest"
	"github.com/runnel-go/runnel/projection"
)

// A commit that a power cut can still take away must be in no document.
func TestViewsActOnWhatIsOnDisk(t *testing.T) {
	server := eventstoretest.NewServer(t)
	disk := ondisktest.New(server)
	open := func(provider nats.InProcessConnProvider) *eventstore.Store {
		store, err := eventstore.Open(t.Context(), server.JetStream(t, nats.InProcessServer(provider)), "bank", events, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		return store
	}
	store, past := open(disk), open(server) // which is acknowledged what is not on disk
	view := balances(t, store)
	run(t, view)
	first := deposit(t, past, "1", 1)
	require.NoError(t, view.WaitFor(t.Context(), first))

	reached, release := disk.Hold()
	defer release()
	second := deposit(t, past, "1", 2)
	<-reached
	folded := make(chan error, 1)
	go func() { folded <- view.WaitFor(t.Context(), second) }()
	select {
	case err := <-folded:
		t.Fatal("the view has folded what is not on disk", err)
	case <-time.After(50 * time.Millisecond):
	}

	release()
	require.NoError(t, <-folded)
	got, err := view.Get(t.Context(), "1", projection.At(second))
	require.NoError(t, err)
	require.Equal(t, balance{3, 2}, got)
}
