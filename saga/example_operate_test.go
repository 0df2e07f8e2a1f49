package saga_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"sync/atomic"
	"time"

	"github.com/runnel-go/runnel/saga"
)

// The airline does not answer in time, so the room is free again and the airline is told.
func ExampleAwait() {
	ctx := context.Background()
	agency, stop := openAgency(ctx)
	defer stop()
	trips, err := saga.Define("trip",
		saga.Step("room", agency.takeRoom).Undo(agency.freeRoom),
		saga.Step("ask", agency.askAirline).Undo(agency.tellAirline),
		saga.Await("answer", saga.On(func(trip Trip, e Confirmed) (Trip, error) {
			trip.Flight = e.Flight
			return trip, nil
		}).By(func(e Confirmed) string { return e.Trip })).Within(100*time.Millisecond),
	)
	if err != nil {
		log.Fatal(err)
	}
	manager, end := manage(ctx, agency.store, trips)
	defer end()

	if _, err := manager.Start(ctx, "anna-1", Trip{Hotel: "ritz", Nights: 3}); err != nil {
		log.Fatal(err)
	}
	trip, err := manager.Wait(ctx, "anna-1")
	if err != nil {
		log.Fatal(err)
	}
	hotel, err := agency.hotels.Load(ctx, "ritz")
	fmt.Println(trip.State, "free:", hotel.State.Free, err)
	for _, step := range trip.Steps {
		fmt.Println(step.Name, step.State)
	}
	// Output:
	// to the airline, under the key trip/anna-1/ask/do
	// to the airline: forget trip/anna-1/ask/do
	// compensated free: 2 <nil>
	// room reverted
	// ask reverted
	// answer underway
}

// A step from which there is no way back fails for good. The saga waits until somebody has mended what is broken.
func ExampleManager_Retry() {
	ctx := context.Background()
	agency, stop := openAgency(ctx)
	defer stop()
	var mended atomic.Bool
	trips, err := saga.Define("trip",
		saga.Step("room", agency.takeRoom).Undo(agency.freeRoom),
		saga.Step("bill", func(_ context.Context, _ saga.Call, trip Trip) (Trip, error) {
			if !mended.Load() {
				return trip, saga.Permanent(errors.New("the printer is out of paper"))
			}
			return trip, nil
		}).Retriable(),
	)
	if err != nil {
		log.Fatal(err)
	}
	manager, end := manage(ctx, agency.store, trips)
	defer end()
	if _, err := manager.Start(ctx, "anna-1", Trip{Hotel: "ritz", Nights: 3}); err != nil {
		log.Fatal(err)
	}
	trip, err := manager.Wait(ctx, "anna-1")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(trip.State, "at", trip.Current().Name+":", trip.Error)

	mended.Store(true)
	if err := manager.Retry(ctx, "anna-1"); err != nil {
		log.Fatal(err)
	}
	trip, err = manager.Wait(ctx, "anna-1")
	fmt.Println(trip.State, err)
	// Output:
	// stuck at bill: the printer is out of paper
	// completed <nil>
}
