package eventstoretest

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// reconnectWait is short, so that a test does not wait for its client after a
// Restart, and long enough not to keep a core busy meanwhile.
const reconnectWait = 20 * time.Millisecond

// connectTimeout is longer than the client's two seconds: tests share slow machines.
const connectTimeout = 10 * time.Second

// Connect opens a TCP connection that is closed when t ends. It fails the test
// when it cannot connect.
//
// The connection reconnects for ever and at once, and keeps nothing to send
// later: with the client's default reconnect buffer a publish that has timed
// out while disconnected is stored after all. Asynchronous errors are not
// printed. Options given here win.
func (s *Server) Connect(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	if s.place != nil {
		return connect(t, s.place.next().URL(), opts)
	}
	return connect(t, s.URL(), opts)
}

// ConnectInProcess is Connect without a socket.
func (s *Server) ConnectInProcess(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return connect(t, "", append([]nats.Option{nats.InProcessServer(s)}, opts...))
}

// JetStream returns a JetStream context on an in-process connection of its own.
func (s *Server) JetStream(t testing.TB, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	return newJetStream(t, s.ConnectInProcess(t, opts...))
}

func connect(t testing.TB, url string, opts []nats.Option) *nats.Conn {
	t.Helper()
	defaults := []nats.Option{
		nats.ReconnectBufSize(-1),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(0, 0),
		nats.Timeout(connectTimeout),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
	}
	nc, err := nats.Connect(url, append(defaults, opts...)...)
	if err != nil {
		t.Fatalf("eventstoretest: connect to %q: %v", url, err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func newJetStream(t testing.TB, nc *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatalf("eventstoretest: make a JetStream context: %v", err)
	}
	return js
}
