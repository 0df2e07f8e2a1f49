package main

import (
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
)

// Event is something that happened to an account. Only the types in this file implement it.
//
// Each event carries the balance after it and the date of the booking ("2026-01-31"), since both are facts of the
// business: the date is not when the event was stored, and the balance is what the customer was told.
type Event interface {
	eventstore.Event
	account()
}

// Events are the prototypes that the store is opened with.
var Events = []eventstore.Event{
	Opened{}, Deposited{}, Withdrawn{}, TransferredOut{}, TransferredIn{}, Rounded{}, Corrected{},
	Reserved{}, Confirmed{}, Released{}, PaymentAccepted{}, PaymentRefused{},
}

// Opened is the first event of every account.
type Opened struct {
	Owner     string
	Overdraft money.Amount // how far below zero the balance may go, 0 or more
	Date      string
}

// Deposited is money that came in.
type Deposited struct {
	Amount  money.Amount
	Balance money.Amount
	Date    string
	Text    string
	Row     int64 // of the ledger it was imported from, else 0
}

// Withdrawn is money that went out.
type Withdrawn struct {
	Amount  money.Amount
	Balance money.Amount
	Date    string
	Text    string
	Row     int64 // of the ledger it was imported from, else 0
}

// TransferredOut is money that went to another account of this bank, in one transaction with its TransferredIn.
type TransferredOut struct {
	To      string
	Amount  money.Amount
	Balance money.Amount
	Date    string
	Text    string
}

// TransferredIn is money that came from another account of this bank.
type TransferredIn struct {
	From    string
	Amount  money.Amount
	Balance money.Amount
	Date    string
	Text    string
}

// Rounded is by how much the old bank rounded the balance at a booking. It stands in that booking's commit.
type Rounded struct {
	Amount  money.Amount // above or below zero
	Balance money.Amount
	Date    string
}

// Corrected is by how much the old bank's balance was off what its own bookings gave. It stands in a booking's commit.
type Corrected struct {
	Amount  money.Amount // above or below zero
	Balance money.Amount
	Date    string
}

// Reserved is money that was set aside for an order to pay another bank. It left the balance, and is in flight until the
// order's Confirmed or Released.
type Reserved struct {
	Order   string
	To      string // the other bank and account, "YZ/62457513"
	Amount  money.Amount
	Balance money.Amount
	Date    string
	Text    string
}

// Confirmed says that what was reserved for an order has been paid to the other bank. The balance stays.
type Confirmed struct {
	Order   string
	To      string
	Amount  money.Amount
	Balance money.Amount
	Date    string
}

// Released says that what was reserved for an order is back in the balance.
type Released struct {
	Order   string
	To      string
	Amount  money.Amount
	Balance money.Amount
	Date    string
}

// The names of the events in the log. They stay, whatever becomes of the Go types.

// EventType is the event's name in the log.
func (Opened) EventType() string { return "account.opened" }

// EventType is the event's name in the log.
func (Deposited) EventType() string { return "account.deposited" }

// EventType is the event's name in the log.
func (Withdrawn) EventType() string { return "account.withdrawn" }

// EventType is the event's name in the log.
func (TransferredOut) EventType() string { return "account.transferred-out" }

// EventType is the event's name in the log.
func (TransferredIn) EventType() string { return "account.transferred-in" }

// EventType is the event's name in the log.
func (Rounded) EventType() string { return "account.rounded" }

// EventType is the event's name in the log.
func (Corrected) EventType() string { return "account.corrected" }

// EventType is the event's name in the log.
func (Reserved) EventType() string { return "account.reserved" }

// EventType is the event's name in the log.
func (Confirmed) EventType() string { return "account.confirmed" }

// EventType is the event's name in the log.
func (Released) EventType() string { return "account.released" }

func (Opened) account()         {}
func (Deposited) account()      {}
func (Withdrawn) account()      {}
func (TransferredOut) account() {}
func (TransferredIn) account()  {}
func (Rounded) account()        {}
func (Corrected) account()      {}
func (Reserved) account()       {}
func (Confirmed) account()      {}
func (Released) account()       {}
