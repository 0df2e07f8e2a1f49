package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/runnel-go/runnel/eventstore"
)

// The whole log is verified, as often as its disks are trusted little.
func ExampleStore_Verify() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Opened{}, Deposited{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	for _, id := range []string{"anna", "bert"} {
		stream := eventstore.StreamID{Category: "account", ID: id}
		if _, err := store.Append(ctx, stream, eventstore.Head{}, Opened{id}, Deposited{7}); err != nil {
			log.Fatal(err)
		}
	}
	report, err := store.Verify(ctx, &eventstore.VerifyConfig{
		Progress: func(p eventstore.Progress) { fmt.Printf("%.0f %%\n", 100*p.Fraction()) },
	})
	if err != nil {
		log.Fatal(err, report) // what is damaged, and where
	}
	fmt.Println(report.Commits, "commits of", report.Streams, "streams hold")
	// Output:
	// 100 %
	// 2 commits of 2 streams hold
}

// A log that lost acknowledged commits is refused. If it cannot be restored, an operator accepts the loss.
func ExampleAcceptRewind() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	open := func() (*eventstore.Store, error) {
		return eventstore.Open(ctx, js, "bank", []eventstore.Event{Deposited{}}, nil)
	}
	store, err := open()
	if err != nil {
		log.Fatal(err)
	}
	stream := eventstore.StreamID{Category: "account", ID: "42"}
	if _, err := store.Append(ctx, stream, eventstore.Head{}, Deposited{1}); err != nil {
		log.Fatal(err)
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}
	if err := js.DeleteStream(ctx, "bank"); err != nil { // the disk is lost, say
		log.Fatal(err)
	}

	_, err = open()
	lost, ok := errors.AsType[*eventstore.LogRewoundError](err)
	if !ok {
		log.Fatal(err)
	}
	fmt.Println("it had position", lost.Position, "and ends at", lost.End)
	if err := eventstore.AcceptRewind(ctx, js, lost); err != nil { // only if no replica and no backup has it
		log.Fatal(err)
	}
	if store, err = open(); err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	fmt.Println("open again")
	// Output:
	// it had position 1 and ends at 0
	// open again
}
