package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/proptest"
)

// The synthetic ledger: 12 accounts, 300 rows, 34 roundings, 3 discrepancies.
const (
	syntheticEvents = 12 + 300 + 34 + 3
	syntheticAudit  = "audit: 297 rows agree, 3 listed, 0 wrong\n"
)

var errCut = errors.New("cut short")

// cutAfter cuts an import short when the log has some events.
func cutAfter(t *testing.T, bank *Bank, events eventstore.Position, cancel context.CancelCauseFunc) {
	t.Helper()
	seen := eventstore.Position(0)
	for _, err := range bank.store.All(t.Context(), eventstore.Live()) {
		require.NoError(t, err)
		if seen++; seen == events {
			break
		}
	}
	cancel(errCut)
}

func auditOf(t *testing.T, bank *Bank, dir string) (wrong int, output string) {
	t.Helper()
	var out bytes.Buffer
	wrong, err := bank.audit(t.Context(), os.DirFS(dir), &out)
	require.NoError(t, err)
	return wrong, out.String()
}

func countEvents(t *testing.T, bank *Bank) int {
	t.Helper()
	events := 0
	for _, err := range bank.store.All(t.Context()) {
		require.NoError(t, err)
		events++
	}
	return events
}

func TestAnImportBooksTheLedgerAndTheAuditAgrees(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	runViews(t, rt, bank)
	var shown bytes.Buffer
	require.NoError(t, bank.importLedger(t.Context(), os.DirFS(syntheticLedger), &shown))
	require.Contains(t, shown.String(), "import: 349 events booked")
	require.Equal(t, syntheticEvents, countEvents(t, bank))

	wrong, output := auditOf(t, bank, syntheticLedger)
	require.Zero(t, wrong)
	require.Contains(t, output, "sum of all last balances: 130634.85\n")
	require.Contains(t, output, "view balances: 12 documents equal the log\n")
	require.Contains(t, output, "view statements: 349 documents equal the log\n")
	require.True(t, bytes.HasSuffix([]byte(output), []byte(syntheticAudit)), output)

	shown.Reset()
	require.NoError(t, bank.importLedger(t.Context(), os.DirFS(syntheticLedger), &shown))
	require.Contains(t, shown.String(), "import: 0 events booked")
	require.Equal(t, syntheticEvents, countEvents(t, bank))
}

func TestAnImportThatWasCutShortGoesOnWhereItEnded(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	runViews(t, rt, bank)
	for _, events := range []eventstore.Position{10, 120, 250} {
		ctx, cancel := context.WithCancelCause(t.Context())
		var cutting sync.WaitGroup
		cutting.Go(func() { cutAfter(t, bank, events, cancel) })
		err := newBank(t, rt, nil).importLedger(ctx, os.DirFS(syntheticLedger), t.Output())
		cutting.Wait()
		if err != nil { // else it was done before the cut
			require.ErrorIs(t, err, errCut)
		}
	}
	require.NoError(t, bank.importLedger(t.Context(), os.DirFS(syntheticLedger), t.Output()))
	require.Equal(t, syntheticEvents, countEvents(t, bank))
	_, output := auditOf(t, bank, syntheticLedger)
	require.Contains(t, output, syntheticAudit)
}

func TestImportsAtTheSameTimeBookNothingTwice(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	runViews(t, rt, bank)
	var imports sync.WaitGroup
	results := make(chan error, 3)
	for range cap(results) {
		other := newBank(t, rt, nil) // of its own, as in another process: locks and cache are not shared
		imports.Go(func() { results <- other.importLedger(t.Context(), os.DirFS(syntheticLedger), t.Output()) })
	}
	imports.Wait()
	for range cap(results) {
		require.NoError(t, <-results)
	}
	require.Equal(t, syntheticEvents, countEvents(t, bank))
	_, output := auditOf(t, bank, syntheticLedger)
	require.Contains(t, output, syntheticAudit)
}

func TestAnImportDoesNotTouchAnAccountThatSomebodyElseOpened(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	_, err := bank.accounts.Do(t.Context(), "7", Open{Owner: "Anna", Date: day})
	require.NoError(t, err)
	err = bank.importLedger(t.Context(), os.DirFS(syntheticLedger), t.Output())
	require.ErrorContains(t, err, "import account 7: it is at version 1 with bookings that are not from the ledger")
}

func TestTheRealLedgerIsImportedAndAudited(t *testing.T) {
	dir := os.Getenv("RUNNEL_LEDGER")
	if dir == "" {
		t.Skip("RUNNEL_LEDGER is not set: it names the folder of the real ledger, with account.asc and trans.asc")
	}
	const audited = "audit: 49073 rows agree, 29 listed, 0 wrong\n"
	rt := newRuntime(t)
	bank := newBank(t, rt, &eventstore.Config{Reads: rt.Reads()})
	if proptest.Long() {
		runViews(t, rt, bank) // and so are at the ledger's heels all through the import
	}
	require.NoError(t, bank.importLedger(t.Context(), os.DirFS(dir), t.Output()))
	if !proptest.Long() {
		runViews(t, rt, bank)
	}
	output := rebuildUnderReaders(t, bank, dir, "576", audited)
	require.Contains(t, output, "sum of all last balances: 39243636.40\n")
	restoreElsewhere(t, rt, bank, dir, audited)
}
