package eventstore_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

func TestReadingFromInsideATransactionGivesItsRest(t *testing.T) {
	store := open(t, nil)
	_, err := store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("a"), Events: []eventstore.Event{deposited{1}}},
		eventstore.Write{Stream: account("b"), Events: []eventstore.Event{deposited{2}}},
		eventstore.Write{Stream: account("c"), Events: []eventstore.Event{deposited{3}}})
	require.NoError(t, err)
	_, err = store.Append(t.Context(), account("d"), eventstore.Head{}, deposited{4})
	require.NoError(t, err)
	all := []eventstore.Event{deposited{1}, deposited{2}, deposited{3}, deposited{4}}
	for after, want := range [][]eventstore.Event{all, all[1:], all[2:], all[3:]} {
		require.Equal(t, want, decode(t, store.All(t.Context(), eventstore.After(eventstore.Position(after)))))
	}
	require.Zero(t, store.Counters().Torn)
}

func TestReadingBeginsWhenTheServerIsBack(t *testing.T) {
	server := eventstoretest.NewServer(t)
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	server.Stop()
	back := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() { defer close(back); server.Restart() })
	require.Len(t, decode(t, store.All(t.Context())), 1)
	<-back
}

func TestAStoreIsNotOpenedWhileThereIsNoConnection(t *testing.T) {
	server := eventstoretest.NewServer(t)
	js := server.JetStream(t)
	server.Stop()
	require.Eventually(t, func() bool { return !js.Conn().IsConnected() }, 10*time.Second, time.Millisecond)
	_, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.NotErrorIs(t, err, eventstore.ErrSettings)
}
