package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
	"github.com/runnel-go/runnel/projection"
)

type Placed struct {
	Customer string
	Total    int64
}

func (Placed) EventType() string { return "order.placed" }

type Customer struct {
	Orders int   `json:"orders"`
	Spent  int64 `json:"spent"`
}

// openOrders starts an embedded server on a folder that stop removes.
func openOrders(ctx context.Context) (store *eventstore.Store, stop func()) {
	dir, err := os.MkdirTemp("", "projection")
	if err != nil {
		log.Fatal(err)
	}
	rt, err := natsrun.Open(ctx, &natsrun.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	store, err = eventstore.Open(ctx, rt.Commands(), "shop", []eventstore.Event{Placed{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	return store, func() {
		if err := errors.Join(store.Close(), rt.Close(ctx), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// place appends an order and returns its position.
func place(ctx context.Context, store *eventstore.Store, id, customer string, total int64) eventstore.Position {
	c, err := store.Append(ctx, eventstore.StreamID{Category: "order", ID: id}, eventstore.Head{}, Placed{customer, total})
	if err != nil {
		log.Fatal(err)
	}
	return c.Position
}

// A view is folded from the events of many streams, into documents that the events choose.
func Example() {
	store, stop := openOrders(context.Background())
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	customers, err := projection.Open(ctx, store, "customers", 1, nil,
		projection.On(func(c Customer, e Placed) Customer {
			return Customer{Orders: c.Orders + 1, Spent: c.Spent + e.Total}
		}).By(func(e Placed) string { return e.Customer }))
	if err != nil {
		log.Fatal(err)
	}
	defer customers.Close()
	ended := make(chan error, 1)
	go func() { ended <- customers.Run(ctx) }()

	place(ctx, store, "1", "anna", 30)
	place(ctx, store, "2", "bert", 5)
	last := place(ctx, store, "3", "anna", 12)
	anna, err := customers.Get(ctx, "anna", projection.At(last))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%+v\n", anna)

	cancel()
	fmt.Println(<-ended)
	// Output:
	// {Orders:2 Spent:42}
	// <nil>
}

// A watch yields all documents, and then every change.
func ExampleView_Watch() {
	store, stop := openOrders(context.Background())
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	totals, err := projection.Open(ctx, store, "totals", 1, nil,
		projection.On(func(total int64, e Placed) int64 { return total + e.Total }))
	if err != nil {
		log.Fatal(err)
	}
	defer totals.Close()
	ended := make(chan error, 1)
	go func() { ended <- totals.Run(ctx) }()
	if err := totals.WaitFor(ctx, place(ctx, store, "1", "anna", 30)); err != nil {
		log.Fatal(err)
	}
	for change, err := range totals.Watch(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if change.Synced {
			fmt.Println("that is all so far")
			place(ctx, store, "2", "bert", 5)
			continue
		}
		fmt.Println(change.Key, change.Value)
		if change.Key == "2" {
			break
		}
	}
	cancel()
	fmt.Println(<-ended)
	// Output:
	// 1 30
	// that is all so far
	// 2 5
	// <nil>
}
