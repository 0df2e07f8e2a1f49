package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/runnel-go/runnel/eventstore"
)

// BooksOpened begins the stream of a period with what was left of the one before.
type BooksOpened struct {
	Before  string // the stream's id in the period before
	Balance int64
}

// BooksClosed sums a period up.
type BooksClosed struct{ Balance int64 }

// Mistaken takes back an event that should not have happened.
type Mistaken struct {
	Version eventstore.Version // of that event
	Amount  int64
	Why     string
}

func (BooksOpened) EventType() string { return "books.opened" }
func (BooksClosed) EventType() string { return "books.closed" }
func (Mistaken) EventType() string    { return "account.mistaken" }

// A stream that would grow for ever is closed once a period. Its balance goes into the first event of the next stream,
// in the same transaction. So one of the two is always open, and never both.
func ExampleStore_AppendAll_closingTheBooks() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Deposited{}, BooksOpened{}, BooksClosed{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	of2026 := eventstore.StreamID{Category: "account", ID: "42-2026"}
	of2027 := eventstore.StreamID{Category: "account", ID: "42-2027"}
	last, err := store.Append(ctx, of2026, eventstore.Head{}, Deposited{100}, Deposited{20})
	if err != nil {
		log.Fatal(err)
	}

	_, err = store.AppendAll(ctx,
		eventstore.Write{Stream: of2026, Expected: last.Head(), Events: []eventstore.Event{
			BooksClosed{Balance: 120}, eventstore.StreamClosed{Reason: "goes on as account/42-2027"},
		}},
		eventstore.Write{Stream: of2027, Events: []eventstore.Event{BooksOpened{Before: "42-2026", Balance: 120}}},
	)
	if err != nil {
		log.Fatal(err)
	}
	_, err = store.Append(ctx, of2026, last.Head(), Deposited{1})
	fmt.Println("the old one:", errors.Is(err, eventstore.ErrConflict))
	head, err := store.Head(ctx, of2026)
	fmt.Println("closed:", head.Closed(), err)
	head, err = store.Head(ctx, of2027)
	fmt.Println("the new one is at version", head.Version, err)
	// Output:
	// the old one: true
	// closed: true <nil>
	// the new one is at version 1 <nil>
}

// An event that is wrong stays: others have acted on it. Another one puts right what it did.
func ExampleStore_Append_correction() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	store, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Deposited{}, Mistaken{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	account := eventstore.StreamID{Category: "account", ID: "42"}
	booked, err := store.Append(ctx, account, eventstore.Head{}, Deposited{100}, Deposited{9000}) // ninety were meant
	if err != nil {
		log.Fatal(err)
	}
	_, err = store.Append(ctx, account, booked.Head(), Mistaken{Version: 2, Amount: 9000, Why: "typed with two zeros too many"}, Deposited{90})
	if err != nil {
		log.Fatal(err)
	}
	balance := int64(0)
	for recorded, err := range store.Stream(ctx, account) {
		if err != nil {
			log.Fatal(err)
		}
		events, err := recorded.Decode()
		if err != nil {
			log.Fatal(err)
		}
		switch e := events[0].(type) {
		case Deposited:
			balance += e.Amount
		case Mistaken:
			balance -= e.Amount
		}
	}
	fmt.Println(balance)
	// Output:
	// 190
}

// Garbled was written by a release with a fault: its amount is in text.
type Garbled struct{ Amount string }

func (Garbled) EventType() string { return "account.deposited" }

// DepositedV2 is how deposits are written since.
type DepositedV2 struct{ Amount int64 }

func (DepositedV2) EventType() string { return "account.deposited.v2" }

// Events that cannot be folded are mapped, when they are decoded, to what they should have been. The log stays as it
// is.
func ExampleUpcast_badEvent() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	faulty, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{Garbled{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer faulty.Close()
	account := eventstore.StreamID{Category: "account", ID: "42"}
	if _, err := faulty.Append(ctx, account, eventstore.Head{}, Garbled{"1O0"}); err != nil {
		log.Fatal(err)
	}

	mended, err := eventstore.Open(ctx, js, "bank", []eventstore.Event{DepositedV2{}}, &eventstore.Config{
		Upcasters: []eventstore.Upcaster{eventstore.Upcast(func(e Garbled) DepositedV2 {
			if e.Amount == "1O0" { // position 1, found by a replay
				return DepositedV2{100}
			}
			return DepositedV2{}
		})},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer mended.Close()
	_, err = mended.Replay(ctx, func(recorded eventstore.Recorded) error {
		// The first event that does not decode ends the replay with an error that has its position.
		events, err := recorded.Decode()
		fmt.Println(events, err)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// [{100}] <nil>
}
