package reactor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

type deposited struct {
	Amount int64
	Text   string
}

func (deposited) EventType() string { return "account.deposited" }

type withdrawn struct{ Amount int64 }

func (withdrawn) EventType() string { return "account.withdrawn" }

type unread struct{ A int }

func (unread) EventType() string { return "account.unread" }

// received is how deposits were written once, as one event for several amounts.
type received struct{ Amounts []int64 }

func (received) EventType() string { return "account.received" }

var events = []eventstore.Event{deposited{}, withdrawn{}, unread{}}

func account(id string) eventstore.StreamID { return eventstore.StreamID{Category: "account", ID: id} }

func open(t *testing.T) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func deposit(t *testing.T, store *eventstore.Store, id string, amounts ...int64) eventstore.Position {
	t.Helper()
	head, err := store.Head(t.Context(), account(id))
	require.NoError(t, err)
	batch := make([]eventstore.Event, len(amounts))
	for i, a := range amounts {
		batch[i] = deposited{Amount: a}
	}
	c, err := store.Append(t.Context(), account(id), head, batch...)
	require.NoError(t, err)
	return c.Position
}
