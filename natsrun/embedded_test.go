package natsrun_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/natsrun"
)

func open(t *testing.T, cfg natsrun.Config) *natsrun.Runtime {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet()
	}
	rt, err := natsrun.Open(t.Context(), &cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rt.Close(context.WithoutCancel(t.Context()))) })
	return rt
}

func createStream(t *testing.T, rt *natsrun.Runtime) {
	t.Helper()
	_, err := rt.Commands().CreateStream(t.Context(), jetstream.StreamConfig{Name: "bank", Subjects: []string{"bank.>"}})
	require.NoError(t, err)
}

func TestARestartKeepsTheStreamsMessages(t *testing.T) {
	dir := t.TempDir()
	rt := open(t, natsrun.Config{DataDir: dir})
	createStream(t, rt)
	_, err := rt.Commands().Publish(t.Context(), "bank.42", []byte("deposited"))
	require.NoError(t, err)
	require.NoError(t, rt.Close(t.Context()))

	rt = open(t, natsrun.Config{DataDir: dir})
	stream, err := rt.Reads().Stream(t.Context(), "bank")
	require.NoError(t, err)
	msg, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, "deposited", string(msg.Data))
}

func TestCommandsAndReadsHaveConnectionsOfTheirOwn(t *testing.T) {
	rt := open(t, natsrun.Config{DataDir: t.TempDir(), ServiceName: "bank"})
	require.Same(t, rt.Conn(), rt.Commands().Conn())
	require.NotSame(t, rt.Conn(), rt.Reads().Conn())
	require.Equal(t, "bank", rt.Conn().Opts.Name)
	require.Equal(t, "bank-reads", rt.Reads().Conn().Opts.Name)
	for _, nc := range []*nats.Conn{rt.Conn(), rt.Reads().Conn()} {
		require.Equal(t, -1, nc.Opts.ReconnectBufSize)
		require.Equal(t, -1, nc.Opts.MaxReconnect)
	}
}

func TestADataDirectoryInUseIsRefusedUntilClose(t *testing.T) {
	dir := t.TempDir()
	rt := open(t, natsrun.Config{DataDir: dir})

	_, err := natsrun.Open(t.Context(), &natsrun.Config{DataDir: dir, Logger: quiet()})
	require.ErrorIs(t, err, natsrun.ErrDataDirInUse)
	require.ErrorContains(t, err, fmt.Sprintf("process %d holds %s:", os.Getpid(), dir))

	require.NoError(t, rt.Close(t.Context()))
	open(t, natsrun.Config{DataDir: dir})
}

// holderEnv makes this test binary a process that holds a data directory.
const holderEnv = "NATSRUN_TEST_HOLD"

func TestADataDirectoryIsFreeAfterItsHolderWasKilled(t *testing.T) {
	if dir := os.Getenv(holderEnv); dir != "" {
		open(t, natsrun.Config{DataDir: dir})
		_, err := os.Stdout.WriteString("held\n")
		require.NoError(t, err)
		<-t.Context().Done() // never: the parent kills this process
	}
	dir := t.TempDir()
	holder := &exec.Cmd{
		Path: os.Args[0],
		Args: []string{os.Args[0], "-test.run=^" + t.Name() + "$"},
		Env:  append(os.Environ(), holderEnv+"="+dir),
	}
	out, err := holder.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, holder.Start())
	t.Cleanup(func() { _ = holder.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", line)

	_, err = natsrun.Open(t.Context(), &natsrun.Config{DataDir: dir, Logger: quiet()})
	require.ErrorIs(t, err, natsrun.ErrDataDirInUse)
	require.ErrorContains(t, err, fmt.Sprintf("process %d holds ", holder.Process.Pid))

	require.NoError(t, holder.Process.Kill())
	require.Error(t, holder.Wait())
	open(t, natsrun.Config{DataDir: dir})
}

func TestADataDirectoryThatCannotBeWrittenIsRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	noLock := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(noLock, "LOCK"), 0o700))
	for name, dir := range map[string]string{
		"a file": file, "below a file": filepath.Join(file, "data"), "no lock file possible": noLock,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := natsrun.Open(t.Context(), &natsrun.Config{DataDir: dir, Logger: quiet()})
			require.NotErrorIs(t, err, natsrun.ErrDataDirInUse)
			require.ErrorContains(t, err, "natsrun: data directory "+dir)
		})
	}
}

func TestAServerThatDoesNotStartSaysWhyAndGivesTheDirectoryUp(t *testing.T) {
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "jetstream")
	require.NoError(t, os.WriteFile(inTheWay, nil, 0o600))
	_, err := natsrun.Open(t.Context(), &natsrun.Config{DataDir: dir, Logger: quiet()})
	require.ErrorContains(t, err, "natsrun: start the embedded server on "+dir)
	require.ErrorContains(t, err, "not a directory")

	require.NoError(t, os.Remove(inTheWay))
	open(t, natsrun.Config{DataDir: dir})
}

func TestTheServerRefusesWhatIsOverMaxStore(t *testing.T) {
	rt := open(t, natsrun.Config{DataDir: t.TempDir(), MaxStore: 64 << 10})
	createStream(t, rt)
	var err error
	for range 100 {
		if _, err = rt.Commands().Publish(t.Context(), "bank.42", make([]byte, 4<<10)); err != nil {
			break
		}
	}
	refused, ok := errors.AsType[*jetstream.APIError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, jetstream.ErrorCode(10023), refused.ErrorCode) // insufficient resources
	require.True(t, rt.Health().Ready(), "a full store still serves reads")
}

func TestSyncNoneIsNamedInTheLog(t *testing.T) {
	for sync, warned := range map[natsrun.SyncMode]bool{natsrun.SyncAlways: false, natsrun.SyncNone: true} {
		var out bytes.Buffer
		rt := open(t, natsrun.Config{DataDir: t.TempDir(), Sync: sync, Logger: slog.New(slog.NewJSONHandler(&out, nil))})
		require.NoError(t, rt.Close(t.Context()))
		require.Equal(t, warned, bytes.Contains(out.Bytes(), []byte(`"level":"WARN","msg":"sync is OFF`)))
	}
}

func TestOpenWithAnEndedContextReturnsItsCause(t *testing.T) {
	why := errors.New("sigterm")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	_, err := natsrun.Open(ctx, &natsrun.Config{DataDir: t.TempDir(), Logger: quiet()})
	require.ErrorIs(t, err, why)
}

func TestCloseWaitsForAsynchronousPublishes(t *testing.T) {
	dir := t.TempDir()
	rt := open(t, natsrun.Config{DataDir: dir})
	createStream(t, rt)
	var futures []jetstream.PubAckFuture
	for range 500 {
		future, err := rt.Commands().PublishAsync("bank.42", []byte("x"))
		require.NoError(t, err)
		futures = append(futures, future)
	}
	require.NoError(t, rt.Close(t.Context()))
	for _, future := range futures {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			require.NoError(t, err)
		}
	}
}

func TestCloseLetsSubscriptionsFinish(t *testing.T) {
	rt := open(t, natsrun.Config{DataDir: t.TempDir()})
	handled := 0
	closing := rt.Conn().StatusChanged(nats.DRAINING_SUBS, nats.CLOSED)
	_, err := rt.Conn().Subscribe("work", func(*nats.Msg) {
		if handled == 0 {
			<-closing // so that the others wait when Close is called
		}
		handled++
	})
	require.NoError(t, err)
	for range 1000 {
		require.NoError(t, rt.Conn().Publish("work", nil))
	}
	require.NoError(t, rt.Conn().Flush())
	require.NoError(t, rt.Close(t.Context()))
	require.Equal(t, 1000, handled)
}

func TestCloseNamesWhatDidNotEndInTimeAndMayBeCalledAgain(t *testing.T) {
	rt := open(t, natsrun.Config{DataDir: t.TempDir(), ShutdownTimeout: 50 * time.Millisecond})
	release, entered := make(chan struct{}), make(chan struct{})
	_, err := rt.Conn().Subscribe("work", func(*nats.Msg) { close(entered); <-release })
	require.NoError(t, err)
	require.NoError(t, rt.Conn().Publish("work", nil))
	<-entered

	err = rt.Close(t.Context())
	require.ErrorIs(t, err, natsrun.ErrUnfinished)
	require.ErrorContains(t, err, "commands")
	require.NotContains(t, err.Error(), "reads")
	close(release)

	require.Eventually(t, func() bool { return rt.Close(t.Context()) == nil }, 5*time.Second, time.Millisecond)
	require.NoError(t, rt.Close(t.Context()))
}

func TestARelativeDataDirIsThatOfTheStart(t *testing.T) {
	home, elsewhere := t.TempDir(), t.TempDir()
	t.Chdir(home)
	publish := func(rt *natsrun.Runtime, stream string) {
		_, err := rt.Commands().CreateStream(t.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{stream}})
		require.NoError(t, err)
		_, err = rt.Commands().Publish(t.Context(), stream, []byte("x"))
		require.NoError(t, err)
	}
	rt := open(t, natsrun.Config{DataDir: "data"})
	publish(rt, "BEFORE")
	require.NoError(t, os.Chdir(elsewhere))
	publish(rt, "AFTER")
	require.True(t, rt.Health().Ready())
	require.NoError(t, rt.Close(t.Context()))
	left, err := os.ReadDir(elsewhere)
	require.NoError(t, err)
	require.Empty(t, left)

	rt = open(t, natsrun.Config{DataDir: filepath.Join(home, "data")})
	for _, stream := range []string{"BEFORE", "AFTER"} {
		found, err := rt.Commands().Stream(t.Context(), stream)
		require.NoError(t, err)
		require.EqualValues(t, 1, found.CachedInfo().State.Msgs, stream)
	}
}

func TestHealth(t *testing.T) {
	rt := open(t, natsrun.Config{DataDir: t.TempDir(), Sync: natsrun.SyncAlways})
	durability := natsrun.Durability{Embedded: true, Replicas: 1, Sync: natsrun.SyncAlways}
	require.Equal(t, natsrun.Health{
		State: natsrun.Connected, Commands: natsrun.Connected, Reads: natsrun.Connected,
		Server: "embedded", JetStream: true, Durability: durability,
	}, rt.Health())
	require.True(t, rt.Health().Ready())

	rt.Reads().Conn().Close()
	h := rt.Health()
	require.Equal(t, natsrun.Connected, h.Commands)
	require.Equal(t, natsrun.Closed, h.Reads)
	require.Equal(t, natsrun.Closed, h.State)
	require.False(t, h.Ready())

	require.NoError(t, rt.Close(t.Context()))
	require.False(t, rt.Health().JetStream)
}

func TestDurabilityInPlainWords(t *testing.T) {
	for _, tt := range []struct {
		grade natsrun.Durability
		want  string
	}{
		{
			natsrun.Durability{Embedded: true, Replicas: 1, Sync: natsrun.SyncNone},
			"embedded server, 1 replica, sync none. " +
				"Kill: nothing acknowledged is lost, and the store is unavailable until the server is back. " +
				"Power cut: acknowledged messages of the last two minutes are lost, and a transaction may be torn. " +
				"Lost disk: everything since the last backup may be lost.",
		},
		{
			natsrun.Durability{Embedded: true, Replicas: 1, Sync: natsrun.SyncGroup},
			"embedded server, 1 replica, sync group. " +
				"Kill: nothing acknowledged is lost, and the store is unavailable until the server is back. " +
				"Power cut: nothing is lost that a store or a bucket acknowledged; other messages of the last two minutes may be lost. " +
				"Lost disk: everything since the last backup may be lost.",
		},
		{
			natsrun.Durability{Replicas: 3, Sync: natsrun.SyncUnknown},
			"cluster, 3 replicas, sync unknown. " +
				"Kill: nothing acknowledged is lost, and 1 server may be down while the others go on. " +
				"Power cut: nothing acknowledged is lost if it hits 1 server at a time; if it hits more: unknown, ask your operator whether sync_interval is always. " +
				"Lost disk: nothing is lost with the disks of 1 server.",
		},
		{
			natsrun.Durability{Sync: natsrun.SyncUnknown},
			"cluster, replicas unknown, sync unknown. " +
				"Kill: nothing acknowledged is lost, and the store is unavailable until the server is back. " +
				"Power cut: unknown, ask your operator whether sync_interval is always. " +
				"Lost disk: unknown, it depends on the replicas.",
		},
	} {
		require.Equal(t, tt.want, tt.grade.String())
	}
}
