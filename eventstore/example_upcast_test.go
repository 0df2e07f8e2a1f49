package eventstore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/runnel-go/runnel/eventstore"
)

// Paid is how the first release wrote payments. The type stays, for what is in the log.
type Paid struct{ Crowns int64 }

// PaidV2 is how payments are written today.
type PaidV2 struct {
	Cents    int64
	Currency string
}

func (Paid) EventType() string   { return "invoice.paid" }
func (PaidV2) EventType() string { return "invoice.paid.v2" }

// An event that an older release wrote is decoded as an event of today. The log stays as it is.
func ExampleUpcast() {
	ctx := context.Background()
	js, stop := connect(ctx)
	defer stop()
	invoice := eventstore.StreamID{Category: "invoice", ID: "7"}

	older, err := eventstore.Open(ctx, js, "billing", []eventstore.Event{Paid{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer older.Close()
	first, err := older.Append(ctx, invoice, eventstore.Head{}, Paid{Crowns: 90})
	if err != nil {
		log.Fatal(err)
	}

	newer, err := eventstore.Open(ctx, js, "billing", []eventstore.Event{PaidV2{}}, &eventstore.Config{
		Upcasters: []eventstore.Upcaster{
			eventstore.Upcast(func(e Paid) PaidV2 { return PaidV2{Cents: 100 * e.Crowns, Currency: "CZK"} }),
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer newer.Close()
	if _, err := newer.Append(ctx, invoice, first.Head(), PaidV2{Cents: 500, Currency: "EUR"}); err != nil {
		log.Fatal(err)
	}
	for recorded, err := range newer.Stream(ctx, invoice) {
		if err != nil {
			log.Fatal(err)
		}
		events, err := recorded.Decode()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %+v\n", recorded.Type(), events)
	}
	// Output:
	// invoice.paid: [{Cents:9000 Currency:CZK}]
	// invoice.paid.v2: [{Cents:500 Currency:EUR}]
}
