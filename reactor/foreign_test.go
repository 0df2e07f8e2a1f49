package reactor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/reactor"
)

// stray stores a message of another program at the log's end.
func stray(t *testing.T, store *eventstore.Store) {
	t.Helper()
	_, err := store.JetStream().Publish(t.Context(), "bank.customers.find", []byte("x"))
	require.NoError(t, err)
}

func TestAReactorBeginsBehindAMessageOfAnotherProgram(t *testing.T) {
	for _, from := range []eventstore.Position{0, 4} {
		store := open(t)
		deposit(t, store, "1", 1)
		stray(t, store)
		stray(t, store)
		j := newJournal()
		cfg := quick()
		cfg.From = from
		mails, err := reactor.Open(t.Context(), store, "mails", cfg, j.reaction())
		require.NoError(t, err)
		stop := react(t, mails)
		settled(t, mails, deposit(t, store, "1", 2))
		stop()
		require.NoError(t, mails.Close())
	}
}
