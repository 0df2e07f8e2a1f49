package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

type Opened struct{ Owner string }
type Deposited struct{ Amount int64 }

func (Opened) EventType() string    { return "account.opened" }
func (Deposited) EventType() string { return "account.deposited" }

// connect starts an embedded server on a folder that stop removes.
func connect(ctx context.Context) (js jetstream.JetStream, stop func()) {
	dir, err := os.MkdirTemp("", "eventstore")
	if err != nil {
		log.Fatal(err)
	}
	rt, err := natsrun.Open(ctx, &natsrun.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	return rt.Commands(), func() {
		if err := errors.Join(rt.Close(ctx), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// A stream is written on top of where it stood, and read back.
func Example() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()

	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Opened{}, Deposited{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	anna := eventstore.StreamID{Category: "account", ID: "anna@example.com"}
	first, err := store.Append(ctx, anna, eventstore.Head{}, Opened{"Anna"}, Deposited{100})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := store.Append(ctx, anna, first.Head(), Deposited{20}); err != nil {
		log.Fatal(err)
	}
	for recorded, err := range store.Stream(ctx, anna) {
		if err != nil {
			log.Fatal(err)
		}
		events, err := recorded.Decode() // one, unless an upcaster makes it several
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d %s %+v\n", recorded.Version(), recorded.Type(), events[0])
	}
	// Output:
	// 1 account.opened {Owner:Anna}
	// 2 account.deposited {Amount:100}
	// 3 account.deposited {Amount:20}
}

// Of two who saw the same head, one is told so.
func ExampleConflictError() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Deposited{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	stream := eventstore.StreamID{Category: "account", ID: "42"}

	if _, err := store.Append(ctx, stream, eventstore.Head{}, Deposited{1}); err != nil {
		log.Fatal(err)
	}
	_, err = store.Append(ctx, stream, eventstore.Head{}, Deposited{2})
	if conflict, ok := errors.AsType[*eventstore.ConflictError](err); ok {
		fmt.Println("expected", conflict.Expected, "actual", conflict.Actual)
	}
	// Output: expected 0 actual 1
}

// Several streams are written all together or not at all.
func ExampleStore_AppendAll() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Deposited{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()

	commits, err := store.AppendAll(ctx,
		eventstore.Write{Stream: eventstore.StreamID{Category: "account", ID: "a"}, Events: []eventstore.Event{Deposited{-5}}},
		eventstore.Write{Stream: eventstore.StreamID{Category: "account", ID: "b"}, Events: []eventstore.Event{Deposited{5}}})
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range commits {
		fmt.Println(c.Stream, "version", c.Last(), "position", c.Position)
	}
	// Output:
	// account/a version 1 position 1
	// account/b version 1 position 2
}

// The whole log is read in its order, live if wanted, and types are picked from it.
func ExampleStore_All() {
	js, stop := connect(context.Background())
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Opened{}, Deposited{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	for _, id := range []string{"a", "b"} {
		if _, err := store.Append(ctx, eventstore.StreamID{Category: "account", ID: id}, eventstore.Head{}, Opened{id}, Deposited{7}); err != nil {
			log.Fatal(err)
		}
	}
	for recorded, err := range store.All(ctx, eventstore.Types("account.deposited"), eventstore.Live()) {
		if err != nil {
			fmt.Println(err)
			break
		}
		fmt.Println(recorded.Position, recorded.Stream)
		if recorded.Position == 2 {
			cancel()
		}
	}
	// Output:
	// 1 account/a
	// 2 account/b
	// context canceled
}

// Metadata travels in the context, from the edge of a program to the commit.
func ExampleWithMetadata() {
	ctx := eventstore.WithMetadata(context.Background(), eventstore.Metadata{Correlation: "order 9", Actor: "user 4"})
	js, stop := connect(ctx)
	defer stop()
	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Deposited{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	c, err := store.Append(ctx, eventstore.StreamID{Category: "account", ID: "42"}, eventstore.Head{}, Deposited{1})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(c.Correlation, "by", c.Actor)
	// Output: order 9 by user 4
}

// A backup is one file. It is restored into a server of its own, where the store goes on.
func ExampleStore_Export() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	types := []eventstore.Event{Opened{}, Deposited{}}
	store, err := eventstore.Open(ctx, js, "bank", types, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	anna := eventstore.StreamID{Category: "account", ID: "anna"}
	first, err := store.Append(ctx, anna, eventstore.Head{}, Opened{"Anna"}, Deposited{100})
	if err != nil {
		log.Fatal(err)
	}

	var file bytes.Buffer
	summary, err := store.Export(ctx, &file, nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("exported", summary.Commits, "commit with", summary.Events, "events")

	elsewhere, stopElsewhere := connect(ctx)
	defer stopElsewhere()
	if _, err := eventstore.Import(ctx, elsewhere, &file, nil); err != nil {
		log.Fatal(err)
	}
	restored, err := eventstore.Open(ctx, elsewhere, "bank", types, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer restored.Close()
	next, err := restored.Append(ctx, anna, first.Head(), Deposited{20})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the same store:", restored.Identity() == store.Identity())
	fmt.Println("goes on with version", next.Last(), "at position", next.Position)
	// Output:
	// exported 1 commit with 2 events
	// the same store: true
	// goes on with version 3 at position 2
}
