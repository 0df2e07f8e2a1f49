package boundaries_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

type (
	OptInRequested struct {
		Address string
		Until   time.Time
	}
	OptInConfirmed struct{}
)

func (OptInRequested) EventType() string { return "opt-in.requested" }
func (OptInConfirmed) EventType() string { return "opt-in.confirmed" }

type OptIn struct {
	Address   string
	Until     time.Time
	Confirmed bool
}

func (o OptIn) Evolve(event eventstore.Event) OptIn {
	switch e := event.(type) {
	case OptInRequested:
		o.Address, o.Until = e.Address, e.Until
	case OptInConfirmed:
		o.Confirmed = true
	}
	return o
}

type RequestOptIn struct {
	Address string
	Until   time.Time
}

func (c RequestOptIn) Decide(OptIn) ([]eventstore.Event, error) { return one(OptInRequested(c)) }

type ConfirmOptIn struct{ At time.Time }

func (c ConfirmOptIn) Decide(o OptIn) ([]eventstore.Event, error) {
	switch {
	case o.Address == "":
		return nil, errors.New("unknown token")
	case o.Confirmed:
		return nil, errors.New("the token was used")
	case c.At.After(o.Until):
		return nil, errors.New("the token has expired")
	}
	return one(OptInConfirmed{})
}

// The token is the id of a stream. The rule needs no more: the boundary is one aggregate, and costs one append.
func Example_optInToken() {
	ctx := context.Background()
	store, stop := openStore(ctx, OptInRequested{}, OptInConfirmed{})
	defer stop()
	optIns := repository[OptIn](store, "opt-in")
	noon := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, token := range []string{"qx7f", "m2kd"} {
		_, err := optIns.Do(ctx, token, RequestOptIn{"anna@example.com", noon.Add(time.Hour)})
		must(err)
	}
	confirm := func(token string, at time.Time) {
		_, err := optIns.Do(ctx, token, ConfirmOptIn{at})
		if rejected, ok := errors.AsType[*aggregate.RejectedError](err); ok {
			err = rejected.Err
		}
		fmt.Println(token, err)
	}
	confirm("qx7f", noon)
	confirm("qx7f", noon)
	confirm("m2kd", noon.Add(2*time.Hour))
	confirm("0000", noon)
	// Output:
	// qx7f <nil>
	// qx7f the token was used
	// m2kd the token has expired
	// 0000 unknown token
}
