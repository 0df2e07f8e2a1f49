package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/defaults/defaultstest"
)

func TestWrongNumbersAreRefused(t *testing.T) {
	store := open(t)
	wrong := map[string][]aggregate.Config{"CacheSize": {{CacheSize: -2}}, "KeyWindow": {{KeyWindow: -1}}, "KeyAge": {{KeyAge: -1}}, "MaxTries": {{MaxTries: -3}}}
	defaultstest.Refused(t, aggregate.ErrInvalid, func(cfg *aggregate.Config) error {
		_, err := aggregate.New(store, "account", balance{}, cfg)
		return err
	}, wrong)
	defaultstest.Refused(t, aggregate.ErrInvalid, func(cfg *aggregate.Config) error {
		_, err := aggregate.NewUnique(store, "email", nil, cfg)
		return err
	}, wrong)
	accounts := repository(t, store, nil)
	defaultstest.Refused(t, aggregate.ErrInvalid, func(cfg *aggregate.TransactConfig) error {
		return aggregate.Transact(t.Context(), store, cfg, accounts.On("1", deposit{1}))
	}, map[string][]aggregate.TransactConfig{"MaxTries": {{MaxTries: -1}}})
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
