package reactor_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/defaults/defaultstest"
	"github.com/runnel-go/runnel/reactor"
)

func TestWrongValuesOfAConfigAreRefused(t *testing.T) {
	store := open(t)
	reaction := reactor.On(func(context.Context, deposited, eventstore.Recorded) error { return nil })
	defaultstest.Refused(t, reactor.ErrInvalid, func(cfg *reactor.Config) error {
		_, err := reactor.Open(t.Context(), store, "mails", cfg, reaction)
		return err
	}, map[string][]reactor.Config{
		"Workers":    {{Workers: -1}},
		"Window":     {{Window: -1}},
		"Timeout":    {{Timeout: -1}},
		"Retries":    {{Retries: -2}},
		"Backoff":    {{Backoff: -1}, {Backoff: time.Minute}},
		"MaxBackoff": {{MaxBackoff: -1}, {MaxBackoff: time.Millisecond}},
		"Interval":   {{Interval: -1}, {Interval: 3 * time.Second}},
		"Heartbeat":  {{Heartbeat: -1}, {Heartbeat: 99 * time.Millisecond}},
	})
}

// A program that never wants to give up, or to take over, may say so with the longest duration there is. One that
// wants everything at once may use the shortest.
func TestTheLongestAndTheShortestDurationsAreTaken(t *testing.T) {
	const forever = math.MaxInt64
	for name, cfg := range map[string]*reactor.Config{
		"longest":  {Workers: 1, Timeout: forever, MaxBackoff: forever, Heartbeat: forever},
		"shortest": {Workers: 1, Backoff: 1, MaxBackoff: 1, Interval: 1, Heartbeat: 1},
	} {
		t.Run(name, func(t *testing.T) { handlesAll(t, cfg) })
	}
}

func handlesAll(t *testing.T, cfg *reactor.Config) {
	t.Helper()
	store := open(t)
	handled := make(chan int64)
	failed := false
	reaction := reactor.On(func(_ context.Context, e deposited, _ eventstore.Recorded) error {
		if !failed {
			failed = true
			return errors.New("once")
		}
		handled <- e.Amount
		return nil
	})
	mails, err := reactor.Open(t.Context(), store, "mails", cfg, reaction)
	require.NoError(t, err)
	react(t, mails)
	for i := range int64(3) {
		deposit(t, store, "a", i)
		require.Equal(t, i, <-handled)
	}
}

func TestWrongValuesOfABreakerAreRefused(t *testing.T) {
	defaultstest.Refused(t, reactor.ErrInvalid, func(cfg *reactor.BreakerConfig) error {
		_, err := reactor.NewBreaker("webhook", cfg)
		return err
	}, map[string][]reactor.BreakerConfig{"Failures": {{Failures: -1}}, "Cooldown": {{Cooldown: -1}}})
}
