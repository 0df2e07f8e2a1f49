package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// A reactor calls a function for each event: at least once, and in order for each stream.
func ExampleReactor() {
	store, stop := openOrders(context.Background())
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	mailed := make(chan string)
	mails, err := projection.NewReactor(ctx, store, "mails", nil,
		projection.React(func(_ context.Context, e Placed, r eventstore.Recorded) error {
			mailed <- fmt.Sprintf("order %s: thank you, %s", r.Stream.ID, e.Customer)
			return nil
		}))
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mails.Run(ctx) }()

	place(ctx, store, "1", "anna", 30)
	fmt.Println(<-mailed)
	place(ctx, store, "2", "bert", 5)
	fmt.Println(<-mailed)

	cancel()
	fmt.Println(<-ended, mails.Close())
	// Output:
	// order 1: thank you, anna
	// order 2: thank you, bert
	// <nil> <nil>
}

// What cannot be handled is parked with its stream. Once it can be, the stream is handled again from there.
func ExampleReactor_ReplayParked() {
	store, stop := openOrders(context.Background())
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	var mended atomic.Bool
	invoiced := make(chan int64)
	invoices, err := projection.NewReactor(ctx, store, "invoices", nil,
		projection.React(func(_ context.Context, e Placed, _ eventstore.Recorded) error {
			if e.Total <= 0 && !mended.Load() {
				return projection.Permanent(errors.New("an invoice over nothing"))
			}
			invoiced <- e.Total
			return nil
		}))
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- invoices.Run(ctx) }()

	place(ctx, store, "1", "anna", 0)
	place(ctx, store, "2", "bert", 5)
	fmt.Println("invoice over", <-invoiced)

	order := eventstore.StreamID{Category: "order", ID: "1"}
	parked, err := invoices.ShowParked(ctx, order)
	for errors.Is(err, projection.ErrNotParked) { // it is written with the next checkpoint
		parked, err = invoices.ShowParked(ctx, order)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s waits at version %d: %s\n", parked.Stream, parked.Version, parked.Error)

	mended.Store(true)
	if err := invoices.ReplayParked(ctx, parked.Stream); err != nil {
		log.Fatal(err)
	}
	fmt.Println("invoice over", <-invoiced)

	cancel()
	fmt.Println(<-ended, invoices.Close())
	// Output:
	// invoice over 5
	// order/1 waits at version 1: an invoice over nothing
	// invoice over 0
	// <nil> <nil>
}

// A breaker keeps calls away from a downstream that fails.
func ExampleBreaker() {
	ctx := context.Background()
	webhook := projection.NewBreaker("webhook", &projection.BreakerConfig{Failures: 2, Cooldown: 20 * time.Millisecond})
	down := true
	call := func(context.Context) error {
		if down {
			return errors.New("no answer")
		}
		return nil
	}

	fmt.Println(webhook.Do(ctx, call), webhook.State())
	err := webhook.Do(ctx, call)
	fmt.Println(errors.Is(err, projection.ErrOpen), webhook.State())

	down = false
	var open *projection.OpenError
	for errors.As(webhook.Do(ctx, call), &open) {
		<-time.After(time.Until(open.Until))
	}
	fmt.Println(webhook.State())
	// Output:
	// no answer closed
	// true open
	// closed
}
