package main

import (
	"slices"

	"github.com/runnel-go/runnel/examples/bank/money"
)

// Reservation is money that left the balance for an order, and has neither been paid to the other bank nor come back.
type Reservation struct {
	Order  string
	To     string // the other bank and account, "YZ/62457513"
	Amount money.Amount
}

// Clone gives a copy that shares nothing. The cache of states wants it: see package aggregate.
func (a Account) Clone() Account {
	a.Reservations = slices.Clone(a.Reservations)
	return a
}

// whole is the balance if all that is in flight came back. It can always be held, since credit sees to it.
func (a Account) whole() money.Amount {
	sum := a.Balance
	for _, r := range a.Reservations {
		sum += r.Amount
	}
	return sum
}

// reserved gives what is reserved for an order, and whether there is anything.
func (a Account) reserved(order string) (Reservation, bool) {
	i := slices.IndexFunc(a.Reservations, func(r Reservation) bool { return r.Order == order })
	if i < 0 {
		return Reservation{}, false
	}
	return a.Reservations[i], true
}

// without gives the reservations that are left without an order's, nil for none.
func (a Account) without(order string) (left []Reservation) {
	for _, r := range a.Reservations {
		if r.Order != order {
			left = append(left, r)
		}
	}
	return left
}

// Reserve sets money aside for an order to pay another bank.
type Reserve struct {
	Order  string
	To     string
	Amount money.Amount
	Text   string
	Date   string `msgpack:"-"` // see Open
}

// Decide rejects as debit does, and with invalid-order, or with already-reserved while money is in flight under the order.
func (c Reserve) Decide(a Account) ([]Event, error) {
	balance, err := a.debit(c.Amount, c.Text)
	if err != nil {
		return nil, err
	}
	if c.Order == "" || !plain(c.Order, maxText) || !plain(c.To, maxText) {
		return nil, reject(RuleInvalidOrder, "the order and whom it pays must have at most %d characters, none of them a control character", maxText)
	}
	if r, again := a.reserved(c.Order); again {
		return nil, reject(RuleAlreadyReserved, "%s is reserved for order %s already", r.Amount, c.Order)
	}
	return []Event{Reserved{Order: c.Order, To: c.To, Amount: c.Amount, Balance: balance, Date: c.Date, Text: c.Text}}, nil
}

// Confirm says that the other bank has what was reserved for an order.
type Confirm struct {
	Order string
	Date  string `msgpack:"-"` // see Open
}

// Decide rejects with not-reserved.
func (c Confirm) Decide(a Account) ([]Event, error) {
	r, ok := a.reserved(c.Order)
	if !ok {
		return nil, reject(RuleNotReserved, "nothing is reserved for order %s", c.Order)
	}
	return []Event{Confirmed{Order: r.Order, To: r.To, Amount: r.Amount, Balance: a.Balance, Date: c.Date}}, nil
}

// Release gives back what was reserved for an order.
type Release struct {
	Order string
	Date  string `msgpack:"-"` // see Open
}

// Decide gives nothing where nothing is reserved: it undoes what it finds, and Reserve may never have happened. So it rejects
// nothing.
func (c Release) Decide(a Account) ([]Event, error) {
	r, ok := a.reserved(c.Order)
	if !ok {
		return nil, nil
	}
	return []Event{Released{Order: r.Order, To: r.To, Amount: r.Amount, Balance: a.Balance + r.Amount, Date: c.Date}}, nil
}
