package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/runnel-go/runnel/eventstore"
)

// openBank opens a store on an embedded server that stop ends.
func openBank(ctx context.Context) (store *eventstore.Store, stop func()) {
	js, disconnect := connect(ctx)
	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Opened{}, Deposited{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	return store, func() {
		if err := store.Close(); err != nil {
			log.Fatal(err)
		}
		disconnect()
	}
}

// deposit begins a stream with one commit for each amount.
func deposit(ctx context.Context, store *eventstore.Store, stream eventstore.StreamID, amounts ...int64) {
	head := eventstore.Head{}
	for _, amount := range amounts {
		c, err := store.Append(ctx, stream, head, Deposited{amount})
		if err != nil {
			log.Fatal(err)
		}
		head = c.Head()
	}
}

// The last events of a stream are read without the rest of it.
func ExampleBackwards() {
	ctx := context.Background()
	store, stop := openBank(ctx)
	defer stop()
	account := eventstore.StreamID{Category: "account", ID: "42"}
	deposit(ctx, store, account, 10, 20, 30, 40, 50)

	for recorded, err := range store.Stream(ctx, account, eventstore.Backwards()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("version", recorded.Version())
		if recorded.Version() == 4 {
			break
		}
	}
	// Output:
	// version 5
	// version 4
}

// A reader begins with the first commit since a time, by the clock of the server.
func ExampleFromTime() {
	ctx := context.Background()
	store, stop := openBank(ctx)
	defer stop()
	deposit(ctx, store, eventstore.StreamID{Category: "account", ID: "early"}, 1)
	now := time.Now()
	deposit(ctx, store, eventstore.StreamID{Category: "account", ID: "late"}, 2)

	for recorded, err := range store.All(ctx, eventstore.FromTime(now)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(recorded.Stream)
	}
	// Output: account/late
}

// Streams are listed in the order of their ids, and from any of them on.
func ExampleStore_Streams() {
	ctx := context.Background()
	store, stop := openBank(ctx)
	defer stop()
	for _, id := range []string{"carla", "anna", "bob"} {
		deposit(ctx, store, eventstore.StreamID{Category: "account", ID: id}, 1, 2)
	}
	anna := eventstore.StreamID{Category: "account", ID: "anna"}
	for info, err := range store.Streams(ctx, "account", eventstore.Behind(anna)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(info.Stream, info.Commits)
	}
	// Output:
	// account/bob 2
	// account/carla 2
}

// A function is called with each event of a part of the log. If it fails, the error says where, and a second replay
// goes on from there.
func ExampleStore_Replay() {
	ctx := context.Background()
	store, stop := openBank(ctx)
	defer stop()
	deposit(ctx, store, eventstore.StreamID{Category: "account", ID: "a"}, 10, 20)
	deposit(ctx, store, eventstore.StreamID{Category: "account", ID: "b"}, 30)
	deposit(ctx, store, eventstore.StreamID{Category: "test", ID: "c"}, 1000)

	total, busy := int64(0), true
	sum := func(recorded eventstore.Recorded) error {
		if recorded.Position == 2 && busy {
			busy = false
			return errors.New("the ledger is busy")
		}
		events, err := recorded.Decode()
		for _, e := range events {
			total += e.(Deposited).Amount
		}
		return err
	}
	options := []eventstore.ReplayOption{eventstore.Categories("account"), eventstore.Types("account.deposited")}
	progress, err := store.Replay(ctx, sum, options...)
	fmt.Println(err)
	progress, err = store.Replay(ctx, sum, append(options, eventstore.After(progress.Position))...)
	fmt.Println(total, "at position", progress.Position, err)
	// Output:
	// eventstore: replay: account/a version 2 at position 2: "account.deposited": the ledger is busy: go on after position 1
	// 60 at position 4 <nil>
}
