package eventstore_test

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// throughProxies connects to the servers of a cluster, each behind a proxy, and to the first one first.
func throughProxies(t *testing.T, cluster *eventstoretest.Cluster) (*nats.Conn, []*eventstoretest.Proxy) {
	t.Helper()
	var proxies []*eventstoretest.Proxy
	var urls []string
	for _, node := range cluster.Nodes() {
		proxies = append(proxies, node.Proxy(t))
		urls = append(urls, proxies[len(proxies)-1].URL())
	}
	only := func(o *nats.Options) error {
		o.Servers = urls
		return nil
	}
	return proxies[0].Connect(t, only, nats.DontRandomize(), nats.IgnoreDiscoveredServers()), proxies
}

// A server that has lost the others answers pings, and its clients cannot reach the log's leader.
func TestAServerThatIsCutOffFromTheLeaderIsLeft(t *testing.T) {
	nc, proxies := throughProxies(t, eventstoretest.NewCluster(t, 3))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	var logged bytes.Buffer
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{
		Replicas: 3, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
	})
	require.NoError(t, err)
	c, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{Amount: 1})
	require.NoError(t, err)
	require.Equal(t, proxies[0].URL(), nc.ConnectedUrl())

	proxies[0].Silence()
	begin := time.Now()
	_, err = store.Append(t.Context(), account("1"), c.Head(), deposited{Amount: 1})
	require.NoError(t, err)
	require.Less(t, time.Since(begin), 8*time.Second)
	require.NotEqual(t, proxies[0].URL(), nc.ConnectedUrl())
	require.NoError(t, store.Close())
	require.Contains(t, logged.String(), proxies[0].URL())
}

// In an election no server reaches a leader, so none is better than another.
func TestAServerIsNotLeftWhileNoneReachesTheLeader(t *testing.T) {
	nc, proxies := throughProxies(t, eventstoretest.NewCluster(t, 3))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Replicas: 3})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	for _, proxy := range proxies {
		proxy.Silence()
	}
	require.Eventually(t, func() bool { return health(t.Context(), store) != nil }, 10*time.Second, time.Millisecond)
	ended := make(chan error, 1)
	go func() {
		_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{Amount: 1})
		ended <- err
	}()
	require.Eventually(t, func() bool { return proxies[1].Dropped() > 1 && proxies[2].Dropped() > 1 }, 10*time.Second, time.Millisecond,
		"the others were asked twice, so the first look has ended")
	for _, proxy := range proxies {
		proxy.Resume()
	}
	require.NoError(t, <-ended)
	require.Equal(t, proxies[0].URL(), nc.ConnectedUrl())
	require.Zero(t, nc.Stats().Reconnects)
}
