package projection_test

import (
	"testing"
	"time"

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
		"StandBy":        {{StandBy: -1}, {StandBy: time.Second}},
		"StallAfter":     {{StallAfter: -1}},
		"Replicas":       {{Replicas: -1}, {Replicas: 6}},
		"MaxBytes":       {{MaxBytes: -1}},
	})
}
