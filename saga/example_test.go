package saga_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
	"github.com/runnel-go/runnel/saga"
)

// Trip is the data of the sagas of these examples: what is booked for a traveller.
type Trip struct {
	Hotel  string
	Nights int
	Flight string // the number of the booking, once there is one
}

// Hotel is an aggregate: the trips that have a room in it, and how many rooms are free.
type Hotel struct {
	Free  int
	Trips []string
}

// Clone is for the cache of states: see package aggregate.
func (h Hotel) Clone() Hotel {
	h.Trips = slices.Clone(h.Trips)
	return h
}

// HotelEvent is something that happened to a hotel.
type HotelEvent interface {
	eventstore.Event
	hotel()
}

// RoomsAdded, RoomTaken and RoomFreed are the events of hotels.
type (
	RoomsAdded struct{ Rooms int }
	RoomTaken  struct{ Trip string }
	RoomFreed  struct{ Trip string }
)

func (RoomsAdded) EventType() string { return "hotel.rooms-added" }
func (RoomTaken) EventType() string  { return "hotel.room-taken" }
func (RoomFreed) EventType() string  { return "hotel.room-freed" }

func (RoomsAdded) hotel() {}
func (RoomTaken) hotel()  {}
func (RoomFreed) hotel()  {}

func (h Hotel) Evolve(e HotelEvent) Hotel {
	switch e := e.(type) {
	case RoomsAdded:
		h.Free += e.Rooms
	case RoomTaken:
		h.Free, h.Trips = h.Free-1, append(h.Trips, e.Trip)
	case RoomFreed:
		h.Free, h.Trips = h.Free+1, slices.DeleteFunc(h.Trips, func(trip string) bool { return trip == e.Trip })
	}
	return h
}

type addRooms struct{ Rooms int }

func (c addRooms) Decide(Hotel) ([]HotelEvent, error) { return []HotelEvent{RoomsAdded(c)}, nil }

type takeRoom struct{ Trip string }

func (c takeRoom) Decide(h Hotel) ([]HotelEvent, error) {
	if h.Free == 0 {
		return nil, errors.New("the hotel is full")
	}
	return []HotelEvent{RoomTaken(c)}, nil
}

type freeRoom struct{ Trip string }

// Decide returns no event where the trip has no room: it undoes what it finds.
func (c freeRoom) Decide(h Hotel) ([]HotelEvent, error) {
	if !slices.Contains(h.Trips, c.Trip) {
		return nil, nil
	}
	return []HotelEvent{RoomFreed(c)}, nil
}

// Confirmed is what an airline tells us.
type Confirmed struct {
	Trip   string
	Flight string
}

func (Confirmed) EventType() string { return "flight.confirmed" }

// agency is what the actions of its sagas need.
type agency struct {
	store  *eventstore.Store
	hotels *aggregate.Repository[Hotel, HotelEvent]
}

func (a *agency) takeRoom(ctx context.Context, call saga.Call, trip Trip) (Trip, error) {
	_, err := a.hotels.Do(ctx, trip.Hotel, takeRoom{Trip: call.Saga()}, call.Once())
	return trip, err
}

func (a *agency) freeRoom(ctx context.Context, call saga.Call, trip Trip) (Trip, error) {
	_, err := a.hotels.Do(ctx, trip.Hotel, freeRoom{Trip: call.Saga()}, call.Once())
	return trip, err
}

func (a *agency) askAirline(_ context.Context, call saga.Call, trip Trip) (Trip, error) {
	fmt.Println("to the airline, under the key", call.Key())
	return trip, nil
}

func (a *agency) tellAirline(_ context.Context, call saga.Call, trip Trip) (Trip, error) {
	fmt.Println("to the airline: forget", call.DoKey())
	return trip, nil
}

// openAgency opens a store on an embedded server, with a hotel of two rooms.
func openAgency(ctx context.Context) (a *agency, stop func()) {
	dir, err := os.MkdirTemp("", "saga")
	if err != nil {
		log.Fatal(err)
	}
	rt, err := natsrun.Open(ctx, &natsrun.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	store, err := eventstore.Open(ctx, rt.Commands(), "travel",
		append(saga.Events(), RoomsAdded{}, RoomTaken{}, RoomFreed{}, Confirmed{}), nil)
	if err != nil {
		log.Fatal(err)
	}
	hotels, err := aggregate.New(store, "hotel", Hotel{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := hotels.Do(ctx, "ritz", addRooms{Rooms: 2}); err != nil {
		log.Fatal(err)
	}
	return &agency{store: store, hotels: hotels}, func() {
		if err := errors.Join(store.Close(), rt.Close(ctx), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

// manage opens the sagas of a definition and runs them until stop.
func manage(ctx context.Context, store *eventstore.Store, trips *saga.Definition[Trip]) (*saga.Manager[Trip], func()) {
	manager, err := saga.Open(ctx, store, trips, nil)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- manager.Run(ctx) }()
	return manager, func() {
		cancel()
		if err := errors.Join(<-ended, manager.Close()); err != nil {
			log.Fatal(err)
		}
	}
}

// A room is taken, and an airline is asked and answers. Another process works for the saga in between, and reports it
// with an event.
func Example() {
	ctx := context.Background()
	agency, stop := openAgency(ctx)
	defer stop()
	trips, err := saga.Define("trip",
		saga.Step("room", agency.takeRoom).Undo(agency.freeRoom),
		saga.Step("ask", agency.askAirline).Undo(agency.tellAirline),
		saga.Await("answer", saga.On(func(trip Trip, e Confirmed) (Trip, error) {
			trip.Flight = e.Flight
			return trip, nil
		}).By(func(e Confirmed) string { return e.Trip })).Within(time.Hour),
	)
	if err != nil {
		log.Fatal(err)
	}
	manager, end := manage(ctx, agency.store, trips)
	defer end()

	if _, err := manager.Start(ctx, "anna-1", Trip{Hotel: "ritz", Nights: 3}); err != nil {
		log.Fatal(err)
	}
	flight := eventstore.StreamID{Category: "flight", ID: "LH123"}
	if _, err := agency.store.Append(ctx, flight, eventstore.Head{}, Confirmed{Trip: "anna-1", Flight: "LH123"}); err != nil {
		log.Fatal(err)
	}
	trip, err := manager.Wait(ctx, "anna-1")
	if err != nil {
		log.Fatal(err)
	}
	hotel, err := agency.hotels.Load(ctx, "ritz")
	fmt.Println(trip.State, trip.Data.Flight, "free:", hotel.State.Free, err)
	// Output:
	// to the airline, under the key trip/anna-1/ask/do
	// completed LH123 free: 1 <nil>
}
