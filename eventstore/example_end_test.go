package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/runnel-go/runnel/eventstore"
)

// A stream is closed by its last event. It can be read, and nothing can be appended to it any more.
func ExampleStreamClosed() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Opened{}, Deposited{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	account := eventstore.StreamID{Category: "account", ID: "42"}
	last, err := store.Append(ctx, account, eventstore.Head{}, Opened{"Anna"}, eventstore.StreamClosed{Reason: "opened by mistake"})
	if err != nil {
		log.Fatal(err)
	}
	_, err = store.Append(ctx, account, last.Head(), Deposited{100})
	fmt.Println(errors.Is(err, eventstore.ErrClosed))
	fmt.Println(err)
	// Output:
	// true
	// eventstore: append account/42 at version 3: stream closed, nothing was stored: begin a new stream
}

// A store that was made for it can erase the events of one stream, on disk as well. A record stays, so that nobody
// takes the stream for empty or the log for damaged.
func ExampleStore_Erase() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	store, err := eventstore.Open(ctx, js, "people", []eventstore.Event{Opened{}}, &eventstore.Config{Erasure: true})
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	person := eventstore.StreamID{Category: "person", ID: "81f3"} // an id that says nothing
	if _, err := store.Append(ctx, person, eventstore.Head{}, Opened{"Anna"}); err != nil {
		log.Fatal(err)
	}
	if err := store.Erase(ctx, person, "request 2026-17"); err != nil {
		log.Fatal(err)
	}
	_, err = store.Load(ctx, person)
	fmt.Println(errors.Is(err, eventstore.ErrErased))
	fmt.Println(err)
	// Output:
	// true
	// eventstore: person/81f3 at position 2: erased: request 2026-17
}
