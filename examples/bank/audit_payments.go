package main

import (
	"maps"
	"slices"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/saga"
)

// paymentEnd is how a payment ended by its own history, and what the accounts know about it.
type paymentEnd struct {
	state   saga.State // "" if it has not ended
	started bool
	paid    int // how often it was confirmed
	flight  bool
}

// payment takes an event of a payment's history.
func (a *audit) payment(event eventstore.Event, r eventstore.Recorded) {
	end := a.payments[r.Stream.ID]
	if end.state != "" {
		a.found("payment %s goes on at position %d after it has ended", r.Stream.ID, r.Position)
	}
	end.started = true
	switch event.(type) {
	case saga.Completed:
		end.state = saga.StateCompleted
	case saga.Compensated:
		end.state = saga.StateCompensated
	case saga.Resolved:
		end.state = saga.StateResolved
	}
	a.payments[r.Stream.ID] = end
}

// comparePayments reports payments whose history and accounts disagree. It does not judge payments that a person has
// resolved.
func (a *audit) comparePayments() {
	for _, account := range a.accounts {
		for _, order := range account.paid {
			end := a.payments[order]
			end.paid++
			a.payments[order] = end
		}
		for order := range account.flight {
			end := a.payments[order]
			end.flight = true
			a.payments[order] = end
		}
	}
	ends := make(map[saga.State]int)
	for _, id := range slices.Sorted(maps.Keys(a.payments)) {
		end := a.payments[id]
		if !end.started {
			continue // an order without a payment
		}
		ends[end.state]++
		switch {
		case end.paid > 1:
			a.found("payment %s is confirmed %d times", id, end.paid)
		case end.state == saga.StateCompleted && (end.paid == 0 || end.flight):
			a.found("payment %s is completed, but its money was not paid", id)
		case end.state == saga.StateCompensated && (end.paid > 0 || end.flight):
			a.found("payment %s is compensated, but its money did not come back", id)
		}
	}
	a.say("payments: %d paid, %d given back, %d resolved, %d open",
		ends[saga.StateCompleted], ends[saga.StateCompensated], ends[saga.StateResolved], ends[""])
}
