package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

type CustomerEvent interface {
	eventstore.Event
	customer()
}

// Registered does not hold the address, which is personal. The address is kept in a place from which it can be deleted.
type Registered struct{ Plan string }

func (Registered) EventType() string { return "customer.registered" }
func (Registered) customer()         {}

type Customer struct{ Plan string }

func (c Customer) Evolve(e CustomerEvent) Customer {
	if e, ok := e.(Registered); ok {
		c.Plan = e.Plan
	}
	return c
}

type Register struct{ Plan string }

func (c Register) Decide(Customer) ([]CustomerEvent, error) {
	return []CustomerEvent{Registered(c)}, nil
}

// A customer and her e-mail address are registered together, and nobody else can have the address then.
func ExampleUnique() {
	ctx := context.Background()
	store, stop := openStore(ctx, Registered{})
	defer stop()
	customers, err := aggregate.New(store, "customer", Customer{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	secret := []byte("32 random bytes, kept elsewhere!")
	emails, err := aggregate.NewUnique(store, "email", secret, nil)
	if err != nil {
		log.Fatal(err)
	}

	register := func(id, email string) error {
		return aggregate.Transact(ctx, store, nil, customers.On(id, Register{"basic"}), emails.Claim(email, id))
	}
	fmt.Println(register("c1", "anna@example.com"))
	err = register("c2", "anna@example.com")
	if taken, ok := errors.AsType[*aggregate.TakenError](err); ok {
		fmt.Println("taken by", taken.Owner)
	}

	// The address changes: at once, the old one is free and the new one is hers.
	err = aggregate.Transact(ctx, store, nil, emails.Release("anna@example.com", "c1"), emails.Claim("anna@example.org", "c1"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(register("c2", "anna@example.com"))
	owner, ok, err := emails.Owner(ctx, "anna@example.org")
	fmt.Println(owner, ok, err)
	// Output:
	// <nil>
	// taken by c1
	// <nil>
	// c1 true <nil>
}
