package aggregate_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// After an older backup is restored, a command is rejected on the cached state. Its confirmation finds the stream at an
// older version.
func TestAStateThatTheLogHasLostIsNotDecidedOn(t *testing.T) {
	for name, decide := range map[string]func(*aggregate.Repository[balance, event]) error{
		"rejected": func(accounts *aggregate.Repository[balance, event]) error {
			_, err := accounts.Do(t.Context(), "1", withdraw{100})
			return err
		},
		"nothing to do": func(accounts *aggregate.Repository[balance, event]) error {
			_, err := accounts.Do(t.Context(), "1", deposit{0})
			return err
		},
		"appended": func(accounts *aggregate.Repository[balance, event]) error {
			_, err := accounts.Do(t.Context(), "1", deposit{1})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := eventstoretest.NewServer(t)
			store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
			require.NoError(t, err)
			defer store.Close()
			accounts := repository(t, store, nil)
			_, err = accounts.Do(t.Context(), "1", deposit{10})
			require.NoError(t, err)
			var backup bytes.Buffer
			_, err = store.Export(t.Context(), &backup, nil)
			require.NoError(t, err)
			_, err = accounts.Do(t.Context(), "1", deposit{50})
			require.NoError(t, err)

			operator := server.JetStream(t)
			require.NoError(t, operator.DeleteStream(t.Context(), "bank"))
			_, err = eventstore.Import(t.Context(), operator, &backup, nil)
			require.NoError(t, err)
			err = decide(accounts)
			// A stream that was not lost may be appended to once, until the store notices the loss.
			for until := time.Now().Add(20 * time.Second); err == nil && time.Now().Before(until); {
				_, err = accounts.Do(t.Context(), "2", deposit{1})
			}
			require.ErrorIs(t, err, eventstore.ErrLogRewound)
			require.NotErrorIs(t, err, aggregate.ErrRejected)
		})
	}
}
