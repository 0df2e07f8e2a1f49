package reactor_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// The checkpoint stands before what the log loses. The last runner noted as done what comes after it.
func TestEventsAtPositionsThatTheLogHasLostAreHandled(t *testing.T) {
	js := eventstoretest.JetStream(t)
	opened := func() *eventstore.Store {
		store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
		require.NoError(t, err)
		return store
	}
	store, c := opened(), newCalls()
	c.failWith(func(id string) error {
		if id == "slow/1" {
			return errors.New("not now")
		}
		return nil
	})
	mails := newReactor(t, store, patient(), c.onDeposits("older"))
	stop := react(t, mails)
	deposit(t, store, "kept", 1)
	deposit(t, store, "slow", 1) // open when the reactor stops
	var backup bytes.Buffer
	_, err := store.Export(t.Context(), &backup, nil)
	require.NoError(t, err)
	for i := range 5 {
		both(t, store, fmt.Sprint("lost", i))
	}
	eventually(t, func() bool { return c.times("lost4/1") == 1 }, "handled")
	newReactor(t, store, quick(), c.onDeposits("newer"), c.onWithdrawals()) // it is announced at the end that is lost
	stop()
	require.NoError(t, store.Close())

	require.NoError(t, js.DeleteStream(t.Context(), "bank"))
	_, err = eventstore.Import(t.Context(), js, &backup, nil)
	require.NoError(t, err)
	_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
	var lost *eventstore.LogRewoundError
	require.ErrorAs(t, err, &lost)
	require.NoError(t, eventstore.AcceptRewind(t.Context(), js, lost))
	store = opened()
	defer store.Close()
	c.failWith(nil)
	var last eventstore.Position
	for i := range 8 {
		last = both(t, store, fmt.Sprint("new", i))
	}
	again := newReactor(t, store, quick(), c.onDeposits("newer"), c.onWithdrawals())
	stop = react(t, again)
	settled(t, again, last)
	stop()
	for i := range 8 {
		require.Equal(t, 1, c.times(fmt.Sprintf("new%d/1", i)), i)
		require.Equal(t, 1, c.times(fmt.Sprintf("new%d/2", i)), i)
	}
	require.Equal(t, 1, c.times("slow/1"))
	require.Equal(t, 1, c.times("kept/1"))
}
