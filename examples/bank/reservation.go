package main

import (
	"slices"

	"github.com/runnel-go/runnel/examples/bank/money"
)

// Reservation is money that has left the balance for an order, and was neither paid to the other bank nor given back.
type Reservation struct {
	Order  string
	To     string // the other bank and account, "YZ/62457513"
	Amount money.Amount
}

// Clone returns a copy that shares no memory. The cache of states needs it: see package aggregate.
func (a Account) Clone() Account {
	a.Reservations = slices.Clone(a.Reservations)
	return a
}

// whole returns the balance if everything in flight came back. The sum cannot overflow, because credit checks it.
func (a Account) whole() money.Amount {
	sum := a.Balance
	for _, r := range a.Reservations {
		sum += r.Amount
	}
	return sum
}

// reserved returns the reservation for an order, and false if there is none.
func (a Account) reserved(order string) (Reservation, bool) {
	i := slices.IndexFunc(a.Reservations, func(r Reservation) bool { return r.Order == order })
	if i < 0 {
		return Reservation{}, false
	}
	return a.Reservations[i], true
}

// without returns the reservations without the one for an order, or nil if none is left.
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

// Decide rejects as debit does, and with invalid-order. It rejects with already-reserved while money is in flight for
// the order.
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

// Confirm says that the other bank has paid the money of an order.
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

// Release puts the money of an order back into the balance.
type Release struct {
	Order string
	Date  string `msgpack:"-"` // see Open
}

// Decide rejects nothing. It returns no event if nothing is reserved, because Reserve may never have happened.
func (c Release) Decide(a Account) ([]Event, error) {
	r, ok := a.reserved(c.Order)
	if !ok {
		return nil, nil
	}
	return []Event{Released{Order: r.Order, To: r.To, Amount: r.Amount, Balance: a.Balance + r.Amount, Date: c.Date}}, nil
}
