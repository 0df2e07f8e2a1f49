package jsapi

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

// It is in the package because only that can keep a client from noting changes.
func TestChangesThatNobodyHasTakenNoteOfAreNotLost(t *testing.T) {
	nc := eventstoretest.NewServer(t).Connect(t, nats.ReconnectWait(time.Millisecond))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	client, err := New(t.Context(), js)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	client.noting.Lock()
	for made := range uint64(cap(client.changes)) {
		require.NoError(t, nc.ForceReconnect())
		require.Eventually(t, func() bool { return nc.IsConnected() && nc.Stats().Reconnects > made }, time.Minute, time.Millisecond)
	}
	client.noting.Unlock()
	require.GreaterOrEqual(t, client.Session().Number(), nc.Stats().Reconnects+1)
	require.Eventually(t, func() bool { return client.Session().Number() == nc.Stats().Reconnects+1 }, time.Minute, time.Millisecond)
}
