package eventstoretest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
)

// clusterEnv is the variable with the addresses of a cluster whose nodes were started with -accounts.
const clusterEnv = "RUNNEL_TEST_CLUSTER"

// onCluster reports whether the tests run on a cluster.
func onCluster() bool { return os.Getenv(clusterEnv) != "" }

// A place is the place of a test on a cluster: an account of its own, in which each stream has three replicas,
// whatever the client asks for. A proxy in front of each node sees to both, so that the test and the tested
// code notice neither.
type place struct {
	proxies []*Proxy
	turn    atomic.Uint32
	nodes   []*Server // of a cluster of the test's own, because the test has options
}

// findPlace returns a place on the cluster, or nil if the tests run on none.
func findPlace(t testing.TB, opts []Option) *place {
	t.Helper()
	if !onCluster() {
		return nil
	}
	var c config
	for _, opt := range opts {
		opt(&c)
	}
	if len(c.edits) > 0 {
		nodes := NewCluster(t, 3, opts...).nodes
		urls := make([]string, len(nodes))
		for i, node := range nodes {
			urls[i] = node.URL()
		}
		p := newPlace(t, urls, "")
		p.nodes = nodes
		return p
	}
	urls, account := strings.Split(os.Getenv(clusterEnv), ","), rand.Text()
	openAccount(t, urls, account)
	return newPlace(t, urls, account)
}

// openAccount makes an account on all nodes. At the end of the test it is emptied.
func openAccount(t testing.TB, urls []string, account string) {
	t.Helper()
	var nc *nats.Conn
	for _, url := range urls {
		nc = connect(t, url, []nats.Option{nats.UserInfo(account, "")})
	}
	js := newJetStream(t, nc)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), electionTimeout)
		defer cancel()
		streams := js.StreamNames(ctx)
		for stream := range streams.Name() {
			if err := js.DeleteStream(ctx, stream); err != nil {
				t.Logf("eventstoretest: delete JetStream stream %s: %v", stream, err)
			}
		}
	})
}

func newPlace(t testing.TB, urls []string, account string) *place {
	t.Helper()
	p := &place{}
	for _, url := range urls {
		proxy := NewProxy(t, url)
		proxy.faults.edit = func(f *frame) { replicate(f, account) }
		p.proxies = append(p.proxies, proxy)
	}
	return p
}

// next returns the proxy of another node each time.
func (p *place) next() *Proxy { return p.proxies[int(p.turn.Add(1))%len(p.proxies)] }

func (p *place) dial() (net.Conn, error) {
	return net.DialTimeout("tcp", p.next().listener.Addr().String(), connectTimeout)
}

// cut does to the test's clients what the end of a server does.
func (p *place) cut() {
	for _, proxy := range p.proxies {
		proxy.Cut()
	}
}

func (p *place) heal() {
	for _, proxy := range p.proxies {
		proxy.Heal()
	}
}

// replicate puts a client into the account, and makes its streams have three replicas.
func replicate(f *frame, account string) {
	switch {
	case f.op == "CONNECT" && account != "":
		_, fields, _ := strings.Cut(strings.TrimSpace(string(f.raw)), " ")
		f.raw = append(append([]byte("CONNECT "), with([]byte(fields), "user", strconv.Quote(account))...), "\r\n"...)
	case f.isPublish() && (strings.HasPrefix(f.subject(), "$JS.API.STREAM.CREATE.") || strings.HasPrefix(f.subject(), "$JS.API.STREAM.UPDATE.")):
		f.setPayload(with(f.payload(), "num_replicas", "3"))
	}
}

// with sets a field of a JSON object. The value is JSON.
func with(object []byte, name, value string) []byte {
	var fields map[string]json.RawMessage
	if json.Unmarshal(object, &fields) != nil {
		return object // which the server refuses
	}
	fields[name] = json.RawMessage(value)
	edited, err := json.Marshal(fields)
	if err != nil {
		return object
	}
	return edited
}

// mustBeAlone skips a test that does something for which it needs one server and to be the only one that uses it.
func (s *Server) mustBeAlone(reason string) {
	s.t.Helper()
	if s.place != nil {
		s.t.Skipf("not on a cluster: the test %s", reason)
	}
}
