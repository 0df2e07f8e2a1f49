package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

// TestMain runs the bank's program, or carries payments out, if a test has started this binary as a process.
func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
	}
	if url := os.Getenv(runnerURL); url != "" {
		if err := runnerProcess(url, os.Getenv(runnerOthers)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const syntheticLedger = "ledger/testdata/synthetic"

// newRuntime starts the embedded server of a test. It does not sync to disk, which tests of logic need not wait for.
func newRuntime(t *testing.T) *natsrun.Runtime {
	t.Helper()
	rt, err := natsrun.Open(t.Context(), &natsrun.Config{
		DataDir: t.TempDir(), Sync: natsrun.SyncNone, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rt.Close(context.Background())) })
	return rt
}

// newBank opens a bank on a runtime, with a store that may be given special settings.
func newBank(t *testing.T, rt *natsrun.Runtime, cfg *eventstore.Config) *Bank {
	t.Helper()
	return newBankWith(t, rt, nil, cfg)
}

func newBankWith(t *testing.T, rt *natsrun.Runtime, terms *Terms, cfg *eventstore.Config) *Bank {
	t.Helper()
	bank, err := openBankWith(t.Context(), rt, slog.New(slog.NewTextHandler(t.Output(), nil)), terms, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, bank.Close()) })
	return bank
}

// runViews keeps a bank's views up to date until the test ends.
func runViews(t *testing.T, rt *natsrun.Runtime, bank *Bank) {
	t.Helper()
	runGroup(t, rt, bank.addViews)
	require.NoError(t, bank.views.WaitFor(t.Context(), 0))
}

// runPayments carries a bank's payments out until the test ends.
func runPayments(t *testing.T, rt *natsrun.Runtime, bank *Bank) {
	t.Helper()
	runGroup(t, rt, bank.addPayments)
	require.NoError(t, bank.payments.View().WaitFor(t.Context(), 0))
}

// runGroup runs what is added to a group until the test ends.
func runGroup(t *testing.T, rt *natsrun.Runtime, add func(*natsrun.Group)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	group := rt.NewGroup()
	add(group)
	go func() { ended <- group.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
}
