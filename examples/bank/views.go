package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

// Balance is the document of an account in the view "balances". Its key is the id of the account.
type Balance struct {
	ID        string             `json:"id"`
	Owner     string             `json:"owner"`
	Balance   money.Amount       `json:"balance"`
	Overdraft money.Amount       `json:"overdraft"`
	Reserved  money.Amount       `json:"reserved,omitzero"` // in flight to other banks, and not part of the balance
	Since     string             `json:"since"`
	Version   eventstore.Version `json:"version"` // of the account
}

// Entry is one line of a statement: the document of an event in the view "statements". Its key is account.version.
// With a document for each line, a booking costs the same however long the statement is.
type Entry struct {
	Account string             `json:"account"`
	Version eventstore.Version `json:"version"`
	Kind    string             `json:"kind"`   // the event's type without "account."
	Amount  money.Amount       `json:"amount"` // as in the event: above zero for a withdrawal, too
	Balance money.Amount       `json:"balance"`
	Date    string             `json:"date"`
	Text    string             `json:"text,omitempty"`
	Other   string             `json:"other,omitempty"` // the other account, here or at another bank
	Order   string             `json:"order,omitempty"` // if the entry is about an order
}

// entryKey returns the key of the entry for an account's version. Ids of accounts have no dots.
func entryKey(account string, version eventstore.Version) string {
	return account + "." + strconv.FormatUint(uint64(version), 10)
}

// entryOf returns the line on its account's statement for an event.
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
	case Reserved:
		entry.Amount, entry.Balance, entry.Date, entry.Text, entry.Other, entry.Order = e.Amount, e.Balance, e.Date, e.Text, e.To, e.Order
	case Confirmed:
		entry.Amount, entry.Balance, entry.Date, entry.Other, entry.Order = e.Amount, e.Balance, e.Date, e.To, e.Order
	case Released:
		entry.Amount, entry.Balance, entry.Date, entry.Other, entry.Order = e.Amount, e.Balance, e.Date, e.To, e.Order
	}
	return entry
}

// after returns the balance after an event.
func (b Balance) after(event Event, account string, version eventstore.Version) Balance {
	switch e := event.(type) {
	case Opened:
		b = Balance{ID: account, Owner: e.Owner, Overdraft: e.Overdraft, Since: e.Date}
	case Reserved:
		b.Reserved += e.Amount
	case Confirmed:
		b.Reserved -= e.Amount
	case Released:
		b.Reserved -= e.Amount
	}
	b.Balance, b.Version = entryOf(event, account, version).Balance, version
	return b
}

// closedKey returns the balance after an idempotency key was closed in the account's stream, as the undoing of a
// payment does. That moves no money, but it has a version, which If-Match is compared with.
func (b Balance) closedKey(version eventstore.Version) Balance {
	b.Version = version
	return b
}

// Turnover is what happened in one way on one day: the document of the view "turnover". Its key is day.kind.
type Turnover struct {
	Day    string       `json:"day"`
	Kind   string       `json:"kind"` // as in Entry
	Count  int64        `json:"count"`
	Amount money.Amount `json:"amount"`
}

// Views are the bank's read models.
type Views struct {
	Balances   *projection.View[Balance]
	Statements *projection.View[Entry]
	Turnover   *projection.View[Turnover]
}

// readModel is a view as operators use it, whatever its documents are.
type readModel interface {
	Name() string
	Buckets() []string
	Run(ctx context.Context) error
	WaitFor(ctx context.Context, position eventstore.Position) error
	Status(ctx context.Context) (projection.Status, error)
	Rebuild(ctx context.Context, report func(eventstore.Progress)) error
	Parked(ctx context.Context) iter.Seq2[kv.Entry[projection.Parked], error]
	Replay(ctx context.Context, keys ...string) error
	Discard(ctx context.Context, keys ...string) error
	Close() error
}

// all returns the views that are open.
func (v *Views) all() []readModel {
	var all []readModel
	if v.Balances != nil {
		all = append(all, v.Balances)
	}
	if v.Statements != nil {
		all = append(all, v.Statements)
	}
	if v.Turnover != nil {
		all = append(all, v.Turnover)
	}
	return all
}

// viewNames are the names of the views.
var viewNames = []string{"balances", "statements", "turnover"}

// named returns the view with a name.
func (v *Views) named(name string) (readModel, error) {
	for _, view := range v.all() {
		if view.Name() == name {
			return view, nil
		}
	}
	return nil, fmt.Errorf("there is no view %q: there are %s", name, strings.Join(viewNames, ", "))
}

// The fold versions of the views. Raise one when its rules or its documents change.
const (
	balancesVersion   = 2
	statementsVersion = 2
	turnoverVersion   = 2
)

// openViews opens the views. If it returns an error, it leaves none open.
func openViews(ctx context.Context, store *eventstore.Store) (_ *Views, err error) {
	// If an event cannot be folded, its account waits for a repair, and the other accounts go on.
	cfg := &projection.Config{Park: true}
	views := new(Views)
	defer func() {
		if err != nil {
			err = errors.Join(err, views.Close())
		}
	}()
	views.Balances, err = projection.Open(ctx, store, "balances", balancesVersion, cfg,
		balanceRule[Opened](), balanceRule[Deposited](), balanceRule[Withdrawn](),
		balanceRule[TransferredOut](), balanceRule[TransferredIn](), balanceRule[Rounded](), balanceRule[Corrected](),
		balanceRule[Reserved](), balanceRule[Confirmed](), balanceRule[Released](), closedKeyRule())
	if err != nil {
		return nil, err
	}
	views.Statements, err = projection.Open(ctx, store, "statements", statementsVersion, cfg,
		entryRule[Opened](), entryRule[Deposited](), entryRule[Withdrawn](),
		entryRule[TransferredOut](), entryRule[TransferredIn](), entryRule[Rounded](), entryRule[Corrected](),
		entryRule[Reserved](), entryRule[Confirmed](), entryRule[Released]())
	if err != nil {
		return nil, err
	}
	views.Turnover, err = projection.Open(ctx, store, "turnover", turnoverVersion, cfg,
		turnoverRule[Deposited](), turnoverRule[Withdrawn](), turnoverRule[TransferredOut](), turnoverRule[TransferredIn](),
		turnoverRule[Reserved](), turnoverRule[Confirmed](), turnoverRule[Released]())
	return views, err
}

func balanceRule[E Event]() projection.Rule[Balance] {
	return projection.OnRecorded(func(b Balance, e E, r eventstore.Recorded) Balance {
		return b.after(e, r.Stream.ID, r.Version())
	})
}

func closedKeyRule() projection.Rule[Balance] {
	return projection.OnRecorded(func(b Balance, _ eventstore.KeyClosed, r eventstore.Recorded) Balance {
		return b.closedKey(r.Version())
	}).ByRecorded(func(_ eventstore.KeyClosed, r eventstore.Recorded) string {
		if r.Stream.Category != category {
			return ""
		}
		return r.Stream.ID
	})
}

func entryRule[E Event]() projection.Rule[Entry] {
	return projection.OnRecorded(func(_ Entry, e E, r eventstore.Recorded) Entry {
		return entryOf(e, r.Stream.ID, r.Version())
	}).ByRecorded(func(_ E, r eventstore.Recorded) string {
		return entryKey(r.Stream.ID, r.Version())
	})
}

func turnoverRule[E Event]() projection.Rule[Turnover] {
	return projection.On(func(t Turnover, e E) Turnover {
		entry := entryOf(e, "", 0)
		return Turnover{Day: entry.Date, Kind: entry.Kind, Count: t.Count + 1, Amount: t.Amount + entry.Amount}
	}).By(func(e E) string {
		entry := entryOf(e, "", 0)
		return entry.Date + "." + entry.Kind
	})
}

// WaitFor blocks until all views have folded the log up to a position, or ctx ends.
func (v *Views) WaitFor(ctx context.Context, position eventstore.Position) error {
	for _, view := range v.all() {
		if err := view.WaitFor(ctx, position); err != nil {
			return err
		}
	}
	return nil
}

// Close closes the views.
func (v *Views) Close() error {
	var errs []error
	for _, view := range v.all() {
		errs = append(errs, view.Close())
	}
	return errors.Join(errs...)
}
