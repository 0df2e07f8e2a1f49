package eventstoretest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// queueLength is how many frames wait in one direction before the proxy stops
// reading, as a full TCP window would.
const queueLength = 4096

// A Proxy stands between clients and one server, understands the frames that pass, and makes the faults that
// the test asks for. Without a fault it passes everything on. Only the addresses of other servers it takes out
// of the server's announcements, so that its clients stay behind it.
//
// Its methods may be called from several goroutines at once, and from the predicates. A fault holds for open
// and for future connections. The proxy speaks the text protocol: not TLS, not WebSocket.
type Proxy struct {
	t        testing.TB
	target   string
	listener net.Listener
	faults   faults
	running  sync.WaitGroup

	mu     sync.Mutex
	links  map[*link]struct{}
	closed bool
}

// NewProxy starts a proxy on a free port of 127.0.0.1 in front of the server at
// serverURL. It closes with all its connections when the test ends. The server
// need not be up: it is dialled for each connection.
func NewProxy(t testing.TB, serverURL string) *Proxy {
	t.Helper()
	u, err := url.Parse(serverURL)
	if err != nil || u.Host == "" {
		t.Fatalf("eventstoretest: proxy for %q: want a URL such as nats://127.0.0.1:4222", serverURL)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		t.Fatalf("eventstoretest: proxy for %q: %v", serverURL, err)
	}
	p := &Proxy{t: t, target: u.Host, listener: listener, links: map[*link]struct{}{}}
	p.running.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

// Proxy starts a proxy in front of the server. It stays of use over a Restart.
func (s *Server) Proxy(t testing.TB) *Proxy {
	t.Helper()
	return NewProxy(t, s.URL())
}

// URL returns the address for clients, "nats://127.0.0.1:<port>".
func (p *Proxy) URL() string { return "nats://" + p.listener.Addr().String() }

// Connect opens a connection through the proxy, as [Server.Connect] does without one.
func (p *Proxy) Connect(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return connect(t, p.URL(), opts)
}

// JetStream returns a JetStream context on a connection of its own through the proxy.
func (p *Proxy) JetStream(t testing.TB, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	return newJetStream(t, p.Connect(t, opts...))
}

// Cut breaks all connections, frames under way included, and lets none live
// until Heal: a new one is closed as soon as it is there.
func (p *Proxy) Cut() {
	p.set(func(f *faults) { f.cut = true })
	p.breakLinks()
}

// Heal ends Cut. Clients come back when they next try to reconnect.
func (p *Proxy) Heal() {
	p.set(func(f *faults) { f.cut = false })
}

func (p *Proxy) breakLinks() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

func (p *Proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	if err := p.listener.Close(); err != nil {
		p.t.Errorf("eventstoretest: close the proxy: %v", err)
	}
	p.breakLinks()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // the listener is closed
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// serve owns one client's connection until both of its directions have ended.
//
//	client -> read -> faults.fromClient -> queue -> write -> server
//	client <- write <- queue <- faults.fromServer <- read <- server
func (p *Proxy) serve(client net.Conn) {
	server, err := net.DialTimeout("tcp", p.target, connectTimeout)
	if err != nil {
		_ = client.Close() // the client sees a server that is down, and so it is
		return
	}
	l := &link{client: client, server: server, done: make(chan struct{})}
	defer l.close()
	if !p.register(l) {
		return
	}
	defer p.forget(l)
	var directions sync.WaitGroup
	p.pump(&directions, l, client, server, p.faults.fromClient)
	p.pump(&directions, l, server, client, p.faults.fromServer)
	directions.Wait()
}

// register makes the link known to Cut, unless the proxy is cut or closed by now.
func (p *Proxy) register(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults.mu.Lock()
	defer p.faults.mu.Unlock()
	if p.closed || p.faults.cut {
		return false
	}
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) forget(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// pump carries the frames of one direction. Reading and writing are separate, so that a delayed frame does not
// hold up the reading of the next.
func (p *Proxy) pump(
	running *sync.WaitGroup, l *link, from io.Reader, to io.Writer, decide func(*frame) (bool, error),
) {
	queue := make(chan delayed, queueLength)
	running.Go(func() {
		defer close(queue)
		if err := p.read(l, from, queue, decide); err != nil {
			p.t.Errorf("%v", err)
		}
	})
	running.Go(func() {
		// The end of one direction ends both, after all read frames are written, because the last words of a
		// server say why it closes.
		defer l.close()
		l.write(to, queue)
	})
}

// read queues the frames that may pass until the connection ends. It returns an error for bytes that are not
// the NATS protocol.
func (p *Proxy) read(l *link, from io.Reader, queue chan<- delayed, decide func(*frame) (bool, error)) error {
	r := bufio.NewReader(from)
	for {
		f, err := readFrame(r)
		if err != nil {
			return protocolError(err)
		}
		pass, err := decide(&f)
		if err != nil {
			return err
		}
		if !pass {
			continue
		}
		for range p.faults.copies(&f) {
			select {
			case queue <- delayed{raw: f.raw, due: time.Now().Add(p.faults.dueIn())}:
			case <-l.done:
				return nil
			}
		}
	}
}

// protocolError returns nil for the many ways in which a connection ends.
func protocolError(err error) error {
	var network net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.As(err, &network):
		return nil
	}
	return err
}

// delayed is a frame that may be written when it is due.
type delayed struct {
	raw []byte
	due time.Time
}

// A link is one client's connection and its connection to the server.
type link struct {
	client, server net.Conn
	once           sync.Once
	done           chan struct{}
}

// close breaks the link, at once and in both directions.
func (l *link) close() {
	l.once.Do(func() {
		close(l.done)
		// Errors say that the peer was faster.
		_ = l.client.Close()
		_ = l.server.Close()
	})
}

// write writes frames when they are due, until the queue ends or the link breaks.
func (l *link) write(to io.Writer, queue <-chan delayed) {
	w := bufio.NewWriter(to)
	for d := range queue {
		if !l.waitUntil(d.due, w) {
			return
		}
		if _, err := w.Write(d.raw); err != nil {
			return
		}
		if len(queue) == 0 && w.Flush() != nil {
			return
		}
	}
	_ = w.Flush() // the connection is ending either way
}

// waitUntil returns at the given time with everything before it flushed, or false
// when the link has broken.
func (l *link) waitUntil(due time.Time, w *bufio.Writer) bool {
	wait := time.Until(due)
	if wait <= 0 {
		return true
	}
	if w.Flush() != nil {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}
