package boundaries_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

type DutyEnded struct{}

func (DutyEnded) EventType() string { return "doctor.duty-ended" }

type Doctor struct{ Off bool }

func (Doctor) Evolve(eventstore.Event) Doctor { return Doctor{Off: true} }

type EndDuty struct{}

func (EndDuty) Decide(Doctor) ([]eventstore.Event, error) { return one(DutyEnded{}) }

// MustBeOn is a rule. It decides nothing, and so guards the doctor's stream.
type MustBeOn struct{}

func (MustBeOn) Decide(d Doctor) ([]eventstore.Event, error) {
	if d.Off {
		return nil, errors.New("somebody has to be on duty")
	}
	return nil, nil
}

// One of two doctors is always on duty. Each may leave only while the other stays.
func Example_someoneOnDuty() {
	ctx := context.Background()
	store, stop := openStore(ctx, DutyEnded{})
	defer stop()
	doctors := repository[Doctor](store, "doctor")
	leave := func(one, other string) error {
		return aggregate.Transact(ctx, store, nil, doctors.On(one, EndDuty{}), doctors.On(other, MustBeOn{}))
	}
	answers := make(chan error, 2)
	go func() { answers <- leave("anna", "ben") }()
	go func() { answers <- leave("ben", "anna") }()
	left := 0
	for range 2 {
		err := <-answers
		switch {
		case err == nil:
			left++
		case !errors.Is(err, aggregate.ErrRejected):
			fmt.Println(err)
		}
	}
	fmt.Println(left, "of 2 have left")
	// Output: 1 of 2 have left
}
