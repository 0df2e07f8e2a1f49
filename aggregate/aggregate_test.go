package aggregate_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

type event interface {
	eventstore.Event
	account()
}

type deposited struct{ Amount int64 }

func (deposited) EventType() string { return "account.deposited" }
func (deposited) account()          {}

type withdrawn struct{ Amount int64 }

func (withdrawn) EventType() string { return "account.withdrawn" }
func (withdrawn) account()          {}

// closed is registered with the store, but it is not an event of accounts.
type closed struct{}

func (closed) EventType() string { return "branch.closed" }

var events = []eventstore.Event{deposited{}, withdrawn{}, closed{}}

type balance struct{ Amount int64 }

func (b balance) Evolve(e event) balance {
	switch e := e.(type) {
	case deposited:
		b.Amount += e.Amount
	case withdrawn:
		b.Amount -= e.Amount
	}
	return b
}

var errFunds = errors.New("not enough funds")

type deposit struct{ Amount int64 }

func (c deposit) Decide(balance) ([]event, error) {
	if c.Amount == 0 {
		return nil, nil
	}
	return []event{deposited(c)}, nil
}

type withdraw struct{ Amount int64 }

func (c withdraw) Decide(b balance) ([]event, error) {
	if b.Amount < c.Amount {
		return nil, errFunds
	}
	return []event{withdrawn(c)}, nil
}

func open(t *testing.T) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func repository(t *testing.T, store *eventstore.Store, cfg *aggregate.Config) *aggregate.Repository[balance, event] {
	t.Helper()
	accounts, err := aggregate.New(store, "account", balance{}, cfg)
	require.NoError(t, err)
	return accounts
}

func TestDoDecidesAndAppends(t *testing.T) {
	accounts := repository(t, open(t), nil)
	result, err := accounts.Do(t.Context(), "1", deposit{10})
	require.NoError(t, err)
	require.Equal(t, aggregate.Result[balance, event]{
		State: balance{10}, Version: 1, Position: 1, Events: []event{deposited{10}},
	}, result)

	_, err = accounts.Do(t.Context(), "1", withdraw{11})
	require.ErrorIs(t, err, errFunds)
	require.ErrorIs(t, err, aggregate.ErrRejected)

	result, err = accounts.Do(t.Context(), "1", deposit{0})
	require.NoError(t, err)
	require.Equal(t, aggregate.Result[balance, event]{State: balance{10}, Version: 1, Position: 1}, result, "nothing to do")
}

func TestAKeyedCommandIsDoneOnce(t *testing.T) {
	store := open(t)
	accounts := repository(t, store, &aggregate.Config{KeyWindow: 5, KeyAge: 1})
	first, err := accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
	require.NoError(t, err)

	for name, accounts := range map[string]*aggregate.Repository[balance, event]{
		"from the cache": accounts, "from the log": repository(t, store, &aggregate.Config{KeyWindow: 5, KeyAge: 1}),
	} {
		again, err := accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
		require.NoError(t, err, name)
		require.True(t, again.Repeated)
		require.Equal(t, first.Version, again.Version)
		require.Equal(t, first.Position, again.Position)
		require.Equal(t, first.Events, again.Events)

		_, err = accounts.Do(t.Context(), "1", deposit{11}, aggregate.Key("k"))
		require.ErrorIs(t, err, aggregate.ErrKeyReused, name)
		_, err = accounts.Do(t.Context(), "1", withdraw{10}, aggregate.Key("k"))
		require.ErrorIs(t, err, aggregate.ErrKeyReused, "another command of the same fields")
	}
	for range 4 {
		_, err := accounts.Do(t.Context(), "1", deposit{1})
		require.NoError(t, err)
	}
	again, err := accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
	require.NoError(t, err)
	require.True(t, again.Repeated, "the fifth commit from the end is in the window")
	_, err = accounts.Do(t.Context(), "1", deposit{1})
	require.NoError(t, err)
	again, err = accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
	require.NoError(t, err)
	require.False(t, again.Repeated, "behind the window the key is forgotten")
}

func TestIfVersion(t *testing.T) {
	store := open(t)
	accounts, other := repository(t, store, nil), repository(t, store, nil)
	_, err := accounts.Do(t.Context(), "1", deposit{10}, aggregate.IfVersion(0))
	require.NoError(t, err)
	_, err = other.Do(t.Context(), "1", deposit{10})
	require.NoError(t, err)
	_, err = accounts.Do(t.Context(), "1", deposit{10}, aggregate.IfVersion(1))
	var conflict *eventstore.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, eventstore.Version(2), conflict.Actual)
	_, err = accounts.Do(t.Context(), "1", deposit{10}, aggregate.IfVersion(2))
	require.NoError(t, err)
}

func TestARejectionIsConfirmedBeforeItIsGiven(t *testing.T) {
	store := open(t)
	accounts, other := repository(t, store, nil), repository(t, store, nil)
	_, err := accounts.Do(t.Context(), "1", deposit{1})
	require.NoError(t, err)
	_, err = other.Do(t.Context(), "1", deposit{9})
	require.NoError(t, err)
	result, err := accounts.Do(t.Context(), "1", withdraw{10})
	require.NoError(t, err, "what is cached would reject it")
	require.Equal(t, balance{0}, result.State)
}

func TestTransactIsAllOrNothing(t *testing.T) {
	store := open(t)
	accounts := repository(t, store, nil)
	_, err := accounts.Do(t.Context(), "a", deposit{10})
	require.NoError(t, err)

	transfer := func(amount int64) (*aggregate.Op[balance, event], *aggregate.Op[balance, event], error) {
		from := accounts.On("a", withdraw{amount}, aggregate.Key("t"))
		to := accounts.On("b", deposit{amount})
		return from, to, aggregate.Transact(t.Context(), store, nil, from, to)
	}
	_, _, err = transfer(11)
	require.ErrorIs(t, err, errFunds)
	from, to, err := transfer(7)
	require.NoError(t, err)
	require.Equal(t, balance{3}, from.Result().State)
	require.Equal(t, balance{7}, to.Result().State)

	again, toAgain, err := transfer(7)
	require.NoError(t, err)
	require.True(t, again.Result().Repeated)
	require.Equal(t, to.Result().Position, toAgain.Result().Position, "the other side is found through the transaction")
	_, _, err = transfer(1)
	require.ErrorIs(t, err, aggregate.ErrKeyReused)
	state, err := accounts.Load(t.Context(), "b")
	require.NoError(t, err)
	require.Equal(t, balance{7}, state.State)
}

func TestConcurrentTransfersKeepTheSum(t *testing.T) {
	store := open(t)
	one, two := repository(t, store, nil), repository(t, store, nil)
	ids := []string{"a", "b", "c", "d"}
	for _, id := range ids {
		_, err := one.Do(t.Context(), id, deposit{100})
		require.NoError(t, err)
	}
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			accounts := []*aggregate.Repository[balance, event]{one, two}[w%2]
			for i := range 15 {
				from, to := ids[(w+i)%4], ids[(w+i+1+i%3)%4]
				err := aggregate.Transact(t.Context(), store, nil, accounts.On(from, withdraw{30}), accounts.On(to, deposit{30}))
				if err != nil && !errors.Is(err, errFunds) && !errors.Is(err, eventstore.ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	sum := int64(0)
	for _, id := range ids {
		state, err := one.Load(t.Context(), id)
		require.NoError(t, err)
		require.GreaterOrEqual(t, state.State.Amount, int64(0))
		sum += state.State.Amount
	}
	require.Equal(t, int64(400), sum)
}

func TestWhatIsNotTheAggregatesFailsTheCommand(t *testing.T) {
	store := open(t)
	accounts := repository(t, store, nil)
	_, err := store.Append(t.Context(), eventstore.StreamID{Category: "account", ID: "1"}, eventstore.Head{}, closed{})
	require.NoError(t, err)
	_, err = accounts.Do(t.Context(), "1", deposit{1})
	require.ErrorIs(t, err, aggregate.ErrForeignEvent)
}

// misread has the name of deposited and another shape.
type misread struct{ Amount string }

func (misread) EventType() string { return "account.deposited" }

func TestWhatCannotBeDecodedFailsTheCommand(t *testing.T) {
	js := eventstoretest.JetStream(t)
	reopen := func(prototypes ...eventstore.Event) *eventstore.Store {
		store, err := eventstore.Open(t.Context(), js, "bank", prototypes, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		return store
	}
	writer := reopen(misread{}, withdrawn{})
	for id, event := range map[string]eventstore.Event{"undecodable": misread{"five"}, "unknown": withdrawn{1}} {
		_, err := writer.Append(t.Context(), eventstore.StreamID{Category: "account", ID: id}, eventstore.Head{}, event)
		require.NoError(t, err)
	}
	accounts := repository(t, reopen(deposited{}), nil)
	for id, reason := range map[string]error{"undecodable": eventstore.ErrUndecodable, "unknown": eventstore.ErrUnknownType} {
		_, err := accounts.Do(t.Context(), id, deposit{1})
		require.ErrorIs(t, err, reason)
		var fault *eventstore.ReadError
		require.ErrorAs(t, err, &fault)
		require.Equal(t, eventstore.Version(1), fault.Version)
		require.Equal(t, id, fault.Stream.ID)
	}
}

func TestAClosedAggregateTakesNoMore(t *testing.T) {
	store := open(t)
	accounts, other := repository(t, store, nil), repository(t, store, nil)
	_, err := other.Do(t.Context(), "1", deposit{10})
	require.NoError(t, err)
	result, err := accounts.Do(t.Context(), "1", withdraw{10}, aggregate.CloseStream("moved away"))
	require.NoError(t, err)
	require.Equal(t, []event{withdrawn{10}}, result.Events)
	require.Equal(t, eventstore.Version(3), result.Version)
	result, err = accounts.Do(t.Context(), "2", deposit{0}, aggregate.CloseStream("never used"))
	require.NoError(t, err, "a command that decides nothing closes as well")
	require.Equal(t, eventstore.Version(1), result.Version)

	for name, accounts := range map[string]*aggregate.Repository[balance, event]{
		"who closed it": accounts, "who has the old state": other, "who knows nothing": repository(t, store, nil),
	} {
		for _, id := range []string{"1", "2"} {
			_, err = accounts.Do(t.Context(), id, deposit{1})
			require.ErrorIs(t, err, eventstore.ErrClosed, name)
			_, err = accounts.Do(t.Context(), id, withdraw{1})
			require.ErrorIs(t, err, errFunds, "the domain is asked first")
			result, err := accounts.Load(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, balance{}, result.State)
		}
	}
}

// credited is how deposits were written once, fee included.
type credited struct{ Amount, Fee int64 }

func (credited) EventType() string { return "account.credited" }

func TestTwoReleasesShareAStream(t *testing.T) {
	js := eventstoretest.JetStream(t)
	older, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{credited{}}, nil)
	require.NoError(t, err)
	defer older.Close()
	newer, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Upcasters: []eventstore.Upcaster{
		eventstore.UpcastMany(func(e credited) []eventstore.Event {
			return []eventstore.Event{deposited{e.Amount}, withdrawn{e.Fee}}
		}, deposited{}, withdrawn{}),
	}})
	require.NoError(t, err)
	defer newer.Close()
	accounts := repository(t, newer, nil)

	id := eventstore.StreamID{Category: "account", ID: "1"}
	first, err := older.Append(t.Context(), id, eventstore.Head{}, credited{100, 1})
	require.NoError(t, err)
	result, err := accounts.Do(t.Context(), "1", withdraw{99})
	require.NoError(t, err)
	require.Equal(t, balance{0}, result.State)
	require.Equal(t, eventstore.Version(2), result.Version, "versions count what is stored")
	_, err = older.Append(t.Context(), id, first.Head(), credited{100, 1})
	require.ErrorIs(t, err, eventstore.ErrConflict)
	_, err = older.Append(t.Context(), id, eventstore.Head{Version: 2}, credited{50, 2})
	require.NoError(t, err)
	result, err = accounts.Do(t.Context(), "1", withdraw{48})
	require.NoError(t, err, "which loads what the older release wrote meanwhile")
	require.Equal(t, balance{0}, result.State)
}
