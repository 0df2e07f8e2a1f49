//go:build unix

package eventstoretest

import (
	"bufio"
	"bytes"
	"io"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Process is a nats-server in a process of its own. It can die as a process dies: without a last word, and
// with nothing flushed. Data that the kernel has taken in survives that; only a power cut loses it.
//
// Its methods must be called from the goroutine of the test. It exists on Unix only.
type Process struct {
	t      testing.TB
	binary string
	args   []string
	port   string
	url    string

	cmd    *exec.Cmd
	stdin  io.Closer
	stderr *bytes.Buffer
}

// NewProcess builds a nats-server with the go command, from the version in go.mod, and
// starts it with JetStream in storeDir on a free port of 127.0.0.1. Further
// arguments are nats-server's own, for example "-c" and a configuration file.
// It returns when clients can connect, and fails the test otherwise. The
// process ends with the test, and when the test's process dies.
func NewProcess(t testing.TB, storeDir string, args ...string) *Process {
	t.Helper()
	return newProcess(t, buildServer(t), storeDir, args...)
}

// buildServer builds a nats-server and returns its path.
func buildServer(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "natsd")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary,
		"github.com/runnel-go/runnel/eventstoretest/internal/natsd")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("eventstoretest: build a server: %v\n%s", err, out)
	}
	return binary
}

func newProcess(t testing.TB, binary, storeDir string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, binary: binary, port: "-1"}
	p.args = slices.Concat([]string{"-js", "-sd", storeDir, "-a", loopback}, args)
	t.Cleanup(p.Kill)
	p.Restart()
	return p
}

// Restart kills the process if it runs, and starts it again with the same port
// and store directory. It returns when clients can connect.
func (p *Process) Restart() {
	p.t.Helper()
	p.Kill()
	cmd := exec.Command(p.binary, slices.Concat(p.args, []string{"-p", p.port})...)
	p.stderr = &bytes.Buffer{}
	cmd.Stderr = p.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatalf("eventstoretest: start a server process: %v", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatalf("eventstoretest: start a server process: %v", err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("eventstoretest: start a server process: %v", err)
	}
	p.cmd, p.stdin = cmd, stdin
	p.awaitURL(stdout)
}

// awaitURL reads the one line that the process prints, when it is ready.
func (p *Process) awaitURL(stdout io.Reader) {
	p.t.Helper()
	overdue := time.AfterFunc(startTimeout, func() { _ = p.cmd.Process.Kill() })
	defer overdue.Stop()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		p.Kill() // so that all its output is there
		p.t.Fatalf("eventstoretest: the server process did not start: %v\n%s", err, p.stderr)
	}
	p.url = strings.TrimSpace(line)
	u, err := url.Parse(p.url)
	if err != nil {
		p.t.Fatalf("eventstoretest: the server process told a bad address: %v", err)
	}
	p.port = u.Port()
}

// Kill ends the process with SIGKILL and waits until it is gone. On a process
// that is gone it does nothing.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill() // fails only when it is gone already
	_ = p.cmd.Wait()         // reports the signal
	_ = p.stdin.Close()
	p.cmd = nil
}

// Pause stops the process with SIGSTOP: its connections stay open and nobody answers on them, as in a long pause of
// the machine. It returns when all threads of the process stand still. Kill works on a paused process.
func (p *Process) Pause() {
	p.t.Helper()
	p.signal(syscall.SIGSTOP)
	if _, err := syscall.Wait4(p.cmd.Process.Pid, nil, syscall.WUNTRACED, nil); err != nil {
		p.t.Fatalf("eventstoretest: wait for the pause: %v", err)
	}
}

// Continue lets a paused process go on, with SIGCONT.
func (p *Process) Continue() {
	p.t.Helper()
	p.signal(syscall.SIGCONT)
}

// Retire ends the process as nats-server ends for an upgrade, in lame duck mode. The server hands its
// leaderships over, sends its clients to other servers and exits, within about two seconds. Retire returns when
// the process is gone.
func (p *Process) Retire() {
	p.t.Helper()
	p.signal(syscall.SIGUSR2)
	_ = p.cmd.Wait() // it has ended by itself
	_ = p.stdin.Close()
	p.cmd = nil
}

func (p *Process) signal(s syscall.Signal) {
	p.t.Helper()
	if p.cmd == nil {
		p.t.Fatalf("eventstoretest: send %v: the server process is dead: call Restart", s)
	}
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("eventstoretest: send %v: %v", s, err)
	}
}

// URL returns the address for clients. It stays the same over a Restart.
func (p *Process) URL() string { return p.url }

// Proxy starts a proxy in front of the process.
func (p *Process) Proxy(t testing.TB) *Proxy {
	t.Helper()
	return NewProxy(t, p.url)
}

// Connect opens a connection to the process, as [Server.Connect] does to a server.
func (p *Process) Connect(t testing.TB, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return connect(t, p.url, opts)
}

// JetStream returns a JetStream context on a connection of its own.
func (p *Process) JetStream(t testing.TB, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	return newJetStream(t, p.Connect(t, opts...))
}
