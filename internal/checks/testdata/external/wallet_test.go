// Package wallet is a program of somebody else's, tested with the kits.
package wallet

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/aggregatetest"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
	"github.com/runnel-go/runnel/projectiontest"
)

// Earned and Spent are the events of a wallet, whose state is what it holds.
type (
	Event  interface{ eventstore.Event }
	Earned struct{ Amount int64 }
	Spent  struct{ Amount int64 }
	Wallet struct{ Held int64 }
)

func (Earned) EventType() string { return "wallet.earned" }
func (Spent) EventType() string  { return "wallet.spent" }

// Evolve folds an event.
func (w Wallet) Evolve(e Event) Wallet {
	switch e := e.(type) {
	case Earned:
		w.Held += e.Amount
	case Spent:
		w.Held -= e.Amount
	}
	return w
}

// Earn and Spend are the commands.
type (
	Earn  struct{ Amount int64 }
	Spend struct{ Amount int64 }
)

var errFunds = errors.New("not enough")

// Decide takes what comes.
func (c Earn) Decide(Wallet) ([]Event, error) { return []Event{Earned(c)}, nil }

// Decide rejects what is more than there is.
func (c Spend) Decide(w Wallet) ([]Event, error) {
	if c.Amount > w.Held {
		return nil, errFunds
	}
	return []Event{Spent(c)}, nil
}

func events() []eventstore.Event { return []eventstore.Event{Earned{}, Spent{}} }

func neverInDebt(_ []Event, w Wallet) error {
	if w.Held < 0 {
		return errFunds
	}
	return nil
}

func TestWallets(t *testing.T) {
	aggregatetest.For(t, Wallet{}).Given(Earned{5}).When(Spend{6}).ThenError(errFunds)
	commands := rapid.Map(rapid.Int64Range(-9, 9), func(n int64) aggregate.Command[Wallet, Event] {
		if n < 0 {
			return Spend{-n}
		}
		return Earn{n}
	})
	aggregatetest.Check(t, Wallet{}, events(), commands, nil, neverInDebt)
}

func TestViews(t *testing.T) {
	rule := projection.On(func(total int64, e Earned) int64 { return total + e.Amount })
	projectiontest.For(t, events(), rule).Given("wallet/1", Earned{2}, Earned{3}).ThenDocument("1", 5)
	projectiontest.Check(t, events(), rapid.SliceOfN(rapid.Map(rapid.Int64Range(0, 3), func(n int64) projectiontest.Commit {
		return projectiontest.Commit{Stream: "wallet/1", Events: []eventstore.Event{Earned{n}}}
	}), 1, 4), nil, rule)
}

func TestServers(t *testing.T) {
	eventstoretest.Bubble(t, func(t *testing.T) {
		js := eventstoretest.JetStream(t)
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"}); err != nil {
			t.Fatal(err)
		}
	})
}
