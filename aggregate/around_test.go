package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

// watch notes what a hook sees, and refuses the commands that it is told to refuse.
type watch struct {
	name   string
	seen   *[]string
	refuse error
	skip   bool
}

type actor struct{}

func (w watch) around(ctx context.Context, call aggregate.Call, do func(ctx context.Context) error) error {
	note := func(what string) {
		*w.seen = append(*w.seen, fmt.Sprintf("%s %s %s %T", w.name, what, call.Stream, call.Command))
	}
	note("begins")
	if w.skip || w.refuse != nil {
		return w.refuse
	}
	err := do(eventstore.WithMetadata(context.WithValue(ctx, actor{}, w.name), eventstore.Metadata{Actor: w.name}))
	note(fmt.Sprintf("ends (%v)", errors.Is(err, aggregate.ErrRejected)))
	return err
}

func TestAroundWrapsEachCommand(t *testing.T) {
	store, seen := open(t), new([]string)
	accounts := repository(t, store, &aggregate.Config{Around: watch{name: "a", seen: seen}.around})
	result, err := accounts.Do(t.Context(), "1", deposit{5})
	require.NoError(t, err)
	require.Equal(t, balance{5}, result.State)
	_, err = accounts.Do(t.Context(), "1", withdraw{9})
	require.ErrorIs(t, err, errFunds)
	require.Equal(t, []string{
		"a begins account/1 aggregate_test.deposit", "a ends (false) account/1 aggregate_test.deposit",
		"a begins account/1 aggregate_test.withdraw", "a ends (true) account/1 aggregate_test.withdraw",
	}, *seen)
	commit, err := store.At(t.Context(), result.Position)
	require.NoError(t, err)
	require.Equal(t, "a", commit.Actor, "the command runs with the hook's context")
}

func TestAroundWrapsATransactionOnceForEachOperation(t *testing.T) {
	store, seen := open(t), new([]string)
	plain := repository(t, store, nil)
	outer := repository(t, store, &aggregate.Config{Around: watch{name: "outer", seen: seen}.around})
	inner := repository(t, store, &aggregate.Config{Around: watch{name: "inner", seen: seen}.around})
	one, two := outer.On("1", deposit{1}), inner.On("2", deposit{2})
	require.NoError(t, aggregate.Transact(t.Context(), store, nil, plain.On("0", deposit{0}), one, two))
	require.Equal(t, balance{1}, one.Result().State)
	require.Equal(t, balance{2}, two.Result().State)
	require.Equal(t, []string{
		"outer begins account/1 aggregate_test.deposit", "inner begins account/2 aggregate_test.deposit",
		"inner ends (false) account/2 aggregate_test.deposit", "outer ends (false) account/1 aggregate_test.deposit",
	}, *seen)
}

func TestAroundMayRefuseACommand(t *testing.T) {
	store, seen := open(t), new([]string)
	no := errors.New("not allowed")
	denied := repository(t, store, &aggregate.Config{Around: watch{seen: seen, refuse: no}.around})
	_, err := denied.Do(t.Context(), "1", deposit{1})
	require.ErrorIs(t, err, no)
	forgetful := repository(t, store, &aggregate.Config{Around: watch{seen: seen, skip: true}.around})
	_, err = forgetful.Do(t.Context(), "1", deposit{1})
	require.EqualError(t, err, "aggregate: account/1: Config.Around did not run it: call do, or return an error")
	state, err := repository(t, store, nil).Load(t.Context(), "1")
	require.NoError(t, err)
	require.Zero(t, state.Version)
}
