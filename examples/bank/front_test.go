package main

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

// A lockedBuffer is a buffer that many goroutines write.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// starting is a bank that serves on servers at a URL.
type starting struct {
	*client
	stdout, log lockedBuffer
	code        chan int
	stop        context.CancelFunc
}

func startOn(t *testing.T, url string) *starting {
	t.Helper()
	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := free.Addr().String()
	require.NoError(t, free.Close())
	s := &starting{client: &client{t: t, url: "http://" + addr}, code: make(chan int, 1)}
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	env := environment{stdout: &s.stdout, stderr: &s.log, lookup: func(name string) (string, bool) {
		if name == "NATS_URL" {
			return url, true
		}
		return "", false
	}}
	go func() { s.code <- run(ctx, []string{"serve", "--addr", addr}, env) }()
	require.Eventually(t, func() bool { return len(s.code) > 0 || listens(addr) }, time.Minute, time.Millisecond)
	return s
}

func listens(addr string) bool {
	conn, err := net.Dial("tcp", addr)
	return err == nil && conn.Close() == nil
}

// end stops the bank and requires it to end in good order.
func (s *starting) end() {
	s.t.Helper()
	s.stop()
	require.Equal(s.t, exitOK, <-s.code, &s.log)
}

func TestAStartWaitsForServers(t *testing.T) {
	server := eventstoretest.NewProcess(t, t.TempDir())
	for name, outage := range map[string]struct{ begin, end func() }{
		"frozen": {server.Pause, server.Continue},
		"gone":   {server.Kill, server.Restart},
	} {
		t.Run(name, func(t *testing.T) {
			outage.begin()
			bank := startOn(t, server.URL())
			bank.get("/healthz").is(http.StatusOK)
			require.Eventually(t, func() bool {
				ready := bank.get("/readyz")
				return ready.status == http.StatusServiceUnavailable && strings.Contains(ready.body, "cannot connect")
			}, time.Minute, time.Millisecond)
			require.Equal(t, "1", bank.post("/accounts", `{"id":"anna","owner":"Anna"}`).is(http.StatusServiceUnavailable).header.Get("Retry-After"))
			require.Eventually(t, func() bool { return strings.Contains(bank.log.String(), "the bank is not open yet") }, time.Minute, time.Millisecond)
			require.Empty(t, bank.stdout.String())
			outage.end()
			require.Eventually(t, func() bool { return bank.get("/readyz").status == http.StatusOK }, time.Minute, time.Millisecond)
			require.Contains(t, bank.stdout.String(), "listening on "+bank.url)
			bank.end()
		})
	}
}

// Two of three servers come back after the bank has been started.
func TestAStartWaitsForAQuorum(t *testing.T) {
	cluster := eventstoretest.NewProcessCluster(t, 3)
	cluster.Nodes()[1].Kill()
	cluster.Nodes()[2].Kill()
	var urls []string
	for _, node := range cluster.Nodes() {
		urls = append(urls, node.URL())
	}
	bank := startOn(t, strings.Join(urls, ","))
	require.Eventually(t, func() bool { return strings.Contains(bank.log.String(), "the bank is not open yet") }, time.Minute, time.Millisecond)
	require.Equal(t, http.StatusServiceUnavailable, bank.get("/readyz").status)
	cluster.Nodes()[1].Restart()
	cluster.Nodes()[2].Restart()
	require.Eventually(t, func() bool { return bank.get("/readyz").status == http.StatusOK }, time.Minute, time.Millisecond)
	bank.end()
}

func TestAStartThatCannotSucceedEnds(t *testing.T) {
	server := eventstoretest.NewServer(t, eventstoretest.Options(func(o *natsserver.Options) { o.Username, o.Password = "a", "b" }))
	bank := startOn(t, server.URL())
	require.Equal(t, exitFailed, <-bank.code)
	require.Contains(t, bank.log.String(), "check the URL, the credentials")
}
