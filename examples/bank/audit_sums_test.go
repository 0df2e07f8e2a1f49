package main

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

func do(t *testing.T, bank *Bank, id string, commands ...aggregate.Command[Account, Event]) {
	t.Helper()
	for _, command := range commands {
		_, err := bank.accounts.Do(t.Context(), id, command)
		require.NoError(t, err)
	}
}

// pay books what can happen to payments: one is in flight, one paid, one given back, and one was never reserved.
func pay(t *testing.T, bank *Bank, id string) {
	t.Helper()
	do(t, bank, id, Open{Owner: "Anna", Overdraft: 500, Date: day}, Deposit{Amount: 1000, Date: day},
		Reserve{Order: "o1", To: "YZ/1", Amount: 300, Date: day}, Reserve{Order: "o2", To: "ST/2", Amount: 200, Date: day},
		Reserve{Order: "o3", To: "ST/2", Amount: 700, Date: day}, Confirm{Order: "o2", Date: day}, Release{Order: "o3", Date: day},
		Release{Order: "o4", Date: day}, Withdraw{Amount: 50, Date: day})
}

func TestAnAuditProvesThatNoMoneyIsLost(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	runViews(t, rt, bank)
	require.NoError(t, bank.importLedger(t.Context(), os.DirFS(syntheticLedger), t.Output()))
	pay(t, bank, "anna")
	do(t, bank, "ben", Open{Owner: "Ben", Date: day})
	require.NoError(t, aggregate.Transact(t.Context(), bank.store, nil,
		bank.accounts.On("anna", TransferOut{To: "ben", Amount: 40, Date: day}), bank.accounts.On("ben", TransferIn{From: "anna", Amount: 40, Date: day})))
	_, err := bank.answers.Do(t.Context(), "o2", GiveAnswer{Accepted: true})
	require.NoError(t, err)

	_, output := auditOf(t, bank, syntheticLedger)
	require.True(t, strings.HasSuffix(output, syntheticAudit), output)
	require.Contains(t, output, "sums at each of 324 positions, at last: accounts 130639.35 + in transit 0.00 + in flight 3.00 + paid to other banks 2.00 = "+
		"opening balances 0.00 + deposits 395713.01 - withdrawals 265439.30 + roundings 0.32 + corrections 370.32\n")
	balance, err := bank.views.Balances.Get(t.Context(), "anna")
	require.NoError(t, err)
	require.Equal(t, "3.00", balance.Reserved.String())
	statement, err := bank.views.Statements.Get(t.Context(), "anna.6")
	require.NoError(t, err)
	require.Equal(t, Entry{Account: "anna", Version: 6, Kind: "confirmed", Amount: 200, Balance: -200, Date: day, Other: "ST/2", Order: "o2"}, statement)
	turnover, err := bank.views.Turnover.Get(t.Context(), day+".reserved")
	require.NoError(t, err)
	require.Equal(t, Turnover{Day: day, Kind: "reserved", Count: 3, Amount: 1200}, turnover)
}

func TestAnAuditFindsMoneyThatIsNowhere(t *testing.T) {
	good := newBank(t, newRuntime(t), nil)
	pay(t, good, "anna")
	_, err := good.answers.Do(t.Context(), "o2", GiveAnswer{Accepted: true})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		change func(event eventstore.Event) []eventstore.Event
		says   string
	}{
		"more is confirmed than was reserved": {func(event eventstore.Event) []eventstore.Event {
			if e, ok := event.(Confirmed); ok {
				e.Amount++
				return []eventstore.Event{e}
			}
			return []eventstore.Event{event}
		}, "2.01 of order o2 ends a reservation of 2.00"},
		"what is confirmed comes back too": {func(event eventstore.Event) []eventstore.Event {
			if e, ok := event.(Confirmed); ok {
				return []eventstore.Event{e, Released{Order: e.Order, Amount: e.Amount, Balance: e.Balance + e.Amount}}
			}
			return []eventstore.Event{event}
		}, "2.00 of order o2 ends a reservation that does not exist"},
		"less leaves the balance than is reserved": {func(event eventstore.Event) []eventstore.Event {
			if e, ok := event.(Reserved); ok && e.Order == "o1" {
				e.Balance++
				return []eventstore.Event{e}
			}
			return []eventstore.Event{event}
		}, "at position 3 the sums are off by 0.01: accounts 7.01 "},
		"an order reserves twice": {func(event eventstore.Event) []eventstore.Event {
			if e, ok := event.(Reserved); ok && e.Order == "o1" {
				return []eventstore.Event{e, Reserved{Order: e.Order, Amount: 1, Balance: e.Balance - 1}}
			}
			return []eventstore.Event{event}
		}, "0.01 is reserved for order o1, which has 3.00 in flight"},
		"an account is opened again": {func(event eventstore.Event) []eventstore.Event {
			if e, ok := event.(Opened); ok {
				return []eventstore.Event{e, e}
			}
			return []eventstore.Event{event}
		}, "opened again"},
		"a payment is answered twice": {func(event eventstore.Event) []eventstore.Event {
			if e, ok := event.(PaymentAccepted); ok {
				return []eventstore.Event{e, PaymentRefused{}}
			}
			return []eventstore.Event{event}
		}, "payment o2 is answered again"},
		"an answer in an account's stream": {func(event eventstore.Event) []eventstore.Event {
			if e, ok := event.(Opened); ok {
				return []eventstore.Event{e, PaymentAccepted{}}
			}
			return []eventstore.Event{event}
		}, `"answer.accepted" is not an account's event`},
	} {
		t.Run(name, func(t *testing.T) {
			forged := tamper(t, good, func(_ eventstore.StreamID, events []eventstore.Event) (changed []eventstore.Event) {
				for _, event := range events {
					changed = append(changed, c.change(event)...)
				}
				return changed
			})
			wrong, output := auditOf(t, forged, syntheticLedger)
			require.Positive(t, wrong)
			require.Contains(t, output, c.says)
		})
	}
	_, output := auditOf(t, tamper(t, good, func(_ eventstore.StreamID, events []eventstore.Event) []eventstore.Event { return events }), syntheticLedger)
	require.Contains(t, output, "audit: 0 rows agree, 0 listed, 301 wrong\n", "only the ledger is missing")
}
