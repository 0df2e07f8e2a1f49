package eventstoretest

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// startTimeout bounds the start of one server. It is long, because a loaded
// machine that runs tests with the race detector can be very slow; a healthy
// start takes milliseconds.
const startTimeout = 30 * time.Second

// loopback is the only address the kit listens on.
const loopback = "127.0.0.1"

// An Option changes a server before it starts.
type Option func(*config)

// config collects the options of one server.
type config struct {
	edits    []func(*server.Options)
	inMemory bool
}

// Options edits the options of the server itself: users, permissions, MaxPayload, JetStreamMaxStore and so on.
// The function runs at every start, so on a Restart once more, with fresh options; for a cluster it runs for
// each node. Host, port, store directory and cluster routes belong to the kit: the kit overwrites them, but the
// function may set DontListen.
func Options(edit func(*server.Options)) Option {
	return func(c *config) { c.edits = append(c.edits, edit) }
}

// SyncAlways makes the server write through to the disk before it acknowledges
// a message. Defaults to the server's own setting, a sync every two minutes.
func SyncAlways() Option {
	return Options(func(o *server.Options) { o.SyncAlways = true })
}

// Quota bounds the bytes of all streams in files, like a disk that fills up: the server refuses further
// messages, and stored ones can still be read. Defaults to the server's own bound, three quarters of the free
// disk.
func Quota(bytes int64) Option {
	return Options(func(o *server.Options) { o.JetStreamMaxStore = bytes })
}

// Memory puts the store directory on the memory file system /dev/shm if the machine has one, so that nothing
// waits for a disk, not even a server with SyncAlways. Streams keep the storage type they ask for, and a
// Restart finds them again. Defaults to a directory from [testing.TB.TempDir].
func Memory() Option {
	return func(c *config) { c.inMemory = true }
}

// A Server is one nats-server with JetStream inside the test's process.
//
// Its methods may be called from several goroutines at once. Methods that can fail the test must run on the
// goroutine of the test, as [testing.TB.FailNow] demands. The server is shut down when the test that made it
// ends.
type Server struct {
	t     testing.TB
	place *place // on a cluster, if the tests run on one; nil otherwise

	dir   string
	edits []func(*server.Options)

	mu   sync.Mutex
	port int
	node *server.Server
}

// NewServer starts one server that stores in files and listens on a free port
// of 127.0.0.1. It returns when clients can connect, and fails the test when
// the server does not start. If the tests run on a cluster,
// it starts none; see the package documentation.
func NewServer(t testing.TB, opts ...Option) *Server {
	t.Helper()
	if place := findPlace(t, opts); place != nil {
		return &Server{t: t, place: place}
	}
	s := prepare(t, opts)
	s.Restart()
	return s
}

// JetStream starts one server for this test and returns a JetStream context on
// an in-process connection to it. The server opens no port, so it also runs
// inside a [Bubble]. Server and connection are closed when the test ends.
//
//	js := eventstoretest.JetStream(t)
func JetStream(t testing.TB, opts ...Option) jetstream.JetStream {
	t.Helper()
	if !onCluster() {
		opts = append(slices.Clone(opts), Options(func(o *server.Options) { o.DontListen = true }))
	}
	return NewServer(t, opts...).JetStream(t)
}

// prepare makes the server's directory and registers its end, without starting it.
// The directory comes first: cleanups run last in, first out, and the
// files must outlive the server.
func prepare(t testing.TB, opts []Option) *Server {
	t.Helper()
	var c config
	for _, opt := range opts {
		opt(&c)
	}
	s := &Server{t: t, dir: storeDir(t, c.inMemory), edits: c.edits, port: server.RANDOM_PORT}
	t.Cleanup(s.Stop)
	return s
}

func storeDir(t testing.TB, inMemory bool) string {
	t.Helper()
	if !inMemory {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "eventstoretest-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("eventstoretest: remove the store directory: %v", err)
		}
	})
	return dir
}

// Stop shuts the server down and returns when it is down. Its clients lose
// their connection and try to reconnect. On a stopped server it does nothing.
func (s *Server) Stop() {
	if s.place != nil {
		s.place.cut()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopLocked()
}

func (s *Server) stopLocked() {
	if s.node == nil {
		return
	}
	s.node.Shutdown()
	s.node.WaitForShutdown()
}

// Restart stops the server if it runs, and starts it again with the same port
// and store directory, so that streams and clients come back. It returns when
// clients can connect, and fails the test when the server does not start.
func (s *Server) Restart() {
	s.t.Helper()
	if s.place != nil {
		s.place.cut()
		s.place.heal()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopLocked()
	s.startLocked()
}

// keepFolder makes a folder beside the folders of the streams. A moment after an account's last stream is
// deleted, nats-server removes the folder of all streams, if it is empty. A stream that is made at that moment
// fails: "error creating store for stream" (the end of stream.stop in server/stream.go).
func (s *Server) keepFolder() {
	s.t.Helper()
	const name = "of eventstoretest" // no stream can have this name
	if err := os.MkdirAll(filepath.Join(s.dir, "jetstream", "$G", "streams", name), 0o700); err != nil {
		s.t.Fatalf("eventstoretest: start a server: %v", err)
	}
}

func (s *Server) startLocked() {
	s.t.Helper()
	s.keepFolder()
	node, err := server.NewServer(s.optionsLocked())
	if err != nil {
		s.t.Fatalf("eventstoretest: start a server: %v", err)
	}
	s.node = node
	node.Start()
	if !node.ReadyForConnections(startTimeout) {
		s.t.Fatalf("eventstoretest: the server takes no connections after %v", startTimeout)
	}
	if addr, ok := node.Addr().(*net.TCPAddr); ok {
		s.port = addr.Port
	}
}

// optionsLocked builds the options anew for each start, because the server changes them, accounts for example,
// and would meet its own leftovers.
func (s *Server) optionsLocked() *server.Options {
	o := &server.Options{
		ServerName: "eventstoretest",
		JetStream:  true,
		NoSigs:     true,
		NoLog:      true,
	}
	for _, edit := range s.edits {
		edit(o)
	}
	o.Host, o.Port, o.StoreDir = loopback, s.port, s.dir
	return o
}

// URL returns the address for TCP clients, "nats://127.0.0.1:<port>". It stays
// the same over a Restart.
func (s *Server) URL() string {
	if s.place != nil {
		return s.place.proxies[0].URL()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return "nats://" + net.JoinHostPort(loopback, strconv.Itoa(s.port))
}

// StoreDir returns the directory with the server's JetStream files.
func (s *Server) StoreDir() string {
	s.mustBeAlone("looks into the files of its one server")
	return s.dir
}

// NATS returns the running nats-server, or the last one that was stopped. After a Restart it is another one.
func (s *Server) NATS() *server.Server {
	s.mustBeAlone("looks into its one server")
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.node
}

// InProcessConn opens a connection to the server without a socket, so that a
// Server can be given to [nats.InProcessServer]. Unlike nats-server's own, it
// leads to the new server after a Restart. A stopped server returns an error,
// which the client takes as any failed dial.
func (s *Server) InProcessConn() (net.Conn, error) {
	if s.place != nil {
		return s.place.dial()
	}
	return s.NATS().InProcessConn()
}
