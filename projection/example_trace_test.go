package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// metrics are the numbers that a program shows of its views. OpenTelemetry's counters and histograms are fed alike.
type metrics struct{ events, documents, failures, builds atomic.Int64 }

func (m *metrics) trace() *projection.Trace {
	return &projection.Trace{
		Batch: func(context.Context, string, eventstore.Position) func(eventstore.Position, int, int, error) {
			return func(_ eventstore.Position, events, documents int, err error) {
				m.events.Add(int64(events))
				m.documents.Add(int64(documents))
				if err != nil && !errors.Is(err, context.Canceled) {
					m.failures.Add(1)
				}
			}
		},
		Build: func(_ context.Context, view string, foldVersion int, _ string) func(eventstore.Position, bool, error) {
			return func(_ eventstore.Position, flipped bool, err error) {
				fmt.Println("built", view, foldVersion, flipped, err)
				m.builds.Add(1)
			}
		},
	}
}

// Metrics are made of what a Trace is told.
func ExampleTrace() {
	ctx := context.Background()
	store, stop := openOrders(ctx)
	defer stop()
	var m metrics
	orders, err := projection.Open(ctx, store, "orders", 1, &projection.Config{Trace: m.trace()},
		projection.On(func(n int, e Placed) int { return n + 1 }).By(func(e Placed) string { return e.Customer }))
	if err != nil {
		log.Fatal(err)
	}
	end := background(orders)
	if err := orders.WaitFor(ctx, place(ctx, store, "1", "anna", 30)); err != nil {
		log.Fatal(err)
	}
	if err := orders.WaitFor(ctx, place(ctx, store, "2", "bert", 5)); err != nil {
		log.Fatal(err)
	}
	end()
	fmt.Println(m.builds.Load(), "build", m.failures.Load(), "failures")
	// Output:
	// built orders 1 true <nil>
	// 1 build 0 failures
}
