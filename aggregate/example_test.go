package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

// Event is an event of a seat, and of nothing else.
type Event interface {
	eventstore.Event
	seat()
}

type Booked struct{ Guest string }

func (Booked) EventType() string { return "seat.booked" }
func (Booked) seat()             {}

type Released struct{}

func (Released) EventType() string { return "seat.released" }
func (Released) seat()             {}

type Seat struct{ Guest string }

func (s Seat) Evolve(event Event) Seat {
	switch e := event.(type) {
	case Booked:
		s.Guest = e.Guest
	case Released:
		s.Guest = ""
	}
	return s
}

type Book struct{ Guest string }

var ErrTaken = errors.New("the seat is taken")

func (c Book) Decide(s Seat) ([]Event, error) {
	if s.Guest != "" && s.Guest != c.Guest {
		return nil, ErrTaken
	}
	if s.Guest == c.Guest {
		return nil, nil // nothing to do
	}
	return []Event{Booked(c)}, nil
}

type Release struct{}

func (c Release) Decide(s Seat) ([]Event, error) {
	if s.Guest == "" {
		return nil, nil
	}
	return []Event{Released(c)}, nil
}

// openStore starts an embedded server on a folder that stop removes.
func openStore(ctx context.Context, events ...eventstore.Event) (store *eventstore.Store, stop func()) {
	dir, err := os.MkdirTemp("", "aggregate")
	if err != nil {
		log.Fatal(err)
	}
	rt, err := natsrun.Open(ctx, &natsrun.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	store, err = eventstore.Open(ctx, rt.Commands(), "theatre", events, nil)
	if err != nil {
		log.Fatal(err)
	}
	return store, func() {
		if err := errors.Join(store.Close(), rt.Close(ctx), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}

func openSeats(ctx context.Context) (store *eventstore.Store, seats *aggregate.Repository[Seat, Event], stop func()) {
	store, stop = openStore(ctx, Booked{}, Released{})
	seats, err := aggregate.New(store, "seat", Seat{}, nil)
	if err != nil {
		log.Fatal(err)
	}
	return store, seats, stop
}

// A command is decided on the state of its aggregate, and rejected by it.
func Example() {
	ctx := context.Background()
	_, seats, stop := openSeats(ctx)
	defer stop()

	result, err := seats.Do(ctx, "row 7, seat 3", Book{"anna"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.State.Guest, "at version", result.Version)
	_, err = seats.Do(ctx, "row 7, seat 3", Book{"bert"})
	fmt.Println(errors.Is(err, aggregate.ErrRejected), errors.Is(err, ErrTaken))
	// Output:
	// anna at version 1
	// true true
}

// A command that is sent again under its key is not done again.
func ExampleKey() {
	ctx := context.Background()
	_, seats, stop := openSeats(ctx)
	defer stop()

	for _, command := range []aggregate.Command[Seat, Event]{Book{"anna"}, Release{}} {
		if _, err := seats.Do(ctx, "1", command, aggregate.Key(fmt.Sprintf("%T", command))); err != nil {
			log.Fatal(err)
		}
	}
	again, err := seats.Do(ctx, "1", Book{"anna"}, aggregate.Key("aggregate_test.Book"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("repeated: %t, version: %d, guest now: %q\n", again.Repeated, again.Version, again.State.Guest)
	_, err = seats.Do(ctx, "1", Book{"bert"}, aggregate.Key("aggregate_test.Book"))
	fmt.Println(errors.Is(err, aggregate.ErrKeyReused))
	// Output:
	// repeated: true, version: 1, guest now: ""
	// true
}

// A client that saw version 1 changes that version, or nothing.
func ExampleIfVersion() {
	ctx := context.Background()
	_, seats, stop := openSeats(ctx)
	defer stop()
	if _, err := seats.Do(ctx, "1", Book{"anna"}); err != nil {
		log.Fatal(err)
	}
	if _, err := seats.Do(ctx, "1", Release{}, aggregate.IfVersion(1)); err != nil {
		log.Fatal(err)
	}
	_, err := seats.Do(ctx, "1", Book{"bert"}, aggregate.IfVersion(1))
	fmt.Println(errors.Is(err, eventstore.ErrConflict))
	// Output: true
}

// Two seats are booked together or not at all.
func ExampleTransact() {
	ctx := context.Background()
	store, seats, stop := openSeats(ctx)
	defer stop()
	if _, err := seats.Do(ctx, "2", Book{"bert"}); err != nil {
		log.Fatal(err)
	}
	err := aggregate.Transact(ctx, store, nil, seats.On("1", Book{"anna"}), seats.On("2", Book{"anna"}))
	fmt.Println(errors.Is(err, ErrTaken))
	one, two := seats.On("1", Book{"anna"}), seats.On("3", Book{"anna"})
	if err := aggregate.Transact(ctx, store, nil, one, two); err != nil {
		log.Fatal(err)
	}
	fmt.Println(one.Result().State, two.Result().State)
	// Output:
	// true
	// {anna} {anna}
}

// A command that may be repeated much later names a position of the log from before it was issued, here the position of
// the booking. Then the release is not done twice, however many commits came since.
func ExampleKeyIssuedAt() {
	ctx := context.Background()
	_, seats, stop := openSeats(ctx)
	defer stop()
	do := func(command aggregate.Command[Seat, Event], options ...aggregate.Option) aggregate.Result[Seat, Event] {
		result, err := seats.Do(ctx, "1", command, options...)
		if err != nil {
			log.Fatal(err)
		}
		return result
	}
	booked := do(Book{"anna"})
	release := func() aggregate.Result[Seat, Event] {
		return do(Release{}, aggregate.KeyIssuedAt("anna is ill", booked.Position))
	}
	fmt.Println("repeated:", release().Repeated)
	for range 300 { // more than the window
		do(Book{"bert"})
		do(Release{})
	}
	do(Book{"carl"})
	again := release()
	fmt.Printf("repeated: %t, version: %d, guest now: %q\n", again.Repeated, again.Version, again.State.Guest)
	// Output:
	// repeated: false
	// repeated: true, version: 2, guest now: "carl"
}
