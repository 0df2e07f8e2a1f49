package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/allocs"
)

func TestAllocationsOfAWarmCommand(t *testing.T) {
	js := eventstoretest.NewProcess(t, t.TempDir()).JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	accounts, err := aggregate.New(store, "account", balance{}, nil)
	require.NoError(t, err)
	const commands = 1000
	ours := allocs.Of(t, commands, func() {
		for range commands {
			if _, err := accounts.Do(t.Context(), "1", deposit{1}); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Logf("warm command: %v", ours)
}
