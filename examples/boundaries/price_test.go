package boundaries_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
)

type (
	PriceSet    struct{ Cents int }
	OrderPlaced struct {
		Product string
		Cents   int
	}
)

func (PriceSet) EventType() string    { return "product.price-set" }
func (OrderPlaced) EventType() string { return "order.placed" }

type Product struct{ Cents int }

func (Product) Evolve(event eventstore.Event) Product { return Product(event.(PriceSet)) }

type Order struct{ Cents int }

func (Order) Evolve(event eventstore.Event) Order { return Order{event.(OrderPlaced).Cents} }

type SetPrice struct{ Cents int }

func (c SetPrice) Decide(Product) ([]eventstore.Event, error) { return one(PriceSet(c)) }

type PlaceOrder struct {
	Product string
	Cents   int
}

func (c PlaceOrder) Decide(Order) ([]eventstore.Event, error) { return one(OrderPlaced(c)) }

// The customer orders at the price that was shown. The order does not change the product, so many customers may
// order at once. The order is stored only if its price is still the current one.
func Example_priceAtOrder() {
	ctx := context.Background()
	store, stop := openStore(ctx, PriceSet{}, OrderPlaced{})
	defer stop()
	products, orders := repository[Product](store, "product"), repository[Order](store, "order")
	shown, err := products.Do(ctx, "lamp", SetPrice{4900})
	must(err)
	place := func(id string) error {
		_, err := orders.Do(ctx, id, PlaceOrder{"lamp", shown.State.Cents}, products.Given("lamp", shown.Version))
		return err
	}
	fmt.Println(place("1"))
	_, err = products.Do(ctx, "lamp", SetPrice{5900})
	must(err)
	if conflict, ok := errors.AsType[*eventstore.ConflictError](place("2")); ok {
		fmt.Println(conflict.Stream, "has changed since: show the new price")
	}
	// Output:
	// <nil>
	// product/lamp has changed since: show the new price
}
