package main

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/aggregatetest"
	"github.com/runnel-go/runnel/examples/bank/ledger"
	"github.com/runnel-go/runnel/examples/bank/money"
)

type accountCommand = aggregate.Command[Account, Event]

// anyCommand draws commands on both sides of every rule.
func anyCommand() *rapid.Generator[accountCommand] {
	order := rapid.SampledFrom([]string{"a", "b", ""})
	owner := rapid.SampledFrom([]string{"Anna", ""})
	row := rapid.Int64Range(0, 3)
	amount := rapid.Map(rapid.Int64Range(-2, 9), func(n int64) money.Amount { return money.Amount(n) })
	return rapid.Custom(func(t *rapid.T) accountCommand {
		amount, after := amount.Draw(t, "amount"), row.Draw(t, "after")
		return rapid.SampledFrom([]accountCommand{
			Open{Owner: owner.Draw(t, "owner"), Overdraft: amount},
			Deposit{Amount: amount},
			Withdraw{Amount: amount},
			TransferOut{To: "b", Amount: amount},
			TransferIn{From: "b", Amount: amount},
			BookRow{
				Booking: ledger.Booking{Row: ledger.Row{ID: after + 1, Debit: rapid.Bool().Draw(t, "debit"), Amount: amount}},
				After:   after,
			},
			Reserve{Order: order.Draw(t, "order"), To: "YZ/1", Amount: amount},
			Confirm{Order: order.Draw(t, "confirmed")},
			Release{Order: order.Draw(t, "released")},
		}).Draw(t, "command")
	})
}

func withinItsLimit(_ []Event, a Account) error {
	if a.Balance < -a.Overdraft {
		return fmt.Errorf("the balance is %s, the limit %s", a.Balance, -a.Overdraft)
	}
	return nil
}

func openedOnce(events []Event, _ Account) error {
	for i, event := range events {
		if _, opened := event.(Opened); opened != (i == 0) {
			return fmt.Errorf("event %d of the account is %s", i+1, event.EventType())
		}
	}
	return nil
}

func onlyGainsByWhatComesIn(events []Event, a Account) error {
	var sum money.Amount
	for _, event := range events {
		entry := entryOf(event, "", 0)
		switch event.(type) {
		case Deposited, TransferredIn, Released:
			sum += entry.Amount
		case Withdrawn, TransferredOut, Reserved:
			sum -= entry.Amount
		case Rounded, Corrected:
			sum = entry.Balance
		}
		if _, opened := event.(Opened); !opened && entry.Amount <= 0 {
			return fmt.Errorf("%s moves %s", event.EventType(), entry.Amount)
		}
	}
	if a.Balance != sum {
		return fmt.Errorf("the balance is %s, what moved sums up to %s", a.Balance, sum)
	}
	return nil
}

func reservesOnceForAnOrder(events []Event, a Account) error {
	flight := make(map[string]money.Amount)
	for _, event := range events {
		entry := entryOf(event, "", 0)
		before, reserved := flight[entry.Order]
		switch event.(type) {
		case Reserved:
			if reserved {
				return fmt.Errorf("a second reservation for order %s", entry.Order)
			}
			flight[entry.Order] = entry.Amount
		case Confirmed, Released:
			if !reserved || entry.Amount != before {
				return fmt.Errorf("%s of %s for order %s, for which %s is reserved", event.EventType(), entry.Amount, entry.Order, before)
			}
			delete(flight, entry.Order)
		}
	}
	whole := a.Balance
	for _, amount := range flight {
		whole += amount
	}
	if len(flight) != len(a.Reservations) || whole != a.whole() {
		return fmt.Errorf("%s with %d reservations, of which the account knows %s and %d", whole, len(flight), a.whole(), len(a.Reservations))
	}
	return nil
}

func booksRowsInOrder(events []Event, _ Account) error {
	var last int64
	for _, event := range events {
		var row int64
		switch e := event.(type) {
		case Deposited:
			row = e.Row
		case Withdrawn:
			row = e.Row
		}
		if row != 0 && row <= last {
			return fmt.Errorf("row %d is booked after row %d", row, last)
		}
		last = max(last, row)
	}
	return nil
}

// The whole test of the domain, but for what commands there are and what must hold.
func TestAccountsKeepTheirRules(t *testing.T) {
	aggregatetest.Check(t, Account{}, Events, anyCommand(), nil,
		withinItsLimit, openedOnce, onlyGainsByWhatComesIn, reservesOnceForAnOrder, booksRowsInOrder)
}

// planted is a command with another rule than its own.
type planted struct {
	Command accountCommand
	rule    func(a Account) ([]Event, error)
}

func (p planted) Decide(a Account) ([]Event, error) { return p.rule(a) }

// TestWrongRulesAreFound plants mistakes in the rules. Each must be found, and shown by four commands at most.
func TestWrongRulesAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("a short search finds too little")
	}
	for name, wrong := range map[string]func(c accountCommand, a Account) ([]Event, error){
		"the limit is one off": func(c accountCommand, a Account) ([]Event, error) {
			if _, withdraws := c.(Withdraw); withdraws {
				a.Overdraft++
			}
			return c.Decide(a)
		},
		"an account is opened again": func(c accountCommand, a Account) ([]Event, error) {
			if _, opens := c.(Open); opens {
				a = Account{}
			}
			return c.Decide(a)
		},
		"negative amounts are deposited": func(c accountCommand, a Account) ([]Event, error) {
			if d, deposits := c.(Deposit); deposits && a.Open {
				return []Event{Deposited{Amount: d.Amount, Balance: a.Balance + d.Amount}}, nil
			}
			return c.Decide(a)
		},
		"an order reserves again": func(c accountCommand, a Account) ([]Event, error) {
			if _, reserves := c.(Reserve); reserves {
				a.Reservations = nil
			}
			return c.Decide(a)
		},
		"what is paid comes back too": func(c accountCommand, a Account) ([]Event, error) {
			if p, confirms := c.(Confirm); confirms {
				r, _ := a.reserved(p.Order)
				a.Balance += r.Amount
			}
			return c.Decide(a)
		},
		"a row is booked again": func(c accountCommand, a Account) ([]Event, error) {
			if b, books := c.(BookRow); books {
				a.Row = b.After
			}
			return c.Decide(a)
		},
	} {
		t.Run(name, func(t *testing.T) {
			commands := rapid.Map(anyCommand(), func(c accountCommand) accountCommand {
				return planted{Command: c, rule: func(a Account) ([]Event, error) { return wrong(c, a) }}
			})
			found := aggregatetest.Search(t, Account{}, Events, commands, nil,
				withinItsLimit, openedOnce, onlyGainsByWhatComesIn, reservesOnceForAnOrder, booksRowsInOrder)
			require.NotNil(t, found)
			t.Log(found)
			require.LessOrEqual(t, len(found.Commands), 4)
		})
	}
}
