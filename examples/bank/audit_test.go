package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// tamper returns a bank whose log is a copy of another log, with some events changed, dropped or added. The log
// itself cannot be changed, so the copy is a log of its own.
func tamper(t *testing.T, from *Bank, change func(stream eventstore.StreamID, events []eventstore.Event) []eventstore.Event) *Bank {
	t.Helper()
	rt := newRuntime(t)
	forged := newBank(t, rt, nil)
	heads := make(map[eventstore.StreamID]eventstore.Head)
	for c, err := range from.store.Log(t.Context()) {
		require.NoError(t, err)
		var events []eventstore.Event
		for recorded := range c.Events() {
			decoded, err := recorded.Decode()
			require.NoError(t, err)
			events = append(events, decoded...)
		}
		if events = change(c.Stream, events); len(events) == 0 {
			continue
		}
		stored, err := forged.store.Append(t.Context(), c.Stream, heads[c.Stream], events...)
		require.NoError(t, err)
		heads[c.Stream] = stored.Head()
	}
	runViews(t, rt, forged)
	return forged
}

func TestAnAuditFindsATamperedEvent(t *testing.T) {
	good := newBank(t, newRuntime(t), nil)
	require.NoError(t, good.importLedger(t.Context(), os.DirFS(syntheticLedger), t.Output()))

	// each changes the first deposit of account 33, or what belongs to it, once
	for name, c := range map[string]struct {
		change func(events []eventstore.Event, d Deposited) []eventstore.Event
		says   string
	}{
		"its amount": {func(e []eventstore.Event, d Deposited) []eventstore.Event {
			d.Amount++
			return append([]eventstore.Event{d}, e[1:]...)
		}, "the ledger's next is row"},
		"its balance": {func(e []eventstore.Event, d Deposited) []eventstore.Event {
			d.Balance++
			return append([]eventstore.Event{d}, e[1:]...)
		}, "by the amounts it should be"},
		"amount and balance": {func(e []eventstore.Event, d Deposited) []eventstore.Event {
			d.Amount++
			d.Balance++
			return append([]eventstore.Event{d}, e[1:]...)
		}, "the ledger's next is row"},
		"its date": {func(e []eventstore.Event, d Deposited) []eventstore.Event {
			d.Date = "1999-01-01"
			return append([]eventstore.Event{d}, e[1:]...)
		}, "the ledger's next is row"},
		"its row": {func(e []eventstore.Event, d Deposited) []eventstore.Event {
			d.Row++
			return append([]eventstore.Event{d}, e[1:]...)
		}, "the ledger's next is row"},
		"its direction": {func(e []eventstore.Event, d Deposited) []eventstore.Event {
			return append([]eventstore.Event{Withdrawn{Amount: d.Amount, Balance: -d.Amount, Date: d.Date, Row: d.Row}}, e[1:]...)
		}, "the ledger's next is row"},
		"dropped": {func([]eventstore.Event, Deposited) []eventstore.Event { return nil }, "the ledger's next is row"},
		"a rounding too many": {func(e []eventstore.Event, d Deposited) []eventstore.Event {
			return append(e, Rounded{Amount: 1, Balance: d.Balance + 1}, Rounded{Amount: -1, Balance: d.Balance})
		}, "a rounding or a correction is missing or too many"},
		"a deposit of nobody's": {func(e []eventstore.Event, d Deposited) []eventstore.Event {
			return append(e, Deposited{Amount: 5, Balance: d.Balance + 5})
		}, "booked by hand before the ledger's last row"},
	} {
		t.Run(name, func(t *testing.T) {
			done := false
			forged := tamper(t, good, func(stream eventstore.StreamID, events []eventstore.Event) []eventstore.Event {
				d, ok := events[0].(Deposited)
				if stream.ID != "33" || !ok || done || len(events) > 1 {
					return events
				}
				done = true
				return c.change(events, d)
			})
			require.True(t, done)
			wrong, output := auditOf(t, forged, syntheticLedger)
			require.Positive(t, wrong, output)
			require.Contains(t, output, "wrong: account 33 version")
			require.Contains(t, output, c.says)
			require.False(t, strings.HasSuffix(output, ", 0 wrong\n"), output)
		})
	}
}

func TestAnAuditFindsOtherFaultsOfTheLog(t *testing.T) {
	good := newBank(t, newRuntime(t), nil)
	require.NoError(t, good.importLedger(t.Context(), os.DirFS(syntheticLedger), t.Output()))
	for name, c := range map[string]struct {
		change func(stream eventstore.StreamID, events []eventstore.Event) []eventstore.Event
		says   string
	}{
		"the limit of an account": {func(_ eventstore.StreamID, events []eventstore.Event) []eventstore.Event {
			if o, ok := events[0].(Opened); ok && o.Owner == "Account 7" {
				o.Overdraft += 100
				return []eventstore.Event{o}
			}
			return events
		}, "by the ledger it should be"},
		"an account that was never opened": {func(s eventstore.StreamID, events []eventstore.Event) []eventstore.Event {
			if s.ID == "7" {
				return nil
			}
			return events
		}, "was not booked"},
		"a correction that is missing": {func(_ eventstore.StreamID, events []eventstore.Event) []eventstore.Event {
			if _, ok := events[len(events)-1].(Corrected); ok {
				return events[:1]
			}
			return events
		}, "the bank's is"},
		"a transfer that did not arrive": {func(s eventstore.StreamID, events []eventstore.Event) []eventstore.Event {
			if o, ok := events[0].(Opened); ok && s.ID == "7" {
				return []eventstore.Event{o, TransferredIn{From: "x", Amount: 1, Balance: 1}, TransferredOut{To: "y", Amount: 2, Balance: -1}}
			}
			return events
		}, "went out and did not come in"},
	} {
		t.Run(name, func(t *testing.T) {
			forged := tamper(t, good, c.change)
			wrong, output := auditOf(t, forged, syntheticLedger)
			require.Positive(t, wrong, output)
			require.Contains(t, output, c.says)
		})
	}
}

func TestAnAuditFindsADocumentThatIsNotWhatTheLogGives(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	runViews(t, rt, bank)
	require.NoError(t, bank.importLedger(t.Context(), os.DirFS(syntheticLedger), t.Output()))
	wrong, output := auditOf(t, bank, syntheticLedger)
	require.Zero(t, wrong, output)

	balances, err := kv.Open[Balance](t.Context(), rt.Commands(), bank.views.Balances.Bucket(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, balances.Close()) })
	entries, err := kv.Open[Entry](t.Context(), rt.Commands(), bank.views.Statements.Bucket(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, entries.Close()) })

	document, err := balances.Get(t.Context(), "33")
	require.NoError(t, err)
	document.Value.Balance++
	_, err = balances.Put(t.Context(), "33", document.Value)
	require.NoError(t, err)
	require.NoError(t, entries.Delete(t.Context(), "33.2"))
	_, err = entries.Put(t.Context(), "nobody.1", Entry{Account: "nobody"})
	require.NoError(t, err)

	wrong, output = auditOf(t, bank, syntheticLedger)
	require.Equal(t, 3, wrong, output)
	require.Contains(t, output, "view balances: document 33 is")
	require.Contains(t, output, "view statements: document 33.2 is missing")
	require.Contains(t, output, "view statements: document nobody.1 is not in the log")
}

func TestBookingsByHandOnAnImportedAccountAreNoFault(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	runViews(t, rt, bank)
	require.NoError(t, bank.importLedger(t.Context(), os.DirFS(syntheticLedger), t.Output()))
	_, err := bank.accounts.Do(t.Context(), "anna", Open{Owner: "Anna", Date: day})
	require.NoError(t, err)
	_, err = bank.accounts.Do(t.Context(), "33", Deposit{Amount: 500, Date: day})
	require.NoError(t, err)
	_, output := auditOf(t, bank, syntheticLedger)
	require.Contains(t, output, "sum of all last balances: 130634.85\n")
	require.True(t, strings.HasSuffix(output, syntheticAudit), output)
}
