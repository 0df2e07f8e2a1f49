package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/runnel-go/runnel/aggregate"
)

// logged prints a call with its outcome. It is a hook for commands, for reactions, and for the actions of sagas.
func logged[C any](ctx context.Context, call C, do func(ctx context.Context) error) error {
	err := do(ctx)
	fmt.Printf("%+v: %v\n", call, err)
	return err
}

// The hook of a repository sees each command and its outcome.
func ExampleConfig_around() {
	ctx := context.Background()
	store, stop := openStore(ctx, Booked{}, Released{})
	defer stop()
	seats, err := aggregate.New(store, "seat", Seat{}, &aggregate.Config{Around: logged[aggregate.Call]})
	if err != nil {
		log.Fatal(err)
	}
	for _, guest := range []string{"anna", "bert"} {
		if _, err := seats.Do(ctx, "1", Book{guest}); err != nil && !errors.Is(err, ErrTaken) {
			log.Fatal(err)
		}
	}
	// Output:
	// {Stream:seat/1 Command:{Guest:anna}}: <nil>
	// {Stream:seat/1 Command:{Guest:bert}}: aggregate: seat/1 at version 1: rejected: the seat is taken
}
