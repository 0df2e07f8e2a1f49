package aggregatetest_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/aggregatetest"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
)

type event interface {
	eventstore.Event
	wallet()
}

type (
	earned   struct{ Amount money.Amount }
	spent    struct{ Amount money.Amount }
	tagged   struct{ Names map[string]int64 }
	earnedV1 struct{ Dollars uint8 }
)

func (earned) EventType() string   { return "wallet.earned.v2" }
func (spent) EventType() string    { return "wallet.spent" }
func (tagged) EventType() string   { return "wallet.tagged" }
func (earnedV1) EventType() string { return "wallet.earned" }
func (earned) wallet()             {}
func (spent) wallet()              {}
func (tagged) wallet()             {}

var walletEvents = []eventstore.Event{earned{}, spent{}, tagged{}}

// wallet is a state with a map, that Evolve writes to.
type wallet struct {
	Held money.Amount
	Tags map[string]int64
}

func (w wallet) Clone() wallet {
	w.Tags = maps.Clone(w.Tags)
	return w
}

func (w wallet) Evolve(e event) wallet {
	switch e := e.(type) {
	case earned:
		w.Held += e.Amount
	case spent:
		w.Held -= e.Amount
	case tagged:
		if w.Tags == nil {
			w.Tags = map[string]int64{}
		}
		maps.Copy(w.Tags, e.Names)
	}
	return w
}

type (
	earn  struct{ Amount money.Amount }
	spend struct{ Amount money.Amount }
	tag   struct{ Name string }
)

var errFunds = errors.New("not enough")

func (c earn) Decide(wallet) ([]event, error) {
	if c.Amount <= 0 {
		return nil, fmt.Errorf("%d is no income", c.Amount)
	}
	return []event{earned(c)}, nil
}

func (c spend) Decide(w wallet) ([]event, error) {
	if c.Amount <= 0 || c.Amount > w.Held {
		return nil, errFunds
	}
	return []event{spent(c)}, nil
}

func (c tag) Decide(w wallet) ([]event, error) {
	if _, again := w.Tags[c.Name]; again {
		return nil, nil
	}
	return []event{tagged{Names: map[string]int64{c.Name: 1}}}, nil
}

type command = aggregate.Command[wallet, event]

// anyCommand draws commands, and the given commands among them.
func anyCommand(others ...command) *rapid.Generator[command] {
	amount := rapid.Map(rapid.IntRange(-1, 9), func(n int) money.Amount { return money.Amount(n) })
	usual := rapid.OneOf(
		rapid.Map(amount, func(a money.Amount) command { return earn{a} }),
		rapid.Map(amount, func(a money.Amount) command { return spend{a} }),
		rapid.Map(rapid.SampledFrom([]string{"a", "b"}), func(name string) command { return tag{name} }),
	)
	if len(others) == 0 {
		return usual
	}
	return rapid.OneOf(usual, rapid.SampledFrom(others))
}

func neverInDebt(_ []event, w wallet) error {
	if w.Held < 0 {
		return fmt.Errorf("it holds %s", w.Held)
	}
	return nil
}

var upcasters = &eventstore.Config{Upcasters: []eventstore.Upcaster{
	eventstore.Upcast(func(e earnedV1) earned { return earned{Amount: money.Amount(e.Dollars) * 100} }),
}}

// decideBy is a command with a rule of the test.
type decideBy struct {
	Name string
	rule func(w wallet) ([]event, error)
}

func (d decideBy) Decide(w wallet) ([]event, error) { return d.rule(w) }

func TestAHealthyDomainPasses(t *testing.T) {
	for name, cfg := range map[string]*aggregatetest.Config{
		"by default":        nil,
		"with old events":   {Store: upcasters, MaxCommands: 12},
		"in JSON":           {Store: &eventstore.Config{Codec: eventstore.JSON}},
		"without snapshots": {NoSnapshots: true},
		"with few commands": {MaxCommands: 1},
	} {
		t.Run(name, func(t *testing.T) {
			aggregatetest.Check(t, wallet{}, walletEvents, anyCommand(), cfg, neverInDebt)
		})
	}
}
