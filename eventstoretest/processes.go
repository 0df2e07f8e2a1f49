//go:build unix

package eventstoretest

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A ProcessCluster is a [Cluster] whose nodes are processes. News of one node reach another late there, as in a
// cluster of machines: a node may not know yet that a consumer has just been made on another one.
//
// Its methods must be called from the goroutine of the test. It exists on Unix only.
type ProcessCluster struct {
	t     testing.TB
	nodes []*Process
	admin jetstream.JetStream
}

// NewProcessCluster starts a cluster of server processes, and returns when it takes streams with three
// replicas. Further arguments are for each node, as in [NewProcess]. It fails the test if the cluster does not
// form.
func NewProcessCluster(t testing.TB, nodes int, args ...string) *ProcessCluster {
	t.Helper()
	ports := freePorts(t, nodes)
	routes := make([]string, nodes)
	for i, port := range ports {
		routes[i] = "nats-route://" + net.JoinHostPort(loopback, strconv.Itoa(port))
	}
	c := &ProcessCluster{t: t}
	binary := buildServer(t)
	for i, route := range routes {
		member := []string{"-n", nodeName(i), "--cluster_name", "eventstoretest", "--cluster", route, "--routes", strings.Join(routes, ",")}
		c.nodes = append(c.nodes, newProcess(t, binary, t.TempDir(), slices.Concat(member, args)...))
	}
	c.admin = c.JetStream(t)
	c.awaitMeta()
	return c
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i+1) }

// awaitMeta waits until a stream with replicas on all nodes can be made.
func (c *ProcessCluster) awaitMeta() {
	c.t.Helper()
	const probe = "eventstoretest"
	waitFor(c.t, "meta leader", func() bool {
		_, err := c.admin.CreateStream(c.t.Context(), jetstream.StreamConfig{
			Name: probe, Subjects: []string{probe}, Replicas: min(3, len(c.nodes)), Storage: jetstream.MemoryStorage,
		})
		return err == nil && c.admin.DeleteStream(c.t.Context(), probe) == nil
	})
}

// Nodes returns the nodes, dead ones included, always in the same order.
func (c *ProcessCluster) Nodes() []*Process { return slices.Clone(c.nodes) }

// Connect is [Cluster.Connect].
func (c *ProcessCluster) Connect(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	urls := make([]string, len(c.nodes))
	for i, node := range c.nodes {
		urls[i] = node.URL()
	}
	return connect(t, strings.Join(urls, ","), opts)
}

// JetStream returns a JetStream context on a connection of its own that knows all nodes.
func (c *ProcessCluster) JetStream(t testing.TB, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	return newJetStream(t, c.Connect(t, opts...))
}

// StreamLeader returns the node that leads the JetStream stream, and waits for an election while there is none. It
// fails the test if none is elected.
func (c *ProcessCluster) StreamLeader(t testing.TB, stream string) *Process {
	t.Helper()
	var leader *Process
	c.awaitStream(t, stream, func(info *jetstream.ClusterInfo) bool {
		for i, node := range c.nodes {
			if info.Leader == nodeName(i) {
				leader = node
			}
		}
		return leader != nil
	})
	return leader
}

// WaitForLeader waits until the JetStream stream has a leader and all its replicas have caught up with it:
// after a Restart, say, so that another node may be stopped. It fails the test if that does not happen in time.
func (c *ProcessCluster) WaitForLeader(t testing.TB, stream string) {
	t.Helper()
	c.awaitStream(t, stream, func(info *jetstream.ClusterInfo) bool {
		return info.Leader != "" && !slices.ContainsFunc(info.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline })
	})
}

func (c *ProcessCluster) awaitStream(t testing.TB, stream string, ready func(*jetstream.ClusterInfo) bool) {
	t.Helper()
	waitFor(t, "leader of JetStream stream "+stream, func() bool {
		s, err := c.admin.Stream(t.Context(), stream)
		return err == nil && s.CachedInfo().Cluster != nil && ready(s.CachedInfo().Cluster)
	})
}
