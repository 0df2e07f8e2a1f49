package eventstoretest

import (
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// electionTimeout bounds every wait for a cluster. A follower that hears nothing
// from its leader waits up to nine seconds before it stands for election, and an
// election may fail.
const electionTimeout = time.Minute

// A Cluster is several nats-servers with JetStream in the test's process,
// connected by routes on 127.0.0.1.
//
// Its methods may be called from several goroutines at once. Methods that take a [testing.TB] must run on the
// goroutine of that test.
type Cluster struct {
	nodes []*Server
}

// NewCluster starts a cluster and returns when it has elected its meta leader
// and every node follows it, which takes one to two seconds. The options apply
// to each node. It fails the test when the cluster does not form. Streams with
// replicas need three nodes to survive the loss of one.
func NewCluster(t testing.TB, nodes int, opts ...Option) *Cluster {
	t.Helper()
	if nodes < 2 {
		t.Fatalf("eventstoretest: a cluster of %d nodes: use NewServer for one", nodes)
	}
	ports := freePorts(t, nodes)
	c := &Cluster{}
	for i := range nodes {
		member := Options(func(o *server.Options) { joinCluster(o, i, ports) })
		c.nodes = append(c.nodes, prepare(t, slices.Concat(opts, []Option{member})))
	}
	for _, node := range c.nodes {
		node.Restart()
	}
	c.waitForMeta(t)
	return c
}

// joinCluster makes node i a member. All nodes list the same routes: their
// number is the size from which the meta group takes its first quorum.
func joinCluster(o *server.Options, i int, ports []int) {
	o.ServerName = fmt.Sprintf("node-%d", i+1)
	o.Cluster.Name = "eventstoretest"
	o.Cluster.Host = loopback
	o.Cluster.Port = ports[i]
	for _, port := range ports {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("%s:%d", loopback, port)})
	}
}

// freePorts finds ports for the routes. Each node must know the ports of all the others before any of them
// starts, so the servers cannot choose them.
func freePorts(t testing.TB, n int) []int {
	t.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(loopback)})
		if err != nil {
			t.Fatalf("eventstoretest: find a free port: %v", err)
		}
		// Each port is held until all are found, so that they differ.
		defer func() { _ = l.Close() }()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}

// Nodes returns the nodes, stopped ones included, always in the same order.
func (c *Cluster) Nodes() []*Server { return slices.Clone(c.nodes) }

// Connect opens a connection that knows all nodes, otherwise as [Server.Connect]
// does. It needs one node that runs.
func (c *Cluster) Connect(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	urls := make([]string, len(c.nodes))
	for i, node := range c.nodes {
		urls[i] = node.URL()
	}
	return connect(t, strings.Join(urls, ","), opts)
}

// JetStream returns a JetStream context on a connection of its own that knows all nodes.
func (c *Cluster) JetStream(t testing.TB, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	return newJetStream(t, c.Connect(t, opts...))
}

// StreamLeader returns the node that leads the JetStream stream, and waits for an
// election while there is none. It fails the test when none is elected. The stream is
// looked for in the default account.
func (c *Cluster) StreamLeader(t testing.TB, stream string) *Server {
	t.Helper()
	var leader *Server
	waitFor(t, "leader of JetStream stream "+stream, func() bool {
		leader = c.leaderNow(stream)
		return leader != nil
	})
	return leader
}

// WaitForLeader waits until the JetStream stream has a leader and each of its replicas on a running node has
// caught up with it: after a Restart, say, so that another node may be stopped. It fails the test if that does
// not happen in time.
func (c *Cluster) WaitForLeader(t testing.TB, stream string) {
	t.Helper()
	waitFor(t, "leader of JetStream stream "+stream+" with its replicas current", func() bool {
		leader := c.leaderNow(stream)
		return leader != nil && c.replicasCurrent(leader, stream)
	})
}

func (c *Cluster) leaderNow(stream string) *Server {
	for _, s := range c.nodes {
		if node := s.NATS(); node.Running() && node.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, stream) {
			return s
		}
	}
	return nil
}

// replicasCurrent asks the leader, because only the leader knows how far the others are.
func (c *Cluster) replicasCurrent(leader *Server, stream string) bool {
	info, err := leader.NATS().Jsz(&server.JSzOptions{Account: server.DEFAULT_GLOBAL_ACCOUNT, Streams: true})
	if err != nil || len(info.AccountDetails) == 0 {
		return false
	}
	details := info.AccountDetails[0].Streams
	i := slices.IndexFunc(details, func(d server.StreamDetail) bool { return d.Name == stream })
	if i < 0 || details[i].Cluster == nil {
		return false
	}
	return !slices.ContainsFunc(details[i].Cluster.Replicas, func(p *server.PeerInfo) bool {
		return c.runs(p.Name) && !p.Current
	})
}

func (c *Cluster) runs(name string) bool {
	return slices.ContainsFunc(c.nodes, func(s *Server) bool {
		return s.NATS().Name() == name && s.NATS().Running()
	})
}

// waitForMeta waits until one node leads the meta group, knows all peers, and all
// nodes follow it. Before that, a stream with replicas may be refused.
func (c *Cluster) waitForMeta(t testing.TB) {
	t.Helper()
	waitFor(t, "meta leader", func() bool {
		leaders := 0
		for _, s := range c.nodes {
			node := s.NATS()
			if !node.JetStreamIsCurrent() {
				return false
			}
			if node.JetStreamIsLeader() && len(node.JetStreamClusterPeers()) == len(c.nodes) {
				leaders++
			}
		}
		return leaders == 1
	})
}

// waitFor waits until the condition holds. It polls the condition, because nats-server reports its elections in
// advisories only, and not before there is a leader to send them.
func waitFor(t testing.TB, what string, condition func() bool) {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(electionTimeout); !condition(); <-poll.C {
		if time.Now().After(deadline) {
			t.Fatalf("eventstoretest: no %s after %v", what, electionTimeout)
		}
	}
}
