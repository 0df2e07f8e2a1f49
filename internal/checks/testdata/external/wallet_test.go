// Package wallet is a program of somebody else's, tested with the kits.
package wallet

import (
	"context"
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
	"github.com/runnel-go/runnel/saga"
	"github.com/runnel-go/runnel/sagatest"
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

// Loan is the data of a saga: a wallet is given something, and asked for it again where its lender does not agree.
type Loan struct{ Wallet string }

func TestSagas(t *testing.T) {
	for _, agreed := range []bool{true, false} {
		sagatest.Crash(t, events(), func(t testing.TB, outside *eventstore.Store) sagatest.Play[Loan] {
			return sagatest.Play[Loan]{
				ID: "1", Data: Loan{Wallet: "a"},
				Define: func(store *eventstore.Store) (*saga.Definition[Loan], error) { return lend(store, agreed) },
				Check: func(t testing.TB, in saga.Instance[Loan]) {
					want := int64(0)
					if agreed {
						want = 5
					}
					wallets, err := aggregate.New(outside, "wallet", Wallet{}, nil)
					if err != nil {
						t.Fatal(err)
					}
					if a, err := wallets.Load(t.Context(), "a"); err != nil || a.State.Held != want {
						t.Errorf("the wallet holds %d, not %d: %v\n%s", a.State.Held, want, err, sagatest.Story(in))
					}
				},
			}
		})
	}
}

func lend(store *eventstore.Store, agreed bool) (*saga.Definition[Loan], error) {
	wallets, err := aggregate.New(store, "wallet", Wallet{}, nil)
	if err != nil {
		return nil, err
	}
	on := func(command aggregate.Command[Wallet, Event]) saga.Action[Loan] {
		return func(ctx context.Context, call saga.Call, l Loan) (Loan, error) {
			_, err := wallets.Do(ctx, l.Wallet, command, call.Once())
			return l, err
		}
	}
	return saga.Define("loan",
		saga.Step("give", on(Earn{5})).Undo(on(Spend{5})),
		saga.Step("agree", func(_ context.Context, _ saga.Call, l Loan) (Loan, error) {
			if !agreed {
				return l, saga.Permanent(errFunds)
			}
			return l, nil
		}).NoUndo(),
	)
}

func TestServers(t *testing.T) {
	eventstoretest.Bubble(t, func(t *testing.T) {
		js := eventstoretest.JetStream(t)
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"}); err != nil {
			t.Fatal(err)
		}
	})
}
