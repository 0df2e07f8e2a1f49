package projection_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
	"github.com/runnel-go/runnel/projection"
)

// A backup holds the log and the view as it was at one moment. Restored elsewhere, the view serves at once and goes on
// from its checkpoint.
func ExampleView_Buckets() {
	store, stop := openOrders(context.Background())
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	customers, ended := runCustomers(ctx, store)
	defer customers.Close()
	last := place(ctx, store, "1", "anna", 30)
	if err := customers.WaitFor(ctx, last); err != nil {
		log.Fatal(err)
	}

	var file bytes.Buffer
	summary, err := store.Export(ctx, &file, &eventstore.ExportConfig{Buckets: customers.Buckets()})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("exported up to position", summary.End)
	cancel()
	fmt.Println(<-ended)

	restore(context.Background(), &file)
	// Output:
	// exported up to position 1
	// <nil>
	// restored {Orders:1 Spent:30}
	// and then {Orders:2 Spent:42}
	// <nil>
}

func restore(ctx context.Context, file *bytes.Buffer) {
	dir, err := os.MkdirTemp("", "restored")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	rt, err := natsrun.Open(ctx, &natsrun.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	defer rt.Close(ctx)
	if _, err := eventstore.Import(ctx, rt.Commands(), file, nil); err != nil {
		log.Fatal(err)
	}

	store, err := eventstore.Open(ctx, rt.Commands(), "shop", []eventstore.Event{Placed{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	running, cancel := context.WithCancel(ctx)
	customers, ended := runCustomers(running, store)
	defer customers.Close()
	anna, err := customers.Get(ctx, "anna")
	fmt.Printf("restored %+v\n", anna)
	if err != nil {
		log.Fatal(err)
	}
	anna, err = customers.Get(ctx, "anna", projection.At(place(ctx, store, "2", "anna", 12)))
	fmt.Printf("and then %+v\n", anna)
	if err != nil {
		log.Fatal(err)
	}
	cancel()
	fmt.Println(<-ended)
}

// runCustomers runs a view of what each customer bought.
func runCustomers(ctx context.Context, store *eventstore.Store) (*projection.View[Customer], chan error) {
	view, err := projection.Open(ctx, store, "customers", 1, nil,
		projection.On(func(c Customer, e Placed) Customer {
			return Customer{Orders: c.Orders + 1, Spent: c.Spent + e.Total}
		}).By(func(e Placed) string { return e.Customer }))
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- view.Run(ctx) }()
	return view, ended
}
