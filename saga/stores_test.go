package saga_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// The accounts are in another store than the sagas. Its positions are far below the positions of the sagas' store, or
// far above.
func TestOnceHoldsInAnotherStore(t *testing.T) {
	for name, before := range map[string]struct{ sagas, accounts int }{"a long log of sagas": {50, 1}, "a long log of accounts": {1, 50}} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			b := openBank(t, js)
			store, err := eventstore.Open(t.Context(), js, "vault", storeEvents(), nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, store.Close()) })
			vault := func() *aggregate.Repository[account, event] { // without a memory of what was done before
				accounts, err := aggregate.New(store, "account", account{}, &aggregate.Config{KeyWindow: 1, KeyAge: 1})
				require.NoError(t, err)
				return accounts
			}
			for range before.sagas {
				b.payIn(t, "somebody", 1)
			}
			for range before.accounts {
				_, err := vault().Do(t.Context(), "anna", payIn{2})
				require.NoError(t, err)
			}
			twice := func(ctx context.Context, call saga.Call, id string, command aggregate.Command[account, event]) error {
				for range 2 {
					if _, err := vault().Do(ctx, id, command, call.Once()); err != nil {
						return err
					}
					for range 3 { // which push the key out of the window
						if _, err := vault().Do(ctx, id, payIn{0}); err != nil {
							return err
						}
					}
				}
				return nil
			}
			hold := func(ctx context.Context, call saga.Call, p payment) (payment, error) {
				return p, twice(ctx, call, "anna", hold{call.Saga(), 1})
			}
			var late saga.Call
			m := open(t, b, define(t, "payment",
				saga.Step("hold", func(ctx context.Context, call saga.Call, p payment) (payment, error) {
					late = call
					return hold(ctx, call, p)
				}).Undo(func(ctx context.Context, call saga.Call, p payment) (payment, error) {
					return p, twice(ctx, call, "anna", giveBack{call.Saga()})
				}),
				saga.Step("check", func(_ context.Context, _ saga.Call, p payment) (payment, error) {
					if p.Amount > 0 {
						return p, saga.Permanent(errors.New("no"))
					}
					return p, nil
				}).NoUndo()), nil)
			run(t, m)
			requireOthersGoOn(t, m, "1", payment{})
			require.Len(t, load(t, vault(), "anna").Held, 1, "done once")
			_, err = m.Start(t.Context(), "2", payment{Amount: 1})
			require.NoError(t, err)
			done, err := m.Wait(soon(t), "2")
			require.NoError(t, err)
			require.Equal(t, saga.StateCompensated, done.State, done.Error)
			_, err = hold(t.Context(), late, payment{})
			require.ErrorIs(t, err, aggregate.ErrKeyClosed, "a Do that comes late finds its key closed")
			require.Len(t, load(t, vault(), "anna").Held, 1)
		})
	}
}

func load(t testing.TB, accounts *aggregate.Repository[account, event], id string) account {
	t.Helper()
	found, err := accounts.Load(t.Context(), id)
	require.NoError(t, err)
	return found.State
}
