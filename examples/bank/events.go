package main

import (
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
)

// Event is something that happened to an account. Only the types in this file implement it.
//
// Each event holds the balance after it and the date of the booking ("2026-01-31"), because both are facts of the
// business. The date may differ from the time at which the event was stored. The balance is the one that the customer
// was shown.
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

// Rounded is the amount by which the old bank rounded the balance at a booking. It stands in the commit of that
// booking.
type Rounded struct {
	Amount  money.Amount // above or below zero
	Balance money.Amount
	Date    string
}

// Corrected is the difference between the old bank's balance and the sum of its bookings. It stands in the commit of
// a booking.
type Corrected struct {
	Amount  money.Amount // above or below zero
	Balance money.Amount
	Date    string
}

// Reserved is money that was set aside to pay another bank for an order. It has left the balance and is in flight
// until the Confirmed or the Released of the order.
type Reserved struct {
	Order   string
	To      string // the other bank and account, "YZ/62457513"
	Amount  money.Amount
	Balance money.Amount
	Date    string
	Text    string
}

// Confirmed says that the money of an order was paid to the other bank. The balance stays the same.
type Confirmed struct {
	Order   string
	To      string
	Amount  money.Amount
	Balance money.Amount
	Date    string
}

// Released says that the money of an order is back in the balance.
type Released struct {
	Order   string
	To      string
	Amount  money.Amount
	Balance money.Amount
	Date    string
}

// The names of the events in the log. They stay the same if the Go types are renamed.

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
