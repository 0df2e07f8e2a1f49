package runnel_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
	"github.com/runnel-go/runnel/projection"
)

type Event interface { // the events of an account, and no others
	eventstore.Event
	account()
}
type Deposited struct{ Amount int64 }
type Withdrawn struct{ Amount int64 }

func (Deposited) EventType() string { return "account.deposited" }
func (Withdrawn) EventType() string { return "account.withdrawn" }
func (Deposited) account()          {}
func (Withdrawn) account()          {}

type Account struct{ Balance int64 }

func (a Account) Evolve(e Event) Account {
	switch e := e.(type) {
	case Deposited:
		a.Balance += e.Amount
	case Withdrawn:
		a.Balance -= e.Amount
	}
	return a
}

type Deposit struct{ Amount int64 }
type Withdraw struct{ Amount int64 }

var ErrFunds = errors.New("not enough funds")

func (c Deposit) Decide(Account) ([]Event, error) { return []Event{Deposited(c)}, nil }
func (c Withdraw) Decide(a Account) ([]Event, error) {
	if a.Balance < c.Amount {
		return nil, ErrFunds
	}
	return []Event{Withdrawn(c)}, nil
}

func bank(ctx context.Context, rt *natsrun.Runtime) error {
	store, err := eventstore.Open(ctx, rt.Commands(), "readme", []eventstore.Event{Deposited{}, Withdrawn{}}, nil)
	if err != nil {
		return err
	}
	accounts, err := aggregate.New(store, "account", Account{}, nil)
	if err != nil {
		return err
	}
	balances, err := projection.Open(ctx, store, "balances", 1, nil, // a durable read model in NATS KV
		projection.On(func(b int64, e Deposited) int64 { return b + e.Amount }),
		projection.On(func(b int64, e Withdrawn) int64 { return b - e.Amount }))
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	viewing := make(chan error, 1)
	go func() { viewing <- balances.Run(ctx) }()

	account, err := accounts.Do(ctx, "42", Deposit{100})
	if err != nil {
		return err
	}
	if _, err := accounts.Do(ctx, "42", Withdraw{account.State.Balance + 1}); !errors.Is(err, ErrFunds) {
		return fmt.Errorf("a withdrawal above the balance must be rejected: %w", err)
	}
	balance, err := balances.Get(ctx, "42", projection.At(account.Position)) // reads what was just written
	fmt.Println("balance", balance, "at version", account.Version)
	stop()
	return errors.Join(err, <-viewing)
}

func Example() {
	// A nil Config starts an embedded server, with its data in ./data; natsrun.FromEnv reads NATS_URL.
	if err := natsrun.Run(context.Background(), nil, bank); err != nil {
		fmt.Println(err)
	}
	// Output: balance 100 at version 1
}
