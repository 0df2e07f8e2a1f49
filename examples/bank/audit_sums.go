package main

import (
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
)

// sums are the sums over all accounts up to a position of the log. No money appears or disappears if
//
//	accounts + in transit + in flight + paid = opening balances + deposits - withdrawals + roundings + corrections
//
// holds at every position. Every account opens with a balance of zero. The first sum comes from the balances in the
// events, all other sums from the amounts. So the two sides are independent of each other.
type sums struct {
	accounts money.Amount
	transit  money.Amount // out of one account and not yet in the other; zero outside of transactions
	flight   money.Amount // reserved, and neither confirmed nor released
	paid     money.Amount // confirmed

	deposits, withdrawals, roundings, corrections money.Amount

	positions int
	last      eventstore.Position // the last position that was counted
	off       money.Amount        // the last difference between the two sides
}

// add takes an event, and by how much the balance in the event differs from the balance before it.
func (s *sums) add(event Event, told money.Amount) {
	s.accounts += told
	switch e := event.(type) {
	case Deposited:
		s.deposits += e.Amount
	case Withdrawn:
		s.withdrawals += e.Amount
	case TransferredOut:
		s.transit += e.Amount
	case TransferredIn:
		s.transit -= e.Amount
	case Reserved:
		s.flight += e.Amount
	case Confirmed:
		s.flight -= e.Amount
		s.paid += e.Amount
	case Released:
		s.flight -= e.Amount
	case Rounded:
		s.roundings += e.Amount
	case Corrected:
		s.corrections += e.Amount
	}
}

// check reports if the two sides are not equal, once for each difference.
func (s *sums) check(a *audit, r eventstore.Recorded) {
	if r.Position != s.last {
		s.positions, s.last = s.positions+1, r.Position
	}
	off := s.accounts + s.transit + s.flight + s.paid - (s.deposits - s.withdrawals + s.roundings + s.corrections)
	if off != s.off {
		a.found("at position %d the sums are off by %s: %s", r.Position, off, s)
	}
	s.off = off
}

// say prints the sums at the end of the log.
func (s *sums) say(a *audit) {
	a.say("sums at each of %d positions, at last: %s", s.positions, s)
}

func (s *sums) String() string {
	return fmt.Sprintf("accounts %s + in transit %s + in flight %s + paid to other banks %s = "+
		"opening balances %s + deposits %s - withdrawals %s + roundings %s + corrections %s",
		s.accounts, s.transit, s.flight, s.paid, money.Amount(0), s.deposits, s.withdrawals, s.roundings, s.corrections)
}

// reserve notes what an account has in flight for an order. It returns what is wrong, or "".
func (c *audited) reserve(e Reserved) (fault string) {
	if amount, again := c.flight[e.Order]; again {
		return fmt.Sprintf("%s is reserved for order %s, which has %s in flight", e.Amount, e.Order, amount)
	}
	if c.flight == nil {
		c.flight = make(map[string]money.Amount)
	}
	c.flight[e.Order] = e.Amount
	return ""
}

// settle removes what an account has in flight for an order. It returns what is wrong, or "".
func (c *audited) settle(order string, amount money.Amount) (fault string) {
	reserved, ok := c.flight[order]
	delete(c.flight, order)
	switch {
	case !ok:
		return fmt.Sprintf("%s of order %s ends a reservation that does not exist", amount, order)
	case reserved != amount:
		return fmt.Sprintf("%s of order %s ends a reservation of %s", amount, order, reserved)
	}
	return ""
}

// answered takes the answer of another bank. It moves no money, and a payment has only one answer.
func (a *audit) answered(r eventstore.Recorded) {
	if r.Version() != 1 {
		a.found("payment %s is answered again at position %d", r.Stream.ID, r.Position)
	}
}
