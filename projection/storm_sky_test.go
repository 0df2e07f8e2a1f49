//go:build unix

package projection_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

// sky is the servers of a storm.
type sky struct {
	t       *testing.T
	nodes   []*eventstoretest.Server
	cluster *eventstoretest.Cluster // nil for one node
	js      jetstream.JetStream     // leads to all nodes, and no link is in between
	down    []int                   // nodes that are stopped
}

func newSky(t *testing.T, nodes int) *sky {
	t.Helper()
	s := &sky{t: t}
	if nodes == 1 {
		s.nodes = []*eventstoretest.Server{eventstoretest.NewServer(t)}
	} else {
		s.cluster = eventstoretest.NewCluster(t, nodes)
		s.nodes = s.cluster.Nodes()
	}
	s.js = s.connect(t)
	return s
}

func (s *sky) replicas() int { return len(s.nodes) }

func (s *sky) connect(t *testing.T) jetstream.JetStream {
	t.Helper()
	if s.cluster != nil {
		return s.cluster.JetStream(t)
	}
	return s.nodes[0].JetStream(t)
}

// stop stops the first n of some nodes, unless nodes are down already.
func (s *sky) stop(n, first int) bool {
	if len(s.down) > 0 {
		return false
	}
	for i := range n {
		node := (first + i) % len(s.nodes)
		s.nodes[node].Stop()
		s.down = append(s.down, node)
	}
	return true
}

// start starts the nodes that are down.
func (s *sky) start() {
	for _, node := range s.down {
		s.nodes[node].Restart()
	}
	s.down = nil
}

// clear starts what is down, and waits until all streams have leaders and their replicas have caught up.
func (s *sky) clear() {
	s.t.Helper()
	s.start()
	if s.cluster == nil {
		return
	}
	for _, stream := range s.streams() {
		require.Eventually(s.t, func() bool { return s.current(stream) }, 2*time.Minute, 50*time.Millisecond, stream)
	}
}

// current reports whether a stream has a leader with which all its replicas have caught up. Programs go on meanwhile,
// and may have deleted it.
func (s *sky) current(name string) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	stream, err := s.js.Stream(ctx, name)
	if err != nil {
		return errors.Is(err, jetstream.ErrStreamNotFound)
	}
	cluster := stream.CachedInfo().Cluster
	return cluster != nil && cluster.Leader != "" &&
		!slices.ContainsFunc(cluster.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current })
}

// streams lists the streams, once the servers can say.
func (s *sky) streams() (names []string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
		defer cancel()
		names = nil
		list := s.js.StreamNames(ctx)
		for name := range list.Name() {
			names = append(names, name)
		}
		return list.Err() == nil && len(names) > 0
	}, time.Minute, 100*time.Millisecond)
	return names
}

// bucketsBeside lists the buckets of the view beside some. The store has one more bucket, its control bucket.
func (s *sky) bucketsBeside(kept []string) (others []string) {
	s.t.Helper()
	for _, stream := range s.streams() {
		bucket, ok := strings.CutPrefix(stream, "KV_")
		if ok && strings.HasPrefix(bucket, "bank_") && bucket != "bank_control" && !slices.Contains(kept, bucket) {
			others = append(others, bucket)
		}
	}
	return others
}

// link is all that stands between one program and the servers: a proxy for each node.
type link struct {
	proxies []*eventstoretest.Proxy

	mu     sync.Mutex
	random *rand.Rand
	cuts   int
	slow   []time.Duration
	lossy  int
	held   chan struct{} // closed once traffic flows again; nil while it flows
}

func newLink(s *storm, id uint64) *link {
	l := &link{random: rand.New(rand.NewPCG(s.seed, id))}
	for _, node := range s.sky.nodes {
		proxy := node.Proxy(s.t)
		proxy.DropRequests(func(string, []byte) bool { return l.drops(true) })
		proxy.DropReplies(func(subject string, _ []byte) bool { return l.drops(strings.HasPrefix(subject, "_INBOX.")) })
		l.proxies = append(l.proxies, proxy)
	}
	s.t.Cleanup(func() { // a proxy that closes waits for what is held
		l.mu.Lock()
		held := l.held
		l.mu.Unlock()
		l.flow(held)
	})
	return l
}

// drops waits while traffic is held, and decides whether a frame is lost. Messages of consumers never are,
// because a connection delivers all or breaks.
func (l *link) drops(losable bool) bool {
	l.mu.Lock()
	held := l.held
	lost := losable && l.lossy > 0 && l.random.IntN(10) == 0
	l.mu.Unlock()
	if held != nil {
		<-held
	}
	return lost
}

// connect connects through the link.
func (l *link) connect() (*nats.Conn, error) {
	urls := make([]string, len(l.proxies))
	for i, proxy := range l.proxies {
		urls[i] = proxy.URL()
	}
	return stormConnect(strings.Join(urls, ","))
}

func stormConnect(urls string) (*nats.Conn, error) {
	return nats.Connect(urls, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond),
		nats.ReconnectJitter(0, 0), nats.Timeout(2*time.Second), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
}

// cut breaks the link, until all who cut it have healed it.
func (l *link) cut() (heal func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cuts++; l.cuts == 1 {
		for _, proxy := range l.proxies {
			proxy.Cut()
		}
	}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.cuts--; l.cuts == 0 {
			for _, proxy := range l.proxies {
				proxy.Heal()
			}
		}
	}
}

// delay makes the link slow.
func (l *link) delay(d time.Duration) (end func()) {
	l.setDelay(func() { l.slow = append(l.slow, d) })
	return func() {
		l.setDelay(func() { i := slices.Index(l.slow, d); l.slow = slices.Delete(l.slow, i, i+1) })
	}
}

func (l *link) setDelay(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
	longest := time.Duration(0)
	for _, d := range l.slow {
		longest = max(longest, d)
	}
	for _, proxy := range l.proxies {
		proxy.Delay(longest)
	}
}

// lose makes the link lose one request, and one answer, of ten.
func (l *link) lose() (end func()) {
	change := func(by int) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.lossy += by
	}
	change(1)
	return func() { change(-1) }
}

// hold lets nothing through, and loses nothing, until the end. It holds once at a time.
func (l *link) hold() (end func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held != nil {
		return nil
	}
	held := make(chan struct{})
	l.held = held
	return func() { l.flow(held) }
}

// flow ends a hold, unless it has ended.
func (l *link) flow(held chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if held != nil && l.held == held {
		l.held = nil
		close(held)
	}
}
