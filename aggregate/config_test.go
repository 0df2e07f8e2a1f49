package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

func TestWrongNumbersAreRefused(t *testing.T) {
	store := open(t)
	for field, cfg := range map[string]aggregate.Config{
		"CacheSize is -2": {CacheSize: -2}, "KeyWindow is -1": {KeyWindow: -1}, "MaxTries is -3": {MaxTries: -3},
	} {
		_, err := aggregate.New(store, "account", balance{}, &cfg)
		require.ErrorIs(t, err, aggregate.ErrInvalid)
		require.ErrorContains(t, err, field)
		_, err = aggregate.NewUnique(store, "email", nil, &cfg)
		require.ErrorIs(t, err, aggregate.ErrInvalid)
	}
	accounts := repository(t, store, nil)
	err := aggregate.Transact(t.Context(), store, &aggregate.TransactConfig{MaxTries: -1}, accounts.On("1", deposit{1}))
	require.ErrorIs(t, err, aggregate.ErrInvalid)
	require.ErrorContains(t, err, "MaxTries is -1")
}

// A transaction has its own tries, whatever its operations' repositories allow their commands.
func TestATransactionHasItsOwnTries(t *testing.T) {
	store := open(t)
	patient, other := repository(t, store, nil), repository(t, store, nil)
	impatient := repository(t, store, &aggregate.Config{MaxTries: 1})
	tries := func(accounts *aggregate.Repository[balance, event], cfg *aggregate.TransactConfig) int {
		decisions := 0
		err := aggregate.Transact(t.Context(), store, cfg, accounts.On("a", beside{deposit{1}, func(int) {
			_, err := other.Do(t.Context(), "a", deposit{1})
			require.NoError(t, err)
		}, &decisions}), accounts.On("b", deposit{1}))
		require.ErrorIs(t, err, eventstore.ErrConflict)
		require.ErrorContains(t, err, "gave up after")
		return decisions - 1 // the last is not tried
	}
	require.Equal(t, 2, tries(patient, &aggregate.TransactConfig{MaxTries: 2}))
	require.Equal(t, 3, tries(impatient, &aggregate.TransactConfig{MaxTries: 3}))
}
