package aggregate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
)

// split deposits several amounts at once.
type split struct {
	Amounts map[string]int64
	Due     time.Time
}

func (c split) Decide(balance) ([]event, error) {
	var sum int64
	for _, amount := range c.Amounts {
		sum += amount
	}
	return []event{deposited{sum}}, nil
}

// opaque differs in what no encoder sees.
type opaque struct{ amount int64 }

func (c opaque) Decide(balance) ([]event, error) { return []event{deposited{c.amount}}, nil }

func TestCommandsAreComparedByWhatTheySay(t *testing.T) {
	accounts := repository(t, open(t), nil)
	due := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	send := func(amounts map[string]int64, due time.Time) (aggregate.Result[balance, event], error) {
		return accounts.Do(t.Context(), "1", split{amounts, due}, aggregate.Key("k"))
	}
	_, err := send(map[string]int64{"a": 1, "b": 2, "c": 3, "d": 4}, due)
	require.NoError(t, err)
	for range 20 {
		again, err := send(map[string]int64{"d": 4, "c": 3, "b": 2, "a": 1}, due.In(time.FixedZone("x", 3600)))
		require.NoError(t, err, "neither the order of a map nor the zone of a time makes another command")
		require.True(t, again.Repeated)
	}
	_, err = send(map[string]int64{"a": 1, "b": 2, "c": 3, "d": 5}, due)
	require.ErrorIs(t, err, aggregate.ErrKeyReused)
	_, err = accounts.Do(t.Context(), "1", opaque{1}, aggregate.Key("o"))
	require.ErrorIs(t, err, aggregate.ErrInvalidCommand)
	require.ErrorContains(t, err, "aggregate_test.opaque.amount is not exported")
	_, err = accounts.Do(t.Context(), "1", opaque{1})
	require.NoError(t, err, "without a key commands are not compared")
}
