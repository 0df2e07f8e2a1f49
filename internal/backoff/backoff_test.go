package backoff_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/internal/backoff"
)

func TestDelayStaysBelowBothBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := backoff.Policy{
			Base: time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "base")),
			Max:  time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "max")),
		}
		n := rapid.IntRange(1, 1000).Draw(t, "n")
		d := p.Delay(n)
		require.GreaterOrEqual(t, d, time.Duration(0))
		require.LessOrEqual(t, d, p.Max)
		if n == 1 {
			require.LessOrEqual(t, d, p.Base)
		}
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
