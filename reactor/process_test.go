//go:build unix

package reactor_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/reactor"
)

// The variables of a test's process that runs a reactor.
const (
	variableURL  = "RUNNEL_TEST_REACTOR_URL"
	variableFile = "RUNNEL_TEST_REACTOR_FILE"
	variableName = "RUNNEL_TEST_REACTOR_NAME"
)

// TestReactorProcess is the program of the processes that other tests start. Its reaction appends a line to a file.
func TestReactorProcess(t *testing.T) {
	url := os.Getenv(variableURL)
	if url == "" {
		t.Skip("it is for the processes that other tests start")
	}
	ctx, stop := signal.NotifyContext(t.Context(), syscall.SIGTERM)
	defer stop()
	nc, err := nats.Connect(url, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	require.NoError(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	store, err := eventstore.Open(ctx, js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	file, err := os.OpenFile(os.Getenv(variableFile), os.O_APPEND|os.O_WRONLY|os.O_CREATE, 0o600)
	require.NoError(t, err)
	defer file.Close()
	mails := newReactor(t, store, quick(), reactor.On(func(_ context.Context, _ deposited, r eventstore.Recorded) error {
		_, err := fmt.Fprintln(file, os.Getenv(variableName), r.Stream.ID, r.Version())
		return err
	}))
	require.NoError(t, mails.Run(ctx))
}

// line is what a process wrote for one event.
type line struct {
	process, stream string
	version         int
}

// reactorProcesses are processes that run one reactor and write to one file.
type reactorProcesses struct {
	server *eventstoretest.Server
	store  *eventstore.Store
	admin  *reactor.Reactor
	file   string
}

func newReactorProcesses(t *testing.T) *reactorProcesses {
	t.Helper()
	server := eventstoretest.NewServer(t)
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return &reactorProcesses{
		server: server, store: store, admin: newReactor(t, store, quick(), newJournal().reaction()), file: filepath.Join(t.TempDir(), "lines"),
	}
}

// start returns a process and what kills it and waits.
func (p *reactorProcesses) start(t *testing.T, name string) (process *os.Process, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReactorProcess$")
	cmd.Env = append(cmd.Environ(), variableURL+"="+p.server.URL(), variableFile+"="+p.file, variableName+"="+name)
	require.NoError(t, cmd.Start())
	return cmd.Process, func() {
		require.NoError(t, cmd.Process.Kill())
		require.Error(t, cmd.Wait())
	}
}

// freeze stops a process that this one has started, and returns when all of its threads stand still.
func freeze(t *testing.T, process *os.Process) {
	t.Helper()
	require.NoError(t, process.Signal(syscall.SIGSTOP))
	_, err := syscall.Wait4(process.Pid, nil, syscall.WUNTRACED, nil)
	require.NoError(t, err)
}

// lines returns what was written up to now. A process that was killed may have left half of its last line; then the
// next process wrote behind it.
func (p *reactorProcesses) lines(t *testing.T) (all []line) {
	t.Helper()
	file, err := os.Open(p.file)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	defer file.Close()
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var l line
		_, err := fmt.Sscan(scanner.Text(), &l.process, &l.stream, &l.version)
		require.NoError(t, err, scanner.Text())
		all = append(all, l)
	}
	return all
}

func TestAKilledProcessLosesNoEvent(t *testing.T) {
	p := newReactorProcesses(t)
	appended := map[string]int{}
	for round := range 3 {
		_, kill := p.start(t, fmt.Sprint("p", round))
		before := len(p.lines(t))
		for len(p.lines(t)) < before+20*round+1 { // the kill comes at any moment of the work, the take-over by silence
			id := fmt.Sprint(len(appended) % 7)
			if len(appended) == 7 {
				id = fmt.Sprint(appended["0"] % 7)
			}
			deposit(t, p.store, id, 1, 1)
			appended[id] += 2
		}
		kill()
	}
	_, kill := p.start(t, "last")
	defer kill()
	end, err := p.store.End(t.Context())
	require.NoError(t, err)
	settled(t, p.admin, end)
	next := map[string]int{}
	for _, l := range p.lines(t) {
		require.LessOrEqualf(t, l.version, next[l.stream]+1, "%+v", l)
		next[l.stream] = max(next[l.stream], l.version)
	}
	require.Equal(t, appended, next)
}

func TestAFrozenProcessThatThawsHandlesNothingMore(t *testing.T) {
	p := newReactorProcesses(t)
	frozen, kill := p.start(t, "frozen")
	defer kill()
	deposit(t, p.store, "a", 1)
	eventually(t, func() bool { return len(p.lines(t)) == 1 }, "it runs")
	freeze(t, frozen)

	_, killOther := p.start(t, "other")
	defer killOther()
	deposit(t, p.store, "a", 2)
	// The frozen process may not have written its checkpoint. Then the other handles the first event again.
	eventually(t, func() bool { return slices.Contains(p.lines(t), line{"other", "a", 2}) }, "the other takes over")
	status, err := p.admin.Status(t.Context())
	require.NoError(t, err)
	require.NoError(t, frozen.Signal(syscall.SIGCONT))
	for i := range 20 {
		last := deposit(t, p.store, "a", int64(i))
		settled(t, p.admin, last)
	}
	now, err := p.admin.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, status.Runner, now.Runner)
	lines := p.lines(t)
	require.Equal(t, line{"frozen", "a", 1}, lines[0])
	for _, l := range lines[1:] {
		require.Equal(t, "other", l.process, "%v", strings.Join([]string{l.process, l.stream, fmt.Sprint(l.version)}, " "))
	}
}
