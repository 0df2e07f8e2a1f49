package eventstore_test

import (
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// A program that waits for the end waits for commits, so the end is the newest commit.
func TestTheEndIsTheNewestCommit(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	other, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer other.Close()
	requireEnd := func(want eventstore.Position) {
		t.Helper()
		for _, s := range []*eventstore.Store{store, other, store} {
			end, err := s.End(t.Context())
			require.NoError(t, err)
			require.Equal(t, want, end)
		}
	}
	foreign := func(n int) {
		for i := range n {
			stray(t, store, &nats.Msg{Subject: "bank.customers.find" + strconv.Itoa(i), Data: []byte("x")})
		}
	}
	foreign(2)
	requireEnd(0)
	c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	requireEnd(3)
	foreign(1)
	requireEnd(3)
	foreign(2)
	requireEnd(3)
	_, err = store.AppendTorn(t.Context(), account("torn"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	requireEnd(3)
	foreign(1)
	requireEnd(3)
	_, err = store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("a"), Expected: c.Head(), Events: []eventstore.Event{deposited{2}}},
		eventstore.Write{Stream: account("b"), Events: []eventstore.Event{deposited{3}}})
	require.NoError(t, err)
	requireEnd(10)

	// A position that is damaged stays the end, until it is known that no commit stands there.
	publishAsACommit(t, js, "bank.account.c", []byte("x"))
	requireEnd(11)
	require.NoError(t, store.AcceptForeign(t.Context(), 11, "test"))
	requireEnd(12)
}
