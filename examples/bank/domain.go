package main

import (
	"cmp"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/runnel-go/runnel/examples/bank/ledger"
	"github.com/runnel-go/runnel/examples/bank/money"
)

// Account is the state of an account: what commands need in order to decide. It is plain data.
type Account struct {
	Open         bool
	Owner        string
	Overdraft    money.Amount
	Balance      money.Amount
	Since        string        // the date it was opened
	Row          int64         // the last booked row of the ledger, or 0
	Reservations []Reservation // that are in flight, oldest first
}

// Evolve folds an event into the state. It does not check events, because they have happened.
func (a Account) Evolve(event Event) Account {
	switch e := event.(type) {
	case Opened:
		return Account{Open: true, Owner: e.Owner, Overdraft: e.Overdraft, Since: e.Date}
	case Deposited:
		a.Balance, a.Row = e.Balance, cmp.Or(e.Row, a.Row)
	case Withdrawn:
		a.Balance, a.Row = e.Balance, cmp.Or(e.Row, a.Row)
	case TransferredOut:
		a.Balance = e.Balance
	case TransferredIn:
		a.Balance = e.Balance
	case Rounded:
		a.Balance = e.Balance
	case Corrected:
		a.Balance = e.Balance
	case Reserved:
		a.Balance, a.Reservations = e.Balance, append(slices.Clip(a.Reservations), Reservation{Order: e.Order, To: e.To, Amount: e.Amount})
	case Confirmed:
		a.Balance, a.Reservations = e.Balance, a.without(e.Order)
	case Released:
		a.Balance, a.Reservations = e.Balance, a.without(e.Order)
	}
	return a
}

// Open opens an account.
type Open struct {
	Owner     string
	Overdraft money.Amount
	Date      string `msgpack:"-"` // not compared for an idempotency key: a repeat may come after midnight
}

// Decide rejects with account-already-open, invalid-owner or negative-overdraft.
func (c Open) Decide(a Account) ([]Event, error) {
	switch {
	case a.Open:
		return nil, reject(RuleAlreadyOpen, "the account is open since %s", a.Since)
	case c.Owner == "" || !plain(c.Owner, maxOwner):
		return nil, reject(RuleInvalidOwner, "the owner must have 1 to %d characters, none of them a control character", maxOwner)
	case c.Overdraft < 0:
		return nil, reject(RuleNegativeOverdraft, "the overdraft limit is %s, it must be 0.00 or more", c.Overdraft)
	}
	return []Event{Opened(c)}, nil
}

// Deposit pays cash in.
type Deposit struct {
	Amount money.Amount
	Text   string
	Date   string `msgpack:"-"` // see Open
}

// Decide rejects as credit does.
func (c Deposit) Decide(a Account) ([]Event, error) {
	balance, err := a.credit(c.Amount, c.Text)
	if err != nil {
		return nil, err
	}
	return []Event{Deposited{Amount: c.Amount, Balance: balance, Date: c.Date, Text: c.Text}}, nil
}

// Withdraw takes cash out.
type Withdraw struct {
	Amount money.Amount
	Text   string
	Date   string `msgpack:"-"` // see Open
}

// Decide rejects as debit does.
func (c Withdraw) Decide(a Account) ([]Event, error) {
	balance, err := a.debit(c.Amount, c.Text)
	if err != nil {
		return nil, err
	}
	return []Event{Withdrawn{Amount: c.Amount, Balance: balance, Date: c.Date, Text: c.Text}}, nil
}

// TransferOut is the paying account's part in a transfer.
type TransferOut struct {
	To     string
	Amount money.Amount
	Text   string
	Date   string `msgpack:"-"` // see Open
}

// Decide rejects as debit does.
func (c TransferOut) Decide(a Account) ([]Event, error) {
	balance, err := a.debit(c.Amount, c.Text)
	if err != nil {
		return nil, err
	}
	return []Event{TransferredOut{To: c.To, Amount: c.Amount, Balance: balance, Date: c.Date, Text: c.Text}}, nil
}

// TransferIn is the receiving account's part in a transfer.
type TransferIn struct {
	From   string
	Amount money.Amount
	Text   string
	Date   string `msgpack:"-"` // see Open
}

// Decide rejects as credit does.
func (c TransferIn) Decide(a Account) ([]Event, error) {
	balance, err := a.credit(c.Amount, c.Text)
	if err != nil {
		return nil, err
	}
	return []Event{TransferredIn{From: c.From, Amount: c.Amount, Balance: balance, Date: c.Date, Text: c.Text}}, nil
}

// BookRow books a row of the ledger as a deposit or a withdrawal, under the same rules. The same commit holds the
// difference to the balance of the old bank, if there is one.
type BookRow struct {
	Booking ledger.Booking
	After   int64 // the row that must have been booked last, or 0
}

// Decide rejects with row-out-of-order, and as credit and debit do.
func (c BookRow) Decide(a Account) ([]Event, error) {
	if a.Open && a.Row != c.After {
		return nil, reject(RuleRowOutOfOrder, "row %d of the ledger follows row %d, but row %d was booked last", c.Booking.ID, c.After, a.Row)
	}
	booked, err := c.movement(a)
	if err != nil {
		return nil, err
	}
	b := c.Booking
	switch b.Fit {
	case ledger.Rounding:
		return []Event{booked, Rounded{Amount: b.Difference, Balance: b.Balance, Date: b.Date}}, nil
	case ledger.Discrepancy:
		return []Event{booked, Corrected{Amount: b.Difference, Balance: b.Balance, Date: b.Date}}, nil
	default:
		return []Event{booked}, nil
	}
}

func (c BookRow) movement(a Account) (Event, error) {
	b, text := c.Booking, c.Booking.Description()
	if b.Debit {
		balance, err := a.debit(b.Amount, text)
		return Withdrawn{Amount: b.Amount, Balance: balance, Date: b.Date, Text: text, Row: b.ID}, err
	}
	balance, err := a.credit(b.Amount, text)
	return Deposited{Amount: b.Amount, Balance: balance, Date: b.Date, Text: text, Row: b.ID}, err
}

// credit returns the balance after an amount came in. It rejects with account-not-open, amount-not-positive,
// invalid-text or balance-out-of-range.
func (a Account) credit(amount money.Amount, text string) (money.Amount, error) {
	if err := a.checkBooking(amount, text); err != nil {
		return 0, err
	}
	if _, ok := a.whole().Add(amount); !ok {
		return 0, reject(RuleOutOfRange, "the balance would be too large to be held")
	}
	return a.Balance + amount, nil
}

// debit returns the balance after an amount went out. It rejects as credit does, and with insufficient-funds.
func (a Account) debit(amount money.Amount, text string) (money.Amount, error) {
	if err := a.checkBooking(amount, text); err != nil {
		return 0, err
	}
	balance, ok := a.Balance.Sub(amount)
	if !ok || balance < -a.Overdraft {
		return 0, reject(RuleInsufficientFunds, "the balance is %s and may go down to %s: %s is more than that allows",
			a.Balance, -a.Overdraft, amount)
	}
	return balance, nil
}

func (a Account) checkBooking(amount money.Amount, text string) error {
	switch {
	case !a.Open:
		return reject(RuleNotOpen, "the account is not open")
	case amount <= 0:
		return reject(RuleNotPositive, "the amount is %s, it must be above zero", amount)
	case !plain(text, maxText):
		return reject(RuleInvalidText, "the text must have at most %d characters, none of them a control character", maxText)
	}
	return nil
}

// How many characters free texts may have. The limits keep commits small and pages readable.
const (
	maxOwner = 100
	maxText  = 140
)

func plain(s string, most int) bool {
	if !utf8.ValidString(s) || utf8.RuneCountInString(s) > most {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return false
		}
	}
	return true
}
