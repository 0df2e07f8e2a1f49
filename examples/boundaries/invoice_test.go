package boundaries_test

import (
	"context"
	"fmt"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

type InvoiceIssued struct {
	Number int
	Order  string
}

func (InvoiceIssued) EventType() string { return "invoice.issued" }

// Invoices is one series of invoices. Its state is the last number.
type Invoices struct{ Last int }

func (Invoices) Evolve(event eventstore.Event) Invoices {
	return Invoices{event.(InvoiceIssued).Number}
}

type Issue struct{ Order string }

func (c Issue) Decide(i Invoices) ([]eventstore.Event, error) {
	return one(InvoiceIssued{Number: i.Last + 1, Order: c.Order})
}

// A stream numbers its events without a gap. The series is one aggregate, so a number is taken with the invoice
// or not at all. All issuers write one stream, one after the other.
func Example_invoiceNumber() {
	ctx := context.Background()
	store, stop := openStore(ctx, InvoiceIssued{})
	defer stop()
	series := repository[Invoices](store, "invoices")
	issue := func(order string) {
		result, err := series.Do(ctx, "2026", Issue{order}, aggregate.Key(order))
		must(err)
		fmt.Println(order, "has invoice", result.Events[0].(InvoiceIssued).Number)
	}
	issue("order-17")
	issue("order-18")
	issue("order-17") // sent again
	// Output:
	// order-17 has invoice 1
	// order-18 has invoice 2
	// order-17 has invoice 1
}
