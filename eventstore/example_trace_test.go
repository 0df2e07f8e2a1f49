package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/runnel-go/runnel/eventstore"
)

// A trace counts what a store does. The same functions can begin and end spans.
func ExampleTrace() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	counts := make(map[string]int) // a program with several goroutines counts in metrics, which are safe for them
	trace := &eventstore.Trace{
		Append: func(_ context.Context, writes []eventstore.Write) func([]*eventstore.Commit, int, error) {
			return func(commits []*eventstore.Commit, tries int, err error) {
				switch {
				case errors.Is(err, eventstore.ErrConflict):
					counts["conflicts"]++
				case err != nil:
					counts["failures"]++
				}
				counts["commits"] += len(commits)
				counts["tries"] += tries
			}
		},
		Load: func(_ context.Context, stream eventstore.StreamID) func(eventstore.History, error) {
			return func(history eventstore.History, err error) {
				fmt.Println("load", stream, "at version", history.Head.Version)
			}
		},
	}
	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Opened{}, Deposited{}}, &eventstore.Config{Trace: trace})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	account := eventstore.StreamID{Category: "account", ID: "42"}
	if _, err := store.Append(ctx, account, eventstore.Head{}, Opened{"Anna"}, Deposited{100}); err != nil {
		log.Fatal(err)
	}
	history, err := store.Load(ctx, account)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 { // the second finds that the stream has moved
		_, _ = store.Append(ctx, account, history.Head, Deposited{50})
	}
	fmt.Println(counts)
	// Output:
	// load account/42 at version 2
	// load account/42 at version 3
	// map[commits:2 conflicts:1 tries:3]
}
