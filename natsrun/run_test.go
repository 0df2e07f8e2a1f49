package natsrun_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/natsrun"
)

func TestRunEndsWithoutAnErrorWhenItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("sigterm")
	var cause error
	err := natsrun.Run(ctx, &natsrun.Config{DataDir: t.TempDir(), Logger: quiet()},
		func(ctx context.Context, _ *natsrun.Runtime) error {
			cancel(why)
			<-ctx.Done()
			cause = context.Cause(ctx)
			return ctx.Err()
		})
	require.NoError(t, err)
	require.ErrorIs(t, cause, natsrun.ErrShutdown)
	require.ErrorIs(t, cause, why)
}

func TestRunReturnsWhatTheProgramReturns(t *testing.T) {
	broken := errors.New("broken")
	for name, want := range map[string]error{"nothing": nil, "an error": broken} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var used *natsrun.Runtime
			err := natsrun.Run(t.Context(), &natsrun.Config{DataDir: dir, Logger: quiet()},
				func(_ context.Context, rt *natsrun.Runtime) error { used = rt; return want })
			require.ErrorIs(t, err, want)
			require.Equal(t, natsrun.Closed, used.Health().State)
			open(t, natsrun.Config{DataDir: dir}) // the lock is free
		})
	}
}

func TestRunReturnsAFailureToStop(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	broken := errors.New("cannot flush")
	err := natsrun.Run(ctx, &natsrun.Config{DataDir: t.TempDir(), Logger: quiet()},
		func(ctx context.Context, _ *natsrun.Runtime) error { cancel(); <-ctx.Done(); return broken })
	require.ErrorIs(t, err, broken)
}

func TestRunReturnsWhatIsWrongAtTheStart(t *testing.T) {
	program := func(context.Context, *natsrun.Runtime) error { t.Error("must not run"); return nil }
	err := natsrun.Run(t.Context(), &natsrun.Config{Sync: "sometimes"}, program)
	require.ErrorIs(t, err, natsrun.ErrConfig)

	dir := t.TempDir()
	open(t, natsrun.Config{DataDir: dir})
	err = natsrun.Run(t.Context(), &natsrun.Config{DataDir: dir, Logger: quiet()}, program)
	require.ErrorIs(t, err, natsrun.ErrDataDirInUse)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, natsrun.Run(ended, &natsrun.Config{DataDir: t.TempDir(), Logger: quiet()}, program))
}

// runTwice runs a program that breaks its first runtime and returns the cause of
// the first context's end.
func runTwice(t *testing.T, cfg natsrun.Config, breakIt func(*natsrun.Runtime)) error {
	t.Helper()
	cfg.Logger = quiet()
	var runtimes []*natsrun.Runtime
	var cause error
	err := natsrun.Run(t.Context(), &cfg, func(ctx context.Context, rt *natsrun.Runtime) error {
		runtimes = append(runtimes, rt)
		if len(runtimes) == 2 {
			_, err := rt.Commands().AccountInfo(ctx)
			return err
		}
		breakIt(rt)
		<-ctx.Done()
		cause = context.Cause(ctx)
		return ctx.Err()
	})
	require.NoError(t, err)
	require.Len(t, runtimes, 2)
	require.Equal(t, natsrun.Closed, runtimes[0].Health().State)
	require.ErrorIs(t, cause, natsrun.ErrConnectionClosed)
	return cause
}

func TestRunDialsAnewWhenTheClientIsClosed(t *testing.T) {
	for name, conn := range map[string]func(*natsrun.Runtime) *nats.Conn{
		"commands": (*natsrun.Runtime).Conn,
		"reads":    func(rt *natsrun.Runtime) *nats.Conn { return rt.Reads().Conn() },
	} {
		t.Run(name+" embedded", func(t *testing.T) {
			_ = runTwice(t, natsrun.Config{DataDir: t.TempDir()}, func(rt *natsrun.Runtime) { conn(rt).Close() })
		})
		t.Run(name+" remote", func(t *testing.T) {
			srv := startServer(t, nil)
			_ = runTwice(t, natsrun.Config{URL: srv.ClientURL()}, func(rt *natsrun.Runtime) { conn(rt).Close() })
		})
	}
}

func TestRunDialsAnewAfterAControlLineThatIsTooLong(t *testing.T) {
	srv := startServer(t, nil)
	cause := runTwice(t, natsrun.Config{URL: srv.ClientURL(), ServiceName: "bank"}, func(rt *natsrun.Runtime) {
		require.NoError(t, rt.Conn().Publish(strings.Repeat("x", 5000), nil))
	})
	require.ErrorContains(t, cause, "closed for good: bank: ")
	require.ErrorContains(t, cause, "maximum control line exceeded")
}

func TestRunGivesUpAfterMaxReconnects(t *testing.T) {
	srv := startServer(t, nil)
	cfg := &natsrun.Config{URL: srv.ClientURL(), MaxReconnects: 2, Logger: quiet()}
	runs := 0
	err := natsrun.Run(t.Context(), cfg, func(ctx context.Context, _ *natsrun.Runtime) error {
		runs++
		srv.Shutdown()
		srv.WaitForShutdown()
		<-ctx.Done()
		return ctx.Err()
	})
	require.ErrorIs(t, err, natsrun.ErrConnect)
	require.Equal(t, 1, runs)
}

func TestRunStopsDiallingWhenItsContextEnds(t *testing.T) {
	srv := startServer(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	err := natsrun.Run(ctx, &natsrun.Config{URL: srv.ClientURL(), Logger: quiet()},
		func(ctx context.Context, rt *natsrun.Runtime) error {
			srv.Shutdown()
			srv.WaitForShutdown()
			rt.Conn().Close()
			<-ctx.Done()
			time.AfterFunc(300*time.Millisecond, cancel)
			return ctx.Err()
		})
	require.NoError(t, err)
}

func TestRunNamesAProgramThatDoesNotEnd(t *testing.T) {
	release, left := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	err := natsrun.Run(ctx, &natsrun.Config{DataDir: t.TempDir(), Logger: quiet(), ShutdownTimeout: 100 * time.Millisecond},
		func(context.Context, *natsrun.Runtime) error {
			defer close(left)
			runs++
			cancel()
			<-release
			return nil
		})
	require.ErrorIs(t, err, natsrun.ErrUnfinished)
	require.ErrorContains(t, err, "program")
	close(release)
	<-left
	require.Equal(t, 1, runs)
}
