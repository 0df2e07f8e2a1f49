package projection_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// background runs a view until stop, which waits for it.
func background[V any](view *projection.View[V]) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- view.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			log.Fatal(err)
		}
		if err := view.Close(); err != nil {
			log.Fatal(err)
		}
	}
}

// One event changes several documents, all of them together: here the customer's document and the sum of all.
func ExampleEventRule_ByEach() {
	ctx := context.Background()
	store, stop := openOrders(ctx)
	defer stop()
	spent, err := projection.Open(ctx, store, "spent", 1, nil,
		projection.On(func(total int64, e Placed) int64 { return total + e.Total }).
			ByEach(func(e Placed) []string { return []string{e.Customer, "all"} }))
	if err != nil {
		log.Fatal(err)
	}
	defer background(spent)()

	place(ctx, store, "1", "anna", 30)
	if err := spent.WaitFor(ctx, place(ctx, store, "2", "bert", 5)); err != nil {
		log.Fatal(err)
	}
	documents, err := spent.GetMany(ctx, "anna", "bert", "all") // of one point in time
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(documents["anna"].Value, documents["bert"].Value, documents["all"].Value)
	// Output:
	// 30 5 35
}

// A document is deleted by a rule of its own.
func ExampleDelete() {
	ctx := context.Background()
	store, stop := openOrders(ctx)
	defer stop()
	open, err := projection.Open(ctx, store, "open", 1, nil,
		projection.Delete(func(_ Customer, e Placed) bool { return e.Total == 0 })) // nothing is open for free
	if err != nil {
		log.Fatal(err)
	}
	defer background(open)()
	_, err = open.Get(ctx, "1", projection.At(place(ctx, store, "1", "anna", 0)))
	fmt.Println(errors.Is(err, projection.ErrNotFound))
	// Output:
	// true
}

// The orders of a guest become the document of the next customer, who then adds to it. The guest has no document any
// more.
func ExampleMove() {
	ctx := context.Background()
	store, stop := openOrders(ctx)
	defer stop()
	customers, err := projection.Open(ctx, store, "customers", 1, nil,
		projection.Move[Customer](func(e Placed) (from, to string) { return "guest", e.Customer }),
		projection.On(func(c Customer, e Placed) Customer { return Customer{c.Orders + 1, c.Spent + e.Total} }).
			By(func(e Placed) string { return e.Customer }))
	if err != nil {
		log.Fatal(err)
	}
	defer background(customers)()
	place(ctx, store, "1", "guest", 20)
	anna, err := customers.Get(ctx, "anna", projection.At(place(ctx, store, "2", "anna", 5)))
	fmt.Println(anna, err)
	_, err = customers.Get(ctx, "guest")
	fmt.Println(errors.Is(err, projection.ErrNotFound))
	// Output:
	// {2 25} <nil>
	// true
}

// A new fold version is built beside the one that serves. Readers of the new code get the old documents until the flip.
func ExampleView_foldVersion() {
	ctx := context.Background()
	store, stop := openOrders(ctx)
	defer stop()
	release := func(foldVersion int, factor int64) *projection.View[int64] {
		view, err := projection.Open(ctx, store, "points", foldVersion, nil,
			projection.On(func(points int64, e Placed) int64 { return points + factor*e.Total }).
				By(func(e Placed) string { return e.Customer }))
		if err != nil {
			log.Fatal(err)
		}
		return view
	}
	older := release(1, 1)
	defer background(older)()
	at := place(ctx, store, "1", "anna", 30)
	points, err := older.Get(ctx, "anna", projection.At(at))
	fmt.Println("the older release reads", points, err)

	newer := release(2, 10) // the rule has changed, so the version is raised
	points, err = newer.Get(ctx, "anna")
	fmt.Println("the newer one reads", points, err, "before it is built")
	if err := newer.Rebuild(ctx, nil); err != nil { // or Run, which builds first
		log.Fatal(err)
	}
	defer background(newer)()
	points, err = newer.Get(ctx, "anna", projection.At(at))
	fmt.Println("and", points, err, "after")
	points, err = older.Get(ctx, "anna")
	fmt.Println("the older one still reads", points, err)
	// Output:
	// the older release reads 30 <nil>
	// the newer one reads 30 <nil> before it is built
	// and 300 <nil> after
	// the older one still reads 30 <nil>
}

// A view is folded anew beside what serves. The documents that it replaced are kept until they are pruned.
func ExampleView_Rebuild() {
	ctx := context.Background()
	store, stop := openOrders(ctx)
	defer stop()
	totals, err := projection.Open(ctx, store, "totals", 1, nil,
		projection.On(func(total int64, e Placed) int64 { return total + e.Total }))
	if err != nil {
		log.Fatal(err)
	}
	defer background(totals)()
	if err := totals.WaitFor(ctx, place(ctx, store, "1", "anna", 30)); err != nil {
		log.Fatal(err)
	}
	before := totals.Bucket()
	var last eventstore.Progress
	if err := totals.Rebuild(ctx, func(p eventstore.Progress) { last = p }); err != nil {
		log.Fatal(err)
	}
	fmt.Println(last.Events, "event")
	if err := totals.WaitFor(ctx, place(ctx, store, "2", "bert", 5)); err != nil { // the runner has followed
		log.Fatal(err)
	}
	pruned, err := totals.Prune(ctx)
	fmt.Println(len(pruned) == 1 && pruned[0] == before, err)
	// Output:
	// 1 event
	// true <nil>
}

// A key whose event cannot be folded waits, and the others go on. Once the rule is mended, it is folded again.
func ExampleView_Replay() {
	ctx := context.Background()
	store, stop := openOrders(ctx)
	defer stop()
	release := func(rule func(average int64, e Placed) int64) *projection.View[int64] {
		view, err := projection.Open(ctx, store, "shares", 1, &projection.Config{Park: true}, projection.On(rule))
		if err != nil {
			log.Fatal(err)
		}
		return view
	}
	faulty := release(func(_ int64, e Placed) int64 { return 100 / e.Total })
	end := background(faulty)
	place(ctx, store, "1", "anna", 0)
	share, err := faulty.Get(ctx, "2", projection.At(place(ctx, store, "2", "bert", 5)))
	fmt.Println(share, err)
	for parked, err := range faulty.Parked(ctx) {
		fmt.Println(parked.Key, parked.Value.Stream, parked.Value.Version, err)
	}
	end()

	mended := release(func(_ int64, e Placed) int64 { return 100 / max(e.Total, 1) })
	defer background(mended)()
	if err := mended.Replay(ctx, "1"); err != nil {
		log.Fatal(err)
	}
	for again := time.NewTicker(10 * time.Millisecond); ; <-again.C {
		if share, err = mended.Get(ctx, "1", projection.At(1)); !errors.Is(err, projection.ErrParked) {
			break
		}
	}
	fmt.Println(share, err)
	// Output:
	// 20 <nil>
	// 1 order/1 1 <nil>
	// 100 <nil>
}

// Anybody can ask how a view is, and pause it.
func ExampleView_Status() {
	ctx := context.Background()
	store, stop := openOrders(ctx)
	defer stop()
	totals, err := projection.Open(ctx, store, "totals", 1, nil,
		projection.On(func(total int64, e Placed) int64 { return total + e.Total }))
	if err != nil {
		log.Fatal(err)
	}
	defer background(totals)()
	if err := totals.WaitFor(ctx, place(ctx, store, "1", "anna", 30)); err != nil {
		log.Fatal(err)
	}
	show := func() {
		s, err := totals.Status(ctx)
		fmt.Println("running", s.Running, "paused", s.Paused, "behind", s.Lag.Commits, "parked", s.Parked, err)
	}
	show()
	if err := totals.Pause(ctx); err != nil {
		log.Fatal(err)
	}
	place(ctx, store, "2", "bert", 5)
	show()
	if err := totals.Resume(ctx); err != nil {
		log.Fatal(err)
	}
	if err := totals.WaitFor(ctx, 2); err != nil {
		log.Fatal(err)
	}
	show()
	// Output:
	// running true paused false behind 0 parked 0 <nil>
	// running true paused true behind 1 parked 0 <nil>
	// running true paused false behind 0 parked 0 <nil>
}
