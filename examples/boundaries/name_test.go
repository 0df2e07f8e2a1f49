package boundaries_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

type AccountOpened struct{ Name string }

func (AccountOpened) EventType() string { return "account.opened" }

type Account struct{ Name string }

func (Account) Evolve(event eventstore.Event) Account { return Account(event.(AccountOpened)) }

type OpenAccount struct{ Name string }

func (c OpenAccount) Decide(Account) ([]eventstore.Event, error) { return one(AccountOpened(c)) }

// A name is a stream of its own, with one owner. The account and the claim of its name are stored together.
func Example_uniqueName() {
	ctx := context.Background()
	store, stop := openStore(ctx, AccountOpened{})
	defer stop()
	accounts := repository[Account](store, "account")
	names, err := aggregate.NewUnique(store, "name", nil, nil)
	must(err)
	open := func(id, name string) error {
		return aggregate.Transact(ctx, store, nil, accounts.On(id, OpenAccount{name}), names.Claim(name, id))
	}
	fmt.Println(open("1", "anna"))
	fmt.Println(errors.Is(open("2", "anna"), aggregate.ErrTaken))
	account, err := accounts.Load(ctx, "2")
	must(err)
	fmt.Println("the second account is at version", account.Version)
	// Output:
	// <nil>
	// true
	// the second account is at version 0
}
