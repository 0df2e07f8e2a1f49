package aggregatetest_test

import (
	"fmt"
	"math/big"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/aggregatetest"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
)

// Each of these commands breaks a law, and one or two commands show it.
func TestACommandThatBreaksALawIsFound(t *testing.T) {
	var calls atomic.Int64
	for name, c := range map[string]struct {
		rule func(w wallet) ([]event, error)
		says string
	}{
		"it breaks an invariant": {
			func(w wallet) ([]event, error) { return []event{spent{w.Held + 1}}, nil },
			"the invariants hold after every event: it holds -0.01",
		},
		"it panics": {
			func(w wallet) ([]event, error) { return []event{spent{1 / w.Held}}, nil },
			"Decide rejects, it does not panic: Decide panics: runtime error: integer divide by zero",
		},
		"it gives two answers": {
			func(wallet) ([]event, error) { return nil, fmt.Errorf("call %d", calls.Add(1)) },
			"Decide and Evolve return the same for the same: Decide returns two answers",
		},
		"it rejects with events": {
			func(wallet) ([]event, error) { return []event{earned{1}}, errFunds },
			"a rejected command leaves no events: it was rejected (not enough) with []event{earned{Amount: 1}}",
		},
		"it decides what is not registered": {
			func(wallet) ([]event, error) { return []event{secretive{1, 1}}, nil },
			"what is decided is registered: Decide returns a aggregatetest_test.secretive",
		},
	} {
		t.Run(name, func(t *testing.T) {
			calls.Store(0)
			found := aggregatetest.Search(t, wallet{}, walletEvents, anyCommand(decideBy{"wrong", c.rule}), nil, neverInDebt)
			require.NotNil(t, found)
			require.Contains(t, found.String(), c.says)
			require.LessOrEqual(t, len(found.Commands), 2, found)
			require.Contains(t, found.Test, "func TestWalletCounterexample(t *testing.T) {\n\taggregatetest.For(t, wallet{}).")
		})
	}
}

// The domain calls Decide twice, and a repository calls it once.
func TestACommandThatAnswersARepositoryOtherwiseIsFound(t *testing.T) {
	var calls atomic.Int64
	odd := decideBy{"odd", func(wallet) ([]event, error) { return nil, fmt.Errorf("call %d", (calls.Add(1)+1)/2) }}
	found := aggregatetest.Search(t, wallet{}, walletEvents, anyCommand(odd), nil, neverInDebt)
	require.NotNil(t, found)
	require.Contains(t, found.String(), "what a store answers is what the domain decides: - the domain decides, + the repository answers:\n- rejected: call ")
}

// list is a state that shares its memory, with an Evolve of the test's.
type list struct {
	Amounts []int64
	rule    func(l list, e event) list
}

func (l list) Evolve(e event) list { return l.rule(l, e) }

type listCommand struct{ Amount int64 }

func (c listCommand) Decide(l list) ([]event, error) {
	if c.Amount == 7 && len(l.Amounts) > 0 {
		l.Amounts[0] = 7 // on which Decide only looks
	}
	return []event{tagged{Names: map[string]int64{"n": c.Amount}}}, nil
}

func lists(from, to int64) *rapid.Generator[aggregate.Command[list, event]] {
	return rapid.Map(rapid.Int64Range(from, to), func(n int64) aggregate.Command[list, event] { return listCommand{n} })
}

func TestAnEvolveThatBreaksALawIsFound(t *testing.T) {
	calls := int64(0)
	room := make([]int64, 0, 1000)
	grown := func(l list, n int64) list {
		l.Amounts = append(append([]int64{}, l.Amounts...), n)
		return l
	}
	for name, c := range map[string]struct {
		rule     func(l list, e event) list
		commands *rapid.Generator[aggregate.Command[list, event]]
		says     string
	}{
		"it writes into its receiver": {
			func(l list, e event) list {
				if len(l.Amounts) > 0 {
					l.Amounts[0]++
					return l
				}
				return grown(l, 1)
			},
			lists(0, 5), "Evolve changes its receiver: give the state a Clone",
		},
		"it lends its memory": {
			func(l list, e event) list {
				// The third state overwrites the second, because all states grow in the same memory.
				next := append(room[:len(l.Amounts)], int64(len(l.Amounts)))
				next[0] = int64(len(next))
				return list{Amounts: next, rule: l.rule}
			},
			lists(0, 5), "leave a state as it was",
		},
		"Decide writes into the state": {
			func(l list, e event) list { return grown(l, 1) },
			lists(6, 7), "leave a state as it was: Decide changes its receiver's state",
		},
		"it gives two states": {
			func(l list, e event) list { calls++; return grown(l, calls) },
			lists(0, 5), "Evolve returns two states for one event",
		},
		"it changes the event": {
			func(l list, e event) list {
				if e, ok := e.(tagged); ok {
					e.Names["n"] = 77
				}
				return l
			},
			lists(0, 5), "Evolve changes the event",
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := aggregatetest.Search(t, list{rule: c.rule}, walletEvents, c.commands, &aggregatetest.Config{NoSnapshots: true})
			require.NotNil(t, found)
			require.Contains(t, found.String(), c.says)
			require.LessOrEqual(t, len(found.Commands), 2, found)
		})
	}
}

// brittle is a state that does not take all events.
type brittle struct{ Share int64 }

func (b brittle) Evolve(e event) brittle {
	if e, ok := e.(spent); ok {
		return brittle{100 / int64(e.Amount)}
	}
	return b
}

type shift struct{ Amount money.Amount }

func (c shift) Decide(brittle) ([]event, error) { return []event{spent(c)}, nil }

func TestAnEvolveThatDoesNotTakeWhatNoCommandDecidesIsFound(t *testing.T) {
	found := aggregatetest.Search(t, brittle{}, walletEvents, rapid.Just[aggregate.Command[brittle, event]](shift{1}), nil)
	require.NotNil(t, found)
	require.Contains(t, found.String(), "Evolve takes every event, in every state: Evolve panics: runtime error: integer divide by zero\nfor the event spent{}")
	require.Equal(t, "func TestBrittleCounterexample(t *testing.T) {\n\taggregatetest.For(t, brittle{}).\n\t\tGiven(spent{})\n}\n", found.Test)
}

// hiding is a state with a field that is not stored.
type hiding struct {
	Shown  int64
	Hidden int64 `msgpack:"-"`
}

func (h hiding) Evolve(e event) hiding {
	if e, ok := e.(earned); ok {
		return hiding{h.Shown + int64(e.Amount), h.Hidden + 1}
	}
	return h
}

type hide struct{ Amount int64 }

func (h hide) Decide(hiding) ([]event, error) { return []event{earned{1}}, nil }

func TestAStateThatDoesNotSurviveASnapshotIsFound(t *testing.T) {
	commands := rapid.Just[aggregate.Command[hiding, event]](hide{1})
	found := aggregatetest.Search(t, hiding{}, walletEvents, commands, nil)
	require.NotNil(t, found)
	require.Contains(t, found.String(), "the state does not survive being stored; set Config.NoSnapshots if it never is")
	require.Len(t, found.Commands, 1)
	require.Contains(t, found.Test, "ThenStored(nil,\n")
	aggregatetest.Check(t, hiding{}, walletEvents, commands, &aggregatetest.Config{NoSnapshots: true})
}

// priced has a number that only its own methods fill.
type priced struct{ Price big.Int }

func (priced) EventType() string { return "wallet.priced" }
func (priced) wallet()           {}

func TestASampleLeavesOutWhatOnlyMethodsFill(t *testing.T) {
	aggregatetest.Check(t, wallet{}, slices.Concat(walletEvents, []eventstore.Event{priced{}}), anyCommand(), nil)
}

// secretive is an event with a field that is not stored.
type secretive struct {
	Amount int64
	Secret int64 `msgpack:"-"`
}

func (secretive) EventType() string { return "wallet.secret" }
func (secretive) wallet()           {}

func TestAnEventThatLosesWhatItMeansIsFound(t *testing.T) {
	keeps := decideBy{"keep", func(wallet) ([]event, error) { return []event{secretive{1, 2}}, nil }}
	all := append([]eventstore.Event{secretive{}}, walletEvents...)
	found := aggregatetest.Search(t, wallet{}, all, anyCommand(keeps), nil)
	require.NotNil(t, found)
	require.Contains(t, found.String(), "events that are stored, decoded and upcast mean what they meant: - upcast, + stored, decoded and upcast")
	require.Empty(t, found.Commands)
	require.Len(t, found.Events, 1)
	require.Contains(t, found.Test, "\t\tGiven(secretive{Secret: ")
}

func TestAnUpcasterThatFailsIsFound(t *testing.T) {
	failing := &eventstore.Config{Upcasters: []eventstore.Upcaster{
		eventstore.Upcast(func(e earnedV1) earned { return earned{Amount: money.Amount(100 / int64(e.Dollars))} }),
	}}
	found := aggregatetest.Search(t, wallet{}, walletEvents, anyCommand(), &aggregatetest.Config{Store: failing})
	require.NotNil(t, found)
	require.Contains(t, found.String(), `the upcaster of "wallet.earned" panics`)
	require.Equal(t, []eventstore.Event{earnedV1{}}, found.Events)
	require.Empty(t, found.Test, "no scenario has old events")
}

func TestARejectionIsKnownByItsError(t *testing.T) {
	require.ErrorIs(t, aggregatetest.For(t, wallet{}).When(spend{1}).ThenRejected(), errFunds)
}
