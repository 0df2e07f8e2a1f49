package eventstoretest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

func TestAStreamOfThreeReplicasSurvivesTheStopOfItsLeader(t *testing.T) {
	started := time.Now()
	c := eventstoretest.NewCluster(t, 3)
	t.Logf("cluster ready after %v", time.Since(started))
	js := c.JetStream(t)
	events(t, js, 3)
	publish(t, js, "1")

	first := c.StreamLeader(t, "EVENTS")
	first.Stop()
	second := c.StreamLeader(t, "EVENTS")
	require.NotSame(t, first, second)
	publish(t, js, "2")
	requireStored(t, js, 2)

	first.Restart()
	c.WaitForLeader(t, "EVENTS")
	c.StreamLeader(t, "EVENTS").Stop()
	publish(t, js, "3")
	requireStored(t, js, 3)
}

func TestAClientStaysBehindItsProxyInACluster(t *testing.T) {
	c := eventstoretest.NewCluster(t, 3)
	require.Len(t, c.Nodes(), 3)
	require.Greater(t, len(c.Connect(t).Servers()), 1)

	proxy := c.Nodes()[0].Proxy(t)
	nc := proxy.Connect(t)
	require.NoError(t, nc.Flush())
	require.Equal(t, []string{proxy.URL()}, nc.Servers())
	require.Empty(t, nc.DiscoveredServers())
}
