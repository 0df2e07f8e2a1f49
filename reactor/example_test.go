package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
	"github.com/runnel-go/runnel/reactor"
)

type Placed struct {
	Customer string
	Total    int64
}

func (Placed) EventType() string { return "order.placed" }

// openOrders starts an embedded server on a folder that stop removes.
func openOrders(ctx context.Context) (store *eventstore.Store, stop func()) {
	dir, err := os.MkdirTemp("", "reactor")
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

// place appends an order.
func place(ctx context.Context, store *eventstore.Store, id, customer string, total int64) {
	_, err := store.Append(ctx, eventstore.StreamID{Category: "order", ID: id}, eventstore.Head{}, Placed{customer, total})
	if err != nil {
		log.Fatal(err)
	}
}

// A reactor calls a function for each event: at least once, and in order for each stream.
func ExampleReactor() {
	store, stop := openOrders(context.Background())
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	mailed := make(chan string)
	mails, err := reactor.Open(ctx, store, "mails", nil,
		reactor.On(func(_ context.Context, e Placed, r eventstore.Recorded) error {
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

// An event that cannot be handled is parked with its stream. Once it can be, the stream is handled again from there.
func ExampleReactor_ReplayParked() {
	store, stop := openOrders(context.Background())
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	var mended atomic.Bool
	invoiced := make(chan int64)
	invoices, err := reactor.Open(ctx, store, "invoices", nil,
		reactor.On(func(_ context.Context, e Placed, _ eventstore.Recorded) error {
			if e.Total <= 0 && !mended.Load() {
				return reactor.Permanent(errors.New("an invoice over nothing"))
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
	for errors.Is(err, reactor.ErrNotParked) { // it is written with the next checkpoint
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
	webhook, err := reactor.NewBreaker("webhook", &reactor.BreakerConfig{Failures: 2, Cooldown: 20 * time.Millisecond})
	if err != nil {
		log.Fatal(err)
	}
	down := true
	call := func(context.Context) error {
		if down {
			return errors.New("no answer")
		}
		return nil
	}

	fmt.Println(webhook.Do(ctx, call), webhook.State())
	err = webhook.Do(ctx, call)
	fmt.Println(errors.Is(err, reactor.ErrOpen), webhook.State())

	down = false
	var open *reactor.OpenError
	for errors.As(webhook.Do(ctx, call), &open) {
		<-time.After(time.Until(open.Until))
	}
	fmt.Println(webhook.State())
	// Output:
	// no answer closed
	// true open
	// closed
}
