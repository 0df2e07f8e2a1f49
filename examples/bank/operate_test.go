package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
)

// pollBalances reads an account's balance during f, some hundred times a second. It compares each balance with the
// one before.
func pollBalances(t *testing.T, bank *Bank, account string, f func()) (reads int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var reader sync.WaitGroup
	reader.Go(func() {
		before := Balance{}
		again := time.NewTicker(5 * time.Millisecond)
		defer again.Stop()
		for ; ctx.Err() == nil; reads++ {
			<-again.C
			now, err := bank.views.Balances.Get(t.Context(), account)
			if err != nil || now.Version < before.Version || now.ID != account {
				t.Errorf("read %+v after %+v: %v", now, before, err)
				return
			}
			before = now
		}
	})
	f()
	stop()
	reader.Wait()
	return reads
}

// rebuildUnderReaders rebuilds the balances while they are read. It audits during and after the rebuild, and returns
// what the last audit printed.
func rebuildUnderReaders(t *testing.T, bank *Bank, dir, account, audited string) (output string) {
	t.Helper()
	var shown bytes.Buffer
	reads := pollBalances(t, bank, account, func() {
		var rebuild sync.WaitGroup
		rebuild.Go(func() {
			if err := bank.rebuild(t.Context(), "balances", &shown, true); err != nil {
				t.Error(err)
			}
		})
		_, output := auditOf(t, bank, dir)
		require.Contains(t, output, audited, "during")
		rebuild.Wait()
	})
	_, output = auditOf(t, bank, dir)
	require.Contains(t, output, audited, "after")
	lines := strings.Split(strings.TrimSpace(shown.String()), "\n")
	var last struct{ Percent, EventsPerSecond float64 }
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &last))
	require.InDelta(t, 100, last.Percent, 0)
	t.Logf("%d reads all through the rebuild, %d lines of progress, %.0f events/s", reads, len(lines), last.EventsPerSecond)
	return output
}

func TestAViewIsRebuiltWhileItIsRead(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	runViews(t, rt, bank)
	require.NoError(t, bank.importLedger(t.Context(), os.DirFS(syntheticLedger), t.Output()))
	_, output := auditOf(t, bank, syntheticLedger)
	require.Contains(t, output, syntheticAudit)
	before := bank.views.Balances.Bucket()
	rebuildUnderReaders(t, bank, syntheticLedger, "33", syntheticAudit)
	require.NotEqual(t, before, bank.views.Balances.Bucket())
}

func TestOperatorsRebuildAndLookForWhatIsParked(t *testing.T) {
	data := t.TempDir()
	code, _, stderr := runWith(t, nil, "import", syntheticLedger, "--data", data)
	require.Equal(t, exitOK, code, stderr)
	code, _, stderr = runWith(t, nil, "rebuild", "turnover", "--data", data)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stderr, "100 % 349 events")
	require.Contains(t, stderr, "turnover serves")
	code, stdout, stderr := runWith(t, nil, "replay", "--account", "33", "--type", "account.opened,account.rounded", "--data", data)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stdout, "account/33 v1 account.opened {Owner:")
	require.Equal(t, strings.Count(stdout, "\n"), strings.Count(stdout, "account/33 "))
	code, stdout, stderr = runWith(t, nil, "replay", "--from", "2999-01-01", "--data", data)
	require.Equal(t, exitOK, code, stderr)
	require.Empty(t, stdout)
	code, _, stderr = runWith(t, nil, "replay", "--from", "yesterday", "--data", data)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "2026-01-31T12:00:00Z")
	code, stdout, stderr = runWith(t, nil, "parked", "turnover", "--data", data)
	require.Equal(t, exitOK, code, stderr)
	require.Equal(t, "parked: 0 keys\n", stdout)
	code, _, stderr = runWith(t, nil, "parked", "turnover", "--replay", "none", "--data", data)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "no such document")
}

func TestTheTurnoverIsThatOfTheLog(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	runViews(t, rt, bank)
	require.NoError(t, bank.importLedger(t.Context(), os.DirFS(syntheticLedger), t.Output()))
	want := make(map[string]Turnover)
	var end eventstore.Position
	for recorded, err := range bank.store.All(t.Context()) {
		require.NoError(t, err)
		end = recorded.Position
		decoded, err := recorded.Decode()
		require.NoError(t, err)
		var day, kind string
		var amount money.Amount
		switch e := decoded[0].(type) {
		case Deposited:
			day, kind, amount = e.Date, "deposited", e.Amount
		case Withdrawn:
			day, kind, amount = e.Date, "withdrawn", e.Amount
		default:
			continue
		}
		sum := want[day+"."+kind]
		want[day+"."+kind] = Turnover{Day: day, Kind: kind, Count: sum.Count + 1, Amount: sum.Amount + amount}
	}
	require.NoError(t, bank.views.Turnover.WaitFor(t.Context(), end))
	got := make(map[string]Turnover)
	for document, err := range bank.views.Turnover.List(t.Context()) {
		require.NoError(t, err)
		got[document.Key] = document.Value
	}
	require.Equal(t, want, got)
}

// The bar draws over itself on a terminal only, and lines come at a pace that people read.
func TestProgressIsShownInLinesWhereNobodyWatches(t *testing.T) {
	var shown bytes.Buffer
	bar := newProgressBar(&shown, false)
	for i := range 100 {
		bar.show(eventstore.Progress{Position: eventstore.Position(i), End: 100, Events: int64(i), Elapsed: 100_000_000})
	}
	bar.show(eventstore.Progress{Position: 100, End: 100, Events: 100, Elapsed: 5_000_000_000})
	bar.end()
	require.Equal(t, "100 % 100 events, 20 events/s, 0s left\n", shown.String())
}

func TestTheTurnoverOfADayIsServed(t *testing.T) {
	c := newClient(t, "", nil)
	c.open("anna", "5")
	c.open("ben", "6.50")
	var page struct {
		Day   string
		Kinds []Turnover
	}
	require.NoError(t, c.server.bank.views.Turnover.WaitFor(t.Context(), 4))
	c.get("/turnover/" + day).is(http.StatusOK).into(&page)
	require.Equal(t, []Turnover{{Day: day, Kind: "deposited", Count: 2, Amount: 1150}}, page.Kinds)
	require.Contains(t, c.get("/turnover/1990-01-01").is(http.StatusOK).body, `"kinds":[]`)
	c.get("/turnover/today").is(http.StatusBadRequest)
}
