package boundaries_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/aggregate"
)

// A client that hears no answer sends its order again, and the server assigns it another id. A key counts in
// one stream only. So the client sends a unique value with the order, and the order that comes first owns it.
func Example_onceOverAllIDs() {
	ctx := context.Background()
	store, stop := openStore(ctx, OrderPlaced{})
	defer stop()
	orders := repository[Order](store, "order")
	requests, err := aggregate.NewUnique(store, "order-request", nil, nil)
	must(err)
	place := func(id, request string) string {
		err := aggregate.Transact(ctx, store, nil, orders.On(id, PlaceOrder{"lamp", 4900}), requests.Claim(request, id))
		if taken, ok := errors.AsType[*aggregate.TakenError](err); ok {
			return taken.Owner
		}
		must(err)
		return id
	}
	fmt.Println("placed as", place("1", "from-anna-0815"))
	fmt.Println("placed as", place("2", "from-anna-0815"))
	fmt.Println("placed as", place("3", "from-ben-4711"))
	// Output:
	// placed as 1
	// placed as 1
	// placed as 3
}
