package aggregate_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// has decides nothing, and rejects if there is less.
type has struct{ Amount int64 }

func (c has) Decide(b balance) ([]event, error) {
	if b.Amount < c.Amount {
		return nil, errFunds
	}
	return nil, nil
}

// meanwhile makes a command do something right after its n-th decision was asked for.
func meanwhile(command aggregate.Command[balance, event], n int, do func()) aggregate.Command[balance, event] {
	decisions := 0
	return beside{command, func(decision int) {
		if decision == n {
			do()
		}
	}, &decisions}
}

func end(t *testing.T, store *eventstore.Store) eventstore.Position {
	t.Helper()
	end, err := store.End(t.Context())
	require.NoError(t, err)
	return end
}

func TestAnOperationThatDecidesNothingGuardsItsStream(t *testing.T) {
	store := open(t)
	here, there := repository(t, store, nil), repository(t, store, nil)
	_, err := here.Do(t.Context(), "rich", deposit{100})
	require.NoError(t, err)
	transact := func(rule aggregate.Command[balance, event]) error {
		return aggregate.Transact(t.Context(), store, nil, here.On("rich", rule), here.On("new", deposit{1}))
	}
	do := func(command aggregate.Command[balance, event]) {
		_, err := there.Do(t.Context(), "rich", command)
		require.NoError(t, err)
	}
	spend := func() { do(withdraw{50}) }
	require.NoError(t, transact(meanwhile(has{50}, 1, spend)), "50 are still there when it is decided again")
	require.ErrorIs(t, transact(meanwhile(has{50}, 1, spend)), errFunds)
	// The second decision is on the leader's state. The append detects commits that come after it.
	do(deposit{50})
	require.ErrorIs(t, transact(meanwhile(has{50}, 2, spend)), errFunds)
	result, err := there.Load(t.Context(), "new")
	require.NoError(t, err)
	require.Equal(t, balance{1}, result.State, "only the first was stored")
}

func TestAClaimByTheOwnerIsGuarded(t *testing.T) {
	store := open(t)
	accounts := repository(t, store, nil)
	here, there := unique(t, store, nil), unique(t, store, nil)
	require.NoError(t, aggregate.Transact(t.Context(), store, nil, here.Claim("anna", "1")))
	released := meanwhile(deposit{1}, 1, func() {
		require.NoError(t, aggregate.Transact(t.Context(), store, nil, there.Release("anna", "1"), there.Claim("ben", "2")))
	})
	before := end(t, store)
	require.NoError(t, aggregate.Transact(t.Context(), store, nil, here.Claim("anna", "1"), accounts.On("1", released)))
	require.Equal(t, before+4, end(t, store), "what was released is claimed again, with the account")
	requireOwner(t, there, "anna", "1")
	taken := meanwhile(deposit{1}, 1, func() {
		require.NoError(t, aggregate.Transact(t.Context(), store, nil, there.Release("anna", "1")))
		require.NoError(t, aggregate.Transact(t.Context(), store, nil, there.Claim("anna", "2")))
	})
	err := aggregate.Transact(t.Context(), store, nil, here.Claim("anna", "1"), accounts.On("1", taken))
	require.ErrorIs(t, err, aggregate.ErrTaken)
}

func TestWhatAllOnlyReadWasSoAtOneMoment(t *testing.T) {
	store := open(t)
	here, there := repository(t, store, nil), repository(t, store, nil)
	for _, id := range []string{"a", "b"} {
		_, err := here.Do(t.Context(), id, deposit{10})
		require.NoError(t, err)
	}
	before := end(t, store)
	a, b := here.On("a", has{0}), here.On("b", meanwhile(has{0}, 1, func() {
		require.NoError(t, aggregate.Transact(t.Context(), store, nil, there.On("a", withdraw{10}), there.On("b", deposit{10})))
	}))
	require.NoError(t, aggregate.Transact(t.Context(), store, nil, a, b))
	require.Equal(t, balance{20}, balance{a.Result().State.Amount + b.Result().State.Amount})
	require.Equal(t, before+2, end(t, store), "it stores nothing itself")
}

func TestARepeatedTransactionIsRepeatedThoughWhatItGuardedMoved(t *testing.T) {
	store := open(t)
	accounts := repository(t, store, nil)
	_, err := accounts.Do(t.Context(), "rich", deposit{50})
	require.NoError(t, err)
	transact := func() (*aggregate.Op[balance, event], error) {
		op := accounts.On("new", deposit{1}, aggregate.Key("k"))
		return op, aggregate.Transact(t.Context(), store, nil, op, accounts.On("rich", has{50}))
	}
	_, err = transact()
	require.NoError(t, err)
	_, err = accounts.Do(t.Context(), "rich", withdraw{50})
	require.NoError(t, err)
	op, err := transact()
	require.NoError(t, err, "it was done when 50 were there")
	require.True(t, op.Result().Repeated)
}

func TestACommandHoldsOnlyWhileWhatItIsGivenDoes(t *testing.T) {
	store := open(t)
	here, there := repository(t, store, nil), repository(t, store, nil)
	price, err := here.Do(t.Context(), "price", deposit{100})
	require.NoError(t, err)
	none, err := here.Load(t.Context(), "none")
	require.NoError(t, err)
	ordered, err := here.Do(t.Context(), "order", deposit{100}, here.Given("price", price.Version), here.Given("none", none.Version), aggregate.Key("first"))
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(4), ordered.Position, "behind two guards")
	_, err = here.Do(t.Context(), "order", deposit{100}, there.Given("price", price.Version))
	require.NoError(t, err, "of another repository, which has to look it up")

	_, err = there.Do(t.Context(), "price", deposit{20})
	require.NoError(t, err)
	before := end(t, store)
	conflict := &eventstore.ConflictError{Stream: eventstore.StreamID{Category: "account", ID: "price"}, Expected: 1, Actual: 2}
	for name, given := range map[string]aggregate.Option{"as it is cached": here.Given("price", 1), "looked up": repository(t, store, nil).Given("price", 1)} {
		_, err = here.Do(t.Context(), "order", deposit{100}, given)
		require.Equal(t, conflict, err, name)
		_, err = here.Do(t.Context(), "order", deposit{0}, given)
		require.Equal(t, conflict, err, "nothing to do is an answer on the price, too: %s", name)
		_, err = here.Do(t.Context(), "order", withdraw{1000}, given)
		require.Equal(t, conflict, err, "so is a rejection: %s", name)
	}
	again, err := here.Do(t.Context(), "order", deposit{100}, here.Given("price", 1), here.Given("none", 0), aggregate.Key("first"))
	require.NoError(t, err)
	require.True(t, again.Repeated, "it was done at the old price")
	require.Equal(t, before, end(t, store), "and nothing was stored")
}

func TestWhatIsGivenMayTakePart(t *testing.T) {
	store := open(t)
	here, there := repository(t, store, nil), repository(t, store, nil)
	_, err := here.Do(t.Context(), "a", deposit{1})
	require.NoError(t, err)
	_, err = there.Do(t.Context(), "a", deposit{1})
	require.NoError(t, err)
	_, err = here.Do(t.Context(), "a", deposit{1}, here.Given("a", 2))
	require.NoError(t, err, "the cached state is older, and is refreshed")
	var conflict *eventstore.ConflictError
	_, err = here.Do(t.Context(), "a", deposit{1}, here.Given("a", 2))
	require.ErrorAs(t, err, &conflict)
	err = aggregate.Transact(t.Context(), store, nil, here.On("a", deposit{1}), here.On("b", deposit{1}, here.Given("a", 3), here.Given("c", 0)), here.On("c", has{0}))
	require.NoError(t, err)
	err = aggregate.Transact(t.Context(), store, nil, here.On("a", deposit{1}), here.On("b", deposit{1}, here.Given("a", 3)))
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, eventstore.Version(4), conflict.Actual)

	_, err = here.Do(t.Context(), "a", deposit{1}, repository(t, open(t), nil).Given("a", 4))
	require.ErrorContains(t, err, "another store")
}

// A round trip takes a tenth of a second here. One after the other, twenty loads would take two.
func TestTheLooksOfATransactionRunSideBySide(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	accounts := repository(t, store, nil)
	transact := func(command aggregate.Command[balance, event]) (time.Duration, error) {
		ops := make([]aggregate.Operation, 20)
		for i := range ops {
			ops[i] = accounts.On(fmt.Sprint(i), command)
		}
		begun := time.Now()
		err := aggregate.Transact(t.Context(), store, nil, ops...)
		return time.Since(begun), err
	}
	proxy.Delay(50 * time.Millisecond)
	for name, run := range map[string]struct {
		command aggregate.Command[balance, event]
		want    error
	}{"load and append": {deposit{1}, nil}, "look before a rejection": {withdraw{100}, errFunds}} {
		took, err := transact(run.command)
		require.ErrorIs(t, err, run.want, name)
		require.Less(t, took, 2*time.Second, name)
	}
	proxy.Delay(0)

	for range 10 { // the first in order is told, whichever fails first
		_, err = transact(withdraw{100})
		var rejected *aggregate.RejectedError
		require.ErrorAs(t, err, &rejected)
		require.Equal(t, "0", rejected.Stream.ID)
	}
}

func TestAPanicOfOneLoadReachesTheCallerOfTheTransaction(t *testing.T) {
	store := open(t)
	accounts := repository(t, store, nil)
	_, err := accounts.Do(t.Context(), "1", deposit{1})
	require.NoError(t, err)
	faulty, err := aggregate.New(store, "account", panicking{}, nil)
	require.NoError(t, err)
	require.Panics(t, func() {
		_ = aggregate.Transact(t.Context(), store, nil, faulty.On("1", nothing{}), faulty.On("2", nothing{}))
	})
	_, err = accounts.Do(t.Context(), "1", deposit{1})
	require.NoError(t, err)
}

type panicking struct{}

func (panicking) Evolve(event) panicking { panic(errors.New("a fold that fails")) }

type nothing struct{}

func (nothing) Decide(panicking) ([]event, error) { return nil, nil }
