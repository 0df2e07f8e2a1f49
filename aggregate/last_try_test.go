package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

// beside decides like another command, and lets another writer do something each time before it does.
type beside struct {
	aggregate.Command[balance, event]

	meanwhile func(decision int)
	decisions *int
}

func (c beside) Decide(b balance) ([]event, error) {
	*c.decisions++
	c.meanwhile(*c.decisions)
	return c.Command.Decide(b)
}

// topUp decides nothing if there is enough.
type topUp struct{ To int64 }

func (c topUp) Decide(b balance) ([]event, error) {
	if b.Amount >= c.To {
		return nil, nil
	}
	return []event{deposited{c.To - b.Amount}}, nil
}

// oneTry allows a transaction one append that conflicts.
var oneTry = &aggregate.TransactConfig{MaxTries: 1}

// twoPrograms returns a repository that may try once, and another. The first has cached a balance of 10 for a and b,
// but now a has 110 and b has 1. An old cache must not use up the one try.
func twoPrograms(t *testing.T) (store *eventstore.Store, once, other *aggregate.Repository[balance, event]) {
	t.Helper()
	store = open(t)
	once, other = repository(t, store, &aggregate.Config{MaxTries: 1}), repository(t, store, nil)
	for _, id := range []string{"a", "b"} {
		_, err := once.Do(t.Context(), id, deposit{10})
		require.NoError(t, err)
	}
	_, err := other.Do(t.Context(), "a", deposit{100}, aggregate.Key("of-a"))
	require.NoError(t, err)
	_, err = other.Do(t.Context(), "b", withdraw{9})
	require.NoError(t, err)
	return store, once, other
}

func TestTheOnlyTryAnswersForTheNewestState(t *testing.T) {
	for name, answer := range map[string]func(t *testing.T, store *eventstore.Store, once *aggregate.Repository[balance, event]) error{
		"rejection": func(t *testing.T, _ *eventstore.Store, once *aggregate.Repository[balance, event]) error {
			_, err := once.Do(t.Context(), "a", withdraw{50})
			return err
		},
		"nothing to do": func(t *testing.T, _ *eventstore.Store, once *aggregate.Repository[balance, event]) error {
			result, err := once.Do(t.Context(), "b", topUp{5})
			require.Equal(t, balance{5}, result.State)
			return err
		},
		"IfVersion": func(t *testing.T, _ *eventstore.Store, once *aggregate.Repository[balance, event]) error {
			_, err := once.Do(t.Context(), "a", withdraw{1}, aggregate.IfVersion(2))
			return err
		},
		"transaction that one rejects": func(t *testing.T, store *eventstore.Store, once *aggregate.Repository[balance, event]) error {
			return aggregate.Transact(t.Context(), store, oneTry, once.On("c", deposit{50}), once.On("a", withdraw{50}))
		},
		"transaction in which one has nothing to do": func(t *testing.T, store *eventstore.Store, once *aggregate.Repository[balance, event]) error {
			first, second := once.On("b", topUp{5}), once.On("c", deposit{1})
			err := aggregate.Transact(t.Context(), store, oneTry, first, second)
			require.Equal(t, balance{5}, first.Result().State)
			return err
		},
		"repeated": func(t *testing.T, _ *eventstore.Store, once *aggregate.Repository[balance, event]) error {
			result, err := once.Do(t.Context(), "a", deposit{100}, aggregate.Key("of-a"))
			require.NoError(t, err)
			require.True(t, result.Repeated, "its append conflicts with what was done under the key")
			require.Equal(t, balance{110}, result.State)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, once, _ := twoPrograms(t)
			require.NoError(t, answer(t, store, once))
		})
	}
}

func TestTheOnlyTrySaysThatTheStreamIsClosed(t *testing.T) {
	for name, do := range map[string]func(store *eventstore.Store, once *aggregate.Repository[balance, event]) error{
		"command": func(_ *eventstore.Store, once *aggregate.Repository[balance, event]) error {
			_, err := once.Do(t.Context(), "a", deposit{1})
			return err
		},
		"another end": func(_ *eventstore.Store, once *aggregate.Repository[balance, event]) error {
			_, err := once.Do(t.Context(), "a", deposit{1}, aggregate.CloseStream("mine"))
			return err
		},
		"transaction": func(store *eventstore.Store, once *aggregate.Repository[balance, event]) error {
			return aggregate.Transact(t.Context(), store, oneTry, once.On("a", deposit{1}), once.On("c", deposit{1}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, once, other := twoPrograms(t)
			_, err := other.Do(t.Context(), "a", deposit{1}, aggregate.CloseStream("done"))
			require.NoError(t, err)
			require.ErrorIs(t, do(store, once), eventstore.ErrClosed, "once has it open in the cache")
		})
	}
}

func TestTheOnlyTryClaimsAValueThatIsFreeByNow(t *testing.T) {
	store := open(t)
	here, err := aggregate.NewUnique(store, "email", nil, &aggregate.Config{MaxTries: 1})
	require.NoError(t, err)
	elsewhere := unique(t, store, nil)
	require.NoError(t, aggregate.Transact(t.Context(), store, oneTry, here.Claim("anna", "1")))
	require.NoError(t, aggregate.Transact(t.Context(), store, oneTry, elsewhere.Release("anna", "1")))
	require.NoError(t, aggregate.Transact(t.Context(), store, oneTry, here.Claim("anna", "2")), "1 has it in the cache only")
}

func TestTheLastTryIsDecidedAgainAfterAConflict(t *testing.T) {
	_, once, other := twoPrograms(t)
	decisions := 0
	_, err := once.Do(t.Context(), "a", beside{withdraw{60}, func(decision int) {
		switch decision {
		case 1: // on 10: rejected, and the leader has 110
		case 2: // on 110: the append conflicts, and its one try is over
			_, err := other.Do(t.Context(), "a", withdraw{100})
			require.NoError(t, err)
		}
	}, &decisions})
	require.ErrorIs(t, err, errFunds, "with 10 left it is rejected, which says more than a conflict")
	require.Equal(t, 3, decisions)

	decisions = 0
	_, err = once.Do(t.Context(), "a", beside{deposit{1}, func(int) {
		_, err := other.Do(t.Context(), "a", deposit{1})
		require.NoError(t, err)
	}, &decisions})
	require.ErrorIs(t, err, eventstore.ErrConflict, "two appends do not come from one try")
	require.Equal(t, 2, decisions)
}

func TestAStreamThatNeverRestsDoesNotKeepACommand(t *testing.T) {
	_, once, other := twoPrograms(t)
	decisions := 0
	_, err := once.Do(t.Context(), "b", beside{withdraw{1_000}, func(int) {
		_, err := other.Do(t.Context(), "b", deposit{1})
		require.NoError(t, err)
	}, &decisions})
	var rejected *aggregate.RejectedError
	require.ErrorAs(t, err, &rejected)
	require.Less(t, decisions, 50)
	require.Equal(t, eventstore.Version(2+decisions-1), rejected.Version, "all but what came while it was decided the last time")
}
