package sagatest_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/saga"
	"github.com/runnel-go/runnel/sagatest"
)

// Reserved and Freed are the events of a seat, which is reserved or not.
type (
	Reserved struct{}
	Freed    struct{}
	Seat     struct{ Reserved bool }
)

func (Reserved) EventType() string { return "seat.reserved" }
func (Freed) EventType() string    { return "seat.freed" }

func (s Seat) Evolve(e eventstore.Event) Seat {
	_, s.Reserved = e.(Reserved)
	return s
}

type (
	reserve struct{}
	free    struct{}
)

func (reserve) Decide(s Seat) ([]eventstore.Event, error) {
	if s.Reserved {
		return nil, errors.New("the seat is taken")
	}
	return []eventstore.Event{Reserved{}}, nil
}

// Decide undoes the reservation that it finds.
func (free) Decide(s Seat) ([]eventstore.Event, error) {
	if !s.Reserved {
		return nil, nil
	}
	return []eventstore.Event{Freed{}}, nil
}

// till is the world outside. It takes money once for each key, pays it back, and refuses a key that it has paid
// back.
type till struct {
	refuses bool // set by the test

	mu   sync.Mutex
	paid map[string]bool // by key; false if it was paid back
}

func (t *till) pay(key string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if paid, known := t.paid[key]; t.refuses || known && !paid {
		return saga.Permanent(errors.New("the card is refused"))
	}
	t.paid[key] = true
	return nil
}

func (t *till) giveBack(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.paid[key] = false
}

func (t *till) payments() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, paid := range t.paid {
		if paid {
			n++
		}
	}
	return n
}

// Booking is the data of the sagas that sell seats.
type Booking struct{ Seat string }

// sell defines these sagas for one process, on its own connection.
func sell(store *eventstore.Store, till *till) (*saga.Definition[Booking], error) {
	seats, err := aggregate.New(store, "seat", Seat{}, nil)
	if err != nil {
		return nil, err
	}
	on := func(command aggregate.Command[Seat, eventstore.Event]) saga.Action[Booking] {
		return func(ctx context.Context, call saga.Call, b Booking) (Booking, error) {
			_, err := seats.Do(ctx, b.Seat, command, call.Once())
			return b, err
		}
	}
	return saga.Define("booking",
		saga.Step("reserve", on(reserve{})).Undo(on(free{})),
		saga.Step("pay", func(_ context.Context, call saga.Call, b Booking) (Booking, error) {
			return b, till.pay(call.Key())
		}).Undo(func(_ context.Context, call saga.Call, b Booking) (Booking, error) {
			till.giveBack(call.DoKey())
			return b, nil
		}),
	)
}

// staged is a play for a till: in the end the seat is sold and paid for, or neither.
func staged(t testing.TB, outside *eventstore.Store, till *till) sagatest.Play[Booking] {
	seats, err := aggregate.New(outside, "seat", Seat{}, nil)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return sagatest.Play[Booking]{
		ID: "1", Data: Booking{Seat: "7a"},
		Define: func(store *eventstore.Store) (*saga.Definition[Booking], error) { return sell(store, till) },
		Check: func(t testing.TB, in saga.Instance[Booking]) {
			seat, err := seats.Load(t.Context(), "7a")
			sold := in.State == saga.StateCompleted
			if err != nil || sold == till.refuses || seat.State.Reserved != sold || (till.payments() == 1) != sold {
				t.Errorf("seat %+v, %d payments: %v\n%s", seat.State, till.payments(), err, sagatest.Story(in))
			}
		},
	}
}

var seatEvents = []eventstore.Event{Reserved{}, Freed{}}

// Without call.Once in the actions, the process that takes over finds the seat taken: some of the runs would
// fail, and name the point.
func ExampleCrash() {
	t := &shown{} // in a test, its *testing.T
	defer t.end()

	sagatest.Crash(t, seatEvents, func(t testing.TB, outside *eventstore.Store) sagatest.Play[Booking] {
		return staged(t, outside, &till{paid: make(map[string]bool)})
	})

	fmt.Println("died, and was frozen, at two points at least:", t.runs.Load() > 4)
	fmt.Println("failures:", len(t.failures))
	// Output:
	// died, and was frozen, at two points at least: true
	// failures: 0
}

// The same play in a world that says no, so that the saga has to go back.
func ExamplePlay() {
	t := &shown{} // in a test, its *testing.T
	defer t.end()

	sagatest.Crash(t, seatEvents, func(t testing.TB, outside *eventstore.Store) sagatest.Play[Booking] {
		return staged(t, outside, &till{paid: make(map[string]bool), refuses: true})
	})

	fmt.Println("failures:", len(t.failures))
	// Output: failures: 0
}
