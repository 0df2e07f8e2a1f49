package backoff_test

import (
	"context"
	"errors"
	"math/big"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/internal/backoff"
)

// A delay is drawn from the whole of what the policy allows for its try: never nothing, and never more.
func TestDelaysAreDrawnFromWhatThePolicyAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		duration := rapid.Map(rapid.Uint64Range(0, 63), func(bits uint64) time.Duration { return time.Duration(1<<bits - 1) })
		p := backoff.Policy{
			Base: rapid.OneOf(duration, rapid.Just(time.Minute), rapid.Just(time.Hour)).Draw(t, "base"),
			Max:  rapid.OneOf(duration, rapid.Just(time.Hour), rapid.Just(24*time.Hour)).Draw(t, "max"),
		}
		n := rapid.OneOf(rapid.IntRange(1, 70), rapid.IntRange(1, 1000)).Draw(t, "n")
		allowed := new(big.Int).Lsh(big.NewInt(int64(p.Base)), uint(n-1))
		if longest := big.NewInt(int64(p.Max)); allowed.Cmp(longest) > 0 {
			allowed = longest
		}
		limit := time.Duration(allowed.Int64())
		highest := time.Duration(0)
		for range 64 {
			d := p.Delay(n)
			require.LessOrEqual(t, d, limit)
			require.Equal(t, limit > 0, d > 0, "a delay of %v", d)
			highest = max(highest, d)
		}
		require.GreaterOrEqual(t, highest, limit/2, "all of many delays are short")
	})
}

func TestWaitEndsWithTheContextAndGivesItsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(stopped)
		require.ErrorIs(t, backoff.Policy{Base: time.Hour, Max: time.Hour}.Wait(ctx, 1), stopped)
		require.NoError(t, backoff.Policy{Base: time.Hour, Max: time.Hour}.Wait(t.Context(), 1))
		require.NoError(t, backoff.Policy{}.Wait(t.Context(), 1))
	})
}

func TestRetryCallsAsLongAsTheErrorAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		passing, final := errors.New("passing"), errors.New("final")
		hourly := backoff.Policy{Base: time.Hour, Max: time.Hour}
		again := func(err error) bool { return errors.Is(err, passing) }
		for _, last := range []error{nil, final} {
			begun, calls := time.Now(), 0
			err := hourly.Retry(t.Context(), again, func() error {
				if calls++; calls < 4 {
					return passing
				}
				return last
			})
			require.Equal(t, last, err)
			require.Equal(t, 4, calls)
			require.Positive(t, time.Since(begun))
		}
		stopped := errors.New("stopped")
		ctx, cancel := context.WithCancelCause(t.Context())
		err := hourly.Retry(ctx, again, func() error {
			cancel(stopped)
			return passing
		})
		require.ErrorIs(t, err, stopped)
	})
}
