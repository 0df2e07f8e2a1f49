package main

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
	"github.com/runnel-go/runnel/projection"
)

// Balance is the document of an account in the view "balances", under the account's id.
type Balance struct {
	ID        string             `json:"id"`
	Owner     string             `json:"owner"`
	Balance   money.Amount       `json:"balance"`
	Overdraft money.Amount       `json:"overdraft"`
	Since     string             `json:"since"`
	Version   eventstore.Version `json:"version"` // of the account, so also the number of its entries
}

// Entry is one line of a statement: the document of an event in the view "statements", under account.version. One
// document per line keeps a booking's cost the same however long the statement is.
type Entry struct {
	Account string             `json:"account"`
	Version eventstore.Version `json:"version"`
	Kind    string             `json:"kind"`   // the event's type without "account."
	Amount  money.Amount       `json:"amount"` // as in the event; a withdrawal's is above zero too
	Balance money.Amount       `json:"balance"`
	Date    string             `json:"date"`
	Text    string             `json:"text,omitempty"`
	Other   string             `json:"other,omitempty"` // the other account of a transfer
}

// entryKey is where the entry of an account's version is found. Account ids have no dots.
func entryKey(account string, version eventstore.Version) string {
	return account + "." + strconv.FormatUint(uint64(version), 10)
}

// entryOf gives the line that an event is on its account's statement.
func entryOf(event Event, account string, version eventstore.Version) Entry {
	entry := Entry{Account: account, Version: version, Kind: strings.TrimPrefix(event.EventType(), "account.")}
	switch e := event.(type) {
	case Opened:
		entry.Date, entry.Text = e.Date, e.Owner
	case Deposited:
		entry.Amount, entry.Balance, entry.Date, entry.Text = e.Amount, e.Balance, e.Date, e.Text
	case Withdrawn:
		entry.Amount, entry.Balance, entry.Date, entry.Text = e.Amount, e.Balance, e.Date, e.Text
	case TransferredOut:
		entry.Amount, entry.Balance, entry.Date, entry.Text, entry.Other = e.Amount, e.Balance, e.Date, e.Text, e.To
	case TransferredIn:
		entry.Amount, entry.Balance, entry.Date, entry.Text, entry.Other = e.Amount, e.Balance, e.Date, e.Text, e.From
	case Rounded:
		entry.Amount, entry.Balance, entry.Date = e.Amount, e.Balance, e.Date
	case Corrected:
		entry.Amount, entry.Balance, entry.Date = e.Amount, e.Balance, e.Date
	}
	return entry
}

// after gives the balance once an event has happened.
func (b Balance) after(event Event, account string, version eventstore.Version) Balance {
	if opened, ok := event.(Opened); ok {
		b = Balance{ID: account, Owner: opened.Owner, Overdraft: opened.Overdraft, Since: opened.Date}
	}
	b.Balance, b.Version = entryOf(event, account, version).Balance, version
	return b
}

// Views are the bank's read models.
type Views struct {
	Balances   *projection.View[Balance]
	Statements *projection.View[Entry]
}

// The fold versions of the views. Raise one when its rules or its documents change.
const (
	balancesVersion   = 1
	statementsVersion = 1
)

// openViews makes the views, or says why not. Nothing is left open then.
func openViews(ctx context.Context, store *eventstore.Store) (*Views, error) {
	balances, err := projection.NewView(ctx, store, "balances", balancesVersion, nil,
		balanceRule[Opened](), balanceRule[Deposited](), balanceRule[Withdrawn](),
		balanceRule[TransferredOut](), balanceRule[TransferredIn](), balanceRule[Rounded](), balanceRule[Corrected]())
	if err != nil {
		return nil, err
	}
	statements, err := projection.NewView(ctx, store, "statements", statementsVersion, nil,
		entryRule[Opened](), entryRule[Deposited](), entryRule[Withdrawn](),
		entryRule[TransferredOut](), entryRule[TransferredIn](), entryRule[Rounded](), entryRule[Corrected]())
	if err != nil {
		return nil, errors.Join(err, balances.Close())
	}
	return &Views{Balances: balances, Statements: statements}, nil
}

func balanceRule[E Event]() projection.Rule[Balance] {
	return projection.OnRecorded(func(b Balance, e E, r eventstore.Recorded) Balance {
		return b.after(e, r.Stream.ID, r.Version())
	})
}

func entryRule[E Event]() projection.Rule[Entry] {
	return projection.OnRecorded(func(_ Entry, e E, r eventstore.Recorded) Entry {
		return entryOf(e, r.Stream.ID, r.Version())
	}).ByRecorded(func(_ E, r eventstore.Recorded) string {
		return entryKey(r.Stream.ID, r.Version())
	})
}

// WaitFor blocks until both views have folded the log up to a position, or ctx ends.
func (v *Views) WaitFor(ctx context.Context, position eventstore.Position) error {
	if err := v.Balances.WaitFor(ctx, position); err != nil {
		return err
	}
	return v.Statements.WaitFor(ctx, position)
}

// Close gives back what the views hold.
func (v *Views) Close() error { return errors.Join(v.Balances.Close(), v.Statements.Close()) }
