package projection_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A view cannot come further than the log's newest commit, so nothing behind it is waited for or counted as lag.
func TestAViewComesToTheEndOfALogThatEndsWithAMessageOfAnotherProgram(t *testing.T) {
	store := open(t)
	view := balances(t, store)
	run(t, view)
	last := deposit(t, store, "1", 1)
	for range 2 {
		_, err := store.JetStream().Publish(t.Context(), "bank.customers.find", []byte("x"))
		require.NoError(t, err)
	}
	end, err := store.End(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, view.WaitFor(ctx, end))
	status, err := view.Status(t.Context())
	require.NoError(t, err)
	require.Zero(t, status.Lag)
	require.Equal(t, last, status.End)
	require.NoError(t, view.Rebuild(ctx, nil))
}
