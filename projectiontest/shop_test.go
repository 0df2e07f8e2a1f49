package projectiontest_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/projection"
	"github.com/runnel-go/runnel/projectiontest"
)

type (
	placed   struct{ Customer string }
	canceled struct{}
)

func (placed) EventType() string   { return "order.placed" }
func (canceled) EventType() string { return "order.canceled" }

var shopEvents = []eventstore.Event{placed{}, canceled{}}

// order is a document.
type order struct {
	Customer string
	Changes  int
	Hidden   int `json:"-"`
}

func takePlaced(o order, e placed) order { return order{Customer: e.Customer, Changes: o.Changes + 1} }

func takeCanceled(o order, _ canceled) bool { return o.Changes > 1 }

// anyHistory draws commits on a few streams.
func anyHistory() *rapid.Generator[[]projectiontest.Commit] {
	event := rapid.OneOf(
		rapid.Map(rapid.SampledFrom([]string{"anna", "bert"}), func(name string) eventstore.Event { return placed{name} }),
		rapid.Just[eventstore.Event](canceled{}),
	)
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) projectiontest.Commit {
		return projectiontest.Commit{
			Stream: "order/" + rapid.SampledFrom([]string{"1", "2"}).Draw(t, "id"), Events: rapid.SliceOfN(event, 1, 3).Draw(t, "events"),
		}
	}), 1, 8)
}

// busyHistory draws commits on one stream, so many that something happens between two of them.
func busyHistory() *rapid.Generator[[]projectiontest.Commit] {
	return rapid.SliceOfN(rapid.Map(rapid.SampledFrom([]string{"anna", "bert"}), func(name string) projectiontest.Commit {
		return projectiontest.Commit{Stream: "order/1", Events: []eventstore.Event{placed{name}}}
	}), 6, 8)
}

func TestPureRulesPass(t *testing.T) {
	proptest.Runs(t, 40) // and so 4 histories
	projectiontest.Check(t, shopEvents, anyHistory(), nil, projection.On(takePlaced), projection.Delete(takeCanceled))
	projectiontest.Check(t, shopEvents, anyHistory(), &projectiontest.Config{
		Store: &eventstore.Config{Codec: eventstore.JSON}, View: &projection.Config{CacheSize: 1, BuildCacheSize: 1},
	}, projection.On(takePlaced).ByEach(func(e placed) []string { return []string{e.Customer, "all"} }))
}

func TestRulesThatAreNotPureAreFound(t *testing.T) {
	var calls atomic.Int64
	for name, c := range map[string]struct {
		rule projection.Rule[order]
		says string
		most int // steps
	}{
		"a rule counts its calls": {
			projection.On(func(o order, _ placed) order { o.Changes = int(calls.Add(1)); return o }),
			"- one straight fold, + a view that ran meanwhile:\n- ", 2,
		},
		"a rule keeps something in what is not stored": {
			projection.On(func(o order, _ placed) order { o.Hidden++; o.Changes = o.Hidden; return o }),
			"- one straight fold, + a view that ran meanwhile:\n- ", 16,
		},
		"a rule panics": {
			projection.On(func(o order, e placed) order {
				if e.Customer == "bert" {
					panic("no")
				}
				return o
			}),
			"panic", 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			found := projectiontest.Search(t, shopEvents, busyHistory(), nil, c.rule)
			require.NotNil(t, found)
			require.Contains(t, found.String(), c.says)
			require.LessOrEqual(t, len(found.Steps), c.most, found)
			t.Log(found)
		})
	}
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB

	said string
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.said = fmt.Sprintf(format, args...)
	panic(r)
}

// failing runs a function that must fail a test, and returns the message.
func failing(t *testing.T, f func(t testing.TB)) string {
	t.Helper()
	r := &recorder{TB: t}
	var inner sync.WaitGroup
	inner.Go(func() {
		defer func() {
			if p := recover(); p != nil && p != any(r) {
				t.Errorf("panic: %v", p)
			}
		}()
		f(r)
	})
	inner.Wait()
	require.NotEmpty(t, r.said, "it did not fail")
	return r.said
}

func TestScenariosThatDoNotHoldSaySo(t *testing.T) {
	for name, c := range map[string]struct {
		then func(s *projectiontest.Scenario[order])
		says string
	}{
		"other documents":  {func(s *projectiontest.Scenario[order]) { s.Then(map[string]order{"1": {Customer: "bert", Changes: 1}}) }, "- 1: projectiontest_test.order{Customer: \"bert\", Changes: 1}\n+ 1: projectiontest_test.order{Customer: \"anna\", Changes: 1}\ngiven\n\torder/1: projectiontest_test.placed{Customer: \"anna\"}"},
		"no documents":     {func(s *projectiontest.Scenario[order]) { s.Then(nil) }, "- no documents\n+ 1: "},
		"another document": {func(s *projectiontest.Scenario[order]) { s.ThenDocument("1", order{}) }, "document \"1\" is not as expected"},
		"no such document": {func(s *projectiontest.Scenario[order]) { s.ThenDocument("2", order{}) }, "there is no document \"2\", but\n1: "},
		"a document":       {func(s *projectiontest.Scenario[order]) { s.ThenNone("2", "1") }, "there is a document \"1\": "},
		"no stream":        {func(s *projectiontest.Scenario[order]) { s.Given("1", canceled{}).ThenNone("1") }, "stream \"1\": want category/id"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Contains(t, failing(t, func(t testing.TB) {
				c.then(projectiontest.For(t, shopEvents, projection.On(takePlaced)).Given("order/1", placed{"anna"}))
			}), c.says)
		})
	}
	require.Contains(t, failing(t, func(t testing.TB) {
		projectiontest.For[order](t, shopEvents).Then(map[string]order{"1": {}})
	}), "given\n\tno events")
	require.Contains(t, failing(t, func(t testing.TB) {
		projectiontest.Check(t, shopEvents, anyHistory(), nil, projection.On(func(order, placed) order { panic("never") }))
	}), "projectiontest: a view depends on how it was folded: ")
}

func TestScenariosHold(t *testing.T) {
	projectiontest.For(t, shopEvents, projection.On(takePlaced), projection.Delete(takeCanceled)).
		Given("order/1", placed{"anna"}, placed{"bert"}).
		Given("order/2", placed{"anna"}).
		Then(map[string]order{"1": {Customer: "bert", Changes: 2}, "2": {Customer: "anna", Changes: 1}})

	projectiontest.For(t, shopEvents, projection.On(takePlaced), projection.Delete(takeCanceled)).
		Given("order/1", placed{"anna"}, placed{"bert"}).
		Given("order/2", placed{"anna"}).
		ThenDocument("1", order{Customer: "bert", Changes: 2}).
		Given("order/1", canceled{}).
		ThenNone("1").
		ThenDocument("2", order{Customer: "anna", Changes: 1})
}
