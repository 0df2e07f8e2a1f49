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
func TestALeaderSaysWhenItHeardOfAMajority(t *testing.T) {
	now, late := &jetstream.PeerInfo{Active: 1}, &jetstream.PeerInfo{Active: 3}
	offline := &jetstream.PeerInfo{Offline: true, Active: 2}
	require.Zero(t, heard(nil), "a server alone")
	for want, replicas := range map[time.Duration][][]*jetstream.PeerInfo{
		0:     {nil},
		1:     {{now}, {late, now}, {now, now}, {now, now, late, offline}},
		3:     {{late}, {late, late}, {offline, late}, {now, late, late, offline}},
		never: {{offline}, {offline, offline}, {now, offline, offline, offline}},
	} {
		for _, r := range replicas {
			require.Equal(t, want, heard(&jetstream.ClusterInfo{Leader: "a", Replicas: r}), "%v", r)
		}
	}
}
