//go:build unix

package projection_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

// The environment of a process that runs a view, and how many of them the test kills.
const (
	runnerURL  = "RUNNEL_TEST_RUNNER_URL"
	runnerFold = "RUNNEL_TEST_RUNNER_FOLD"
	killsEnv   = "RUNNEL_TEST_KILLS"
)

// tally is the view of the process tests. Each account has a document, and so has the sum of all.
func tally(ctx context.Context, store *eventstore.Store, fold int, cfg *projection.Config) (*projection.View[balance], error) {
	return projection.Open(ctx, store, "tally", fold, cfg,
		projection.OnRecorded(func(b balance, e deposited, r eventstore.Recorded) balance {
			return balance{b.Amount*3 + e.Amount + int64(r.Version()), b.Events + 1} // the order counts
		}).ByEach(func(e deposited) []string { return []string{e.Text, "all"} }))
}

// runnerProcess runs the view until it is killed.
func runnerProcess(url, fold string) error {
	ctx := context.Background()
	nc, err := nats.Connect(url, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	store, err := eventstore.Open(ctx, js, "bank", events, nil)
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(fold)
	if err != nil {
		return err
	}
	view, err := tally(ctx, store, version, &projection.Config{
		Interval: time.Millisecond, BuildCacheSize: 8, Heartbeat: 100 * time.Millisecond, StandBy: 400 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	if _, err := os.Stdout.WriteString("running\n"); err != nil {
		return err
	}
	return view.Run(ctx)
}

// startRunner starts a process that runs the view.
func startRunner(t *testing.T, url string, fold int) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), runnerURL+"="+url, runnerFold+"="+strconv.Itoa(fold))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { kill(cmd) })
	_, err = out.Read(make([]byte, 1))
	require.NoError(t, err, "the process has begun to run the view")
	return cmd
}

// freeze stops a process that this one has started, and returns when all of its threads stand still.
func freeze(t *testing.T, process *os.Process) {
	t.Helper()
	require.NoError(t, process.Signal(syscall.SIGSTOP))
	_, err := syscall.Wait4(process.Pid, nil, syscall.WUNTRACED, nil)
	require.NoError(t, err)
}

func kill(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

func openProcess(t *testing.T, server *eventstoretest.Process) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// book appends some events for random accounts.
func book(t *testing.T, store *eventstore.Store, n int) (end eventstore.Position) {
	t.Helper()
	for range n {
		id := strconv.Itoa(rand.IntN(20))
		head, err := store.Head(t.Context(), account(id))
		require.NoError(t, err)
		batch := make([]eventstore.Event, 1+rand.IntN(3))
		for i := range batch {
			batch[i] = deposited{Amount: rand.Int64N(100), Text: id}
		}
		c, err := store.Append(t.Context(), account(id), head, batch...)
		require.NoError(t, err)
		end = c.Position
	}
	return end
}

// requireTally compares the view's documents, byte for byte, with the fold of the log.
func requireTally(t *testing.T, store *eventstore.Store, view *projection.View[balance]) {
	t.Helper()
	want := make(map[string]balance)
	for r, err := range store.All(t.Context()) {
		require.NoError(t, err)
		decoded, err := r.Decode()
		require.NoError(t, err)
		e := decoded[0].(deposited)
		for _, key := range []string{e.Text, "all"} {
			b := want[key]
			want[key] = balance{b.Amount*3 + e.Amount + int64(r.Version()), b.Events + 1}
		}
	}
	var wanted []string
	for key, b := range want {
		data, err := kv.JSON{}.Marshal(b)
		require.NoError(t, err)
		wanted = append(wanted, key+" "+string(data))
	}
	bucket, err := store.JetStream().KeyValue(t.Context(), view.Bucket())
	require.NoError(t, err)
	keys, err := bucket.ListKeys(t.Context())
	require.NoError(t, err)
	var got []string
	for key := range keys.Keys() {
		if strings.HasPrefix(key, "=") {
			continue // the checkpoint
		}
		entry, err := bucket.Get(t.Context(), key)
		require.NoError(t, err)
		got = append(got, key+" "+string(bytes.TrimSpace(entry.Value())))
	}
	require.ElementsMatch(t, wanted, got)
}

func TestAViewIsTheFoldOfTheLogHoweverOftenItsProcessDies(t *testing.T) {
	kills := 20
	if more, err := strconv.Atoi(os.Getenv(killsEnv)); err == nil {
		kills = more
	}
	server := eventstoretest.NewProcess(t, t.TempDir())
	store := openProcess(t, server)
	book(t, store, 200)
	fold := 1
	for i := range kills {
		if i%3 == 2 {
			fold++ // so that the next is a build
		}
		one := startRunner(t, server.URL(), fold)
		var two *exec.Cmd
		if i%4 == 3 {
			two = startRunner(t, server.URL(), fold)
		}
		book(t, store, rand.IntN(40))
		kill(one)
		if two != nil {
			book(t, store, rand.IntN(40))
			kill(two)
		}
	}
	end := book(t, store, 10)
	view, err := tally(t.Context(), store, fold, &projection.Config{Heartbeat: 100 * time.Millisecond, StandBy: 400 * time.Millisecond})
	require.NoError(t, err)
	defer view.Close()
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), end))
	requireTally(t, store, view)
	t.Logf("%d processes killed, %d fold versions, %d commits: the view equals the fold of the log", kills, fold, end)
}

func TestAFrozenProcessChangesNothingWhenItThaws(t *testing.T) {
	server := eventstoretest.NewProcess(t, t.TempDir())
	store := openProcess(t, server)
	book(t, store, 50)
	view, err := tally(t.Context(), store, 1, nil)
	require.NoError(t, err)
	defer view.Close()
	frozen := startRunner(t, server.URL(), 1)
	require.NoError(t, view.WaitFor(t.Context(), book(t, store, 50)))
	freeze(t, frozen.Process)
	other := startRunner(t, server.URL(), 1)
	begin := time.Now()
	require.NoError(t, view.WaitFor(t.Context(), book(t, store, 100)))
	require.Less(t, time.Since(begin), 5*time.Second, "another takes over")
	for time.Since(begin) < longer(0, 10*time.Second) {
		require.NoError(t, view.WaitFor(t.Context(), book(t, store, 100)))
	}
	require.NoError(t, frozen.Process.Signal(syscall.SIGCONT))
	for range 5 {
		require.NoError(t, view.WaitFor(t.Context(), book(t, store, 20)))
		requireTally(t, store, view)
	}
	kill(other)
	require.NoError(t, view.WaitFor(t.Context(), book(t, store, 20)), "the thawed one takes over in its turn")
	requireTally(t, store, view)
}

// Every event is delivered twice, to two instances, one of which dies now and then.
func TestWhatIsDeliveredTwiceIsFoldedOnce(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	proxy.Duplicate(true)
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	end := book(t, store, 100)
	cfg := &projection.Config{Heartbeat: 100 * time.Millisecond, StandBy: 400 * time.Millisecond}
	instance := func() (view *projection.View[balance], stop func()) {
		doubled, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, doubled.Close()) })
		view, err = tally(t.Context(), doubled, 1, cfg)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, view.Close()) })
		return view, run(t, view)
	}
	view, _ := instance()
	require.NoError(t, view.WaitFor(t.Context(), end))
	for range 3 {
		_, stop := instance()
		require.NoError(t, view.WaitFor(t.Context(), book(t, store, 30)))
		stop()
		require.NoError(t, view.WaitFor(t.Context(), book(t, store, 30)))
	}
	requireTally(t, store, view)
}
