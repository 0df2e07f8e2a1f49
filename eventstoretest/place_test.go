//go:build unix

package eventstoretest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

// shareCluster starts a cluster on which the servers of this test are from now on.
func shareCluster(t *testing.T) {
	t.Helper()
	cluster := eventstoretest.NewProcessCluster(t, 3, "--accounts")
	t.Setenv("RUNNEL_TEST_CLUSTER", strings.Join(urls(cluster), ","))
}

func urls(c *eventstoretest.ProcessCluster) (all []string) {
	for _, node := range c.Nodes() {
		all = append(all, node.URL())
	}
	return all
}

func TestEachServerOnASharedClusterHasStreamsOfItsOwnWithThreeReplicas(t *testing.T) {
	shareCluster(t)
	srv := eventstoretest.NewServer(t)
	for name, js := range map[string]jetstream.JetStream{
		"alone": eventstoretest.JetStream(t), "in process": srv.JetStream(t), "by a proxy": eventstoretest.NewServer(t).Proxy(t).JetStream(t),
		"by TCP": eventstoretest.NewProxy(t, eventstoretest.NewServer(t).URL()).JetStream(t), "with options": eventstoretest.JetStream(t, eventstoretest.SyncAlways()),
	} {
		stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, Replicas: 1})
		require.NoError(t, err, name)
		require.Equal(t, 3, stream.CachedInfo().Config.Replicas, name)
		require.NotNil(t, stream.CachedInfo().Cluster, name)
	}
	stream, err := srv.JetStream(t).Stream(t.Context(), "EVENTS")
	require.NoError(t, err, "one server is one account")
	cfg := stream.CachedInfo().Config
	cfg.Replicas, cfg.Description = 1, "changed"
	stream, err = srv.JetStream(t).UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, 3, stream.CachedInfo().Config.Replicas)
}

func TestAServerOnASharedClusterStopsForItsOwnClients(t *testing.T) {
	shareCluster(t)
	srv, other := eventstoretest.NewServer(t), eventstoretest.NewServer(t)
	js, beside := srv.JetStream(t), other.JetStream(t)
	events(t, js, 1)
	events(t, beside, 1)
	publish(t, js, "1")
	srv.Stop()
	require.Error(t, tryPublish(t, js, "events.a", "lost"))
	publish(t, beside, "1")
	srv.Restart()
	require.Eventually(t, js.Conn().IsConnected, 10*time.Second, time.Millisecond)
	publish(t, js, "2")
	requireStored(t, js, 2)
}

func TestATestThatNeedsItsServerForItselfIsSkippedOnASharedCluster(t *testing.T) {
	t.Setenv("RUNNEL_TEST_CLUSTER", eventstoretest.NewServer(t).URL())
	for name, do := range map[string]func(*eventstoretest.Server){
		"files": func(s *eventstoretest.Server) { s.StoreDir() }, "inside": func(s *eventstoretest.Server) { s.NATS() },
	} {
		var inner *testing.T
		t.Run(name, func(t *testing.T) {
			inner = t
			do(eventstoretest.NewServer(t))
		})
		require.True(t, inner.Skipped(), name)
	}
}
