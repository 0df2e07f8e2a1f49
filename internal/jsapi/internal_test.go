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

// It is in the package because a test cannot make a leader that hears nothing for as long as it likes.
func TestALeaderIsFollowedByAMajority(t *testing.T) {
	heard, late := &jetstream.PeerInfo{Active: time.Second}, &jetstream.PeerInfo{Active: 3 * time.Second}
	offline := &jetstream.PeerInfo{Offline: true}
	require.True(t, followed(nil), "a server alone")
	for want, replicas := range map[bool][][]*jetstream.PeerInfo{
		true:  {nil, {heard, late}, {heard, heard}, {heard, heard, late, offline}},
		false: {{late}, {late, late}, {offline, late}, {heard, late, late, offline}},
	} {
		for _, r := range replicas {
			require.Equal(t, want, followed(&jetstream.ClusterInfo{Leader: "a", Replicas: r}), "%v", r)
		}
	}
}
