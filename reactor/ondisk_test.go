package reactor_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/ondisk/ondisktest"
)

// A commit that a power cut can still take away must have had no effect outside.
func TestReactorsActOnWhatIsOnDisk(t *testing.T) {
	server := eventstoretest.NewServer(t)
	disk := ondisktest.New(server)
	open := func(provider nats.InProcessConnProvider) *eventstore.Store {
		store, err := eventstore.Open(t.Context(), server.JetStream(t, nats.InProcessServer(provider)), "bank", events, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		return store
	}
	store, past := open(disk), open(server) // which is acknowledged what is not on disk
	j := newJournal()
	mails := newReactor(t, store, quick(), j.reaction())
	react(t, mails)
	settled(t, mails, deposit(t, past, "1", 1))

	reached, release := disk.Hold()
	defer release()
	second := deposit(t, past, "1", 2)
	<-reached
	<-time.After(50 * time.Millisecond)
	require.Equal(t, upTo(1), j.of("1"))

	release()
	settled(t, mails, second)
	require.Equal(t, upTo(2), j.of("1"))
}
