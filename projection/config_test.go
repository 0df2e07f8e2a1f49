package projection_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/defaults/defaultstest"
	"github.com/runnel-go/runnel/projection"
)

func TestWrongValuesOfAConfigAreRefused(t *testing.T) {
	store := open(t)
	rule := projection.On(func(b balance, _ deposited) balance { return b })
	defaultstest.Refused(t, projection.ErrInvalidView, func(cfg *projection.Config) error {
		_, err := projection.Open[balance](t.Context(), store, "balances", 1, cfg, rule)
		return err
	}, map[string][]projection.Config{
		"Interval":       {{Interval: -1}},
		"CacheSize":      {{CacheSize: -1}},
		"BuildCacheSize": {{BuildCacheSize: -1}},
		"FoldTimeout":    {{FoldTimeout: -1}},
		"Heartbeat":      {{Heartbeat: -1}, {Heartbeat: 5 * time.Second}, {Heartbeat: time.Second, StandBy: 999 * time.Millisecond}},
		"StandBy":        {{StandBy: -1}, {StandBy: time.Second}, {Heartbeat: 1, StandBy: 4 * time.Millisecond}},
		"StallAfter":     {{StallAfter: -1}},
		"Replicas":       {{Replicas: -1}, {Replicas: 6}},
		"MaxBytes":       {{MaxBytes: -1}},
	})
}

// A program that never wants to give up, or to take over, may say so with the longest duration there is. One that
// wants everything at once may use the shortest.
func TestTheLongestAndTheShortestDurationsAreTaken(t *testing.T) {
	const forever = math.MaxInt64
	for name, cfg := range map[string]*projection.Config{
		"longest":  {FoldTimeout: forever, Heartbeat: forever, StandBy: forever, StallAfter: forever},
		"shortest": {Interval: 1, Heartbeat: 1, StandBy: 5 * time.Millisecond, StallAfter: 1},
	} {
		t.Run(name, func(t *testing.T) {
			store := open(t)
			view, err := projection.Open(t.Context(), store, "balances", 1, cfg, projection.On(func(b balance, e deposited) balance {
				return balance{b.Amount + e.Amount, b.Events + 1}
			}))
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, view.Close()) })
			run(t, view)
			for i := range int64(3) {
				got, err := view.Get(t.Context(), "a", projection.At(deposit(t, store, "a", 5)))
				require.NoError(t, err)
				require.Equal(t, balance{5 * (i + 1), int(i + 1)}, got)
			}
		})
	}
}
