package saga_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/defaults/defaultstest"
	"github.com/runnel-go/runnel/saga"
)

func TestWrongValuesOfAConfigAreRefused(t *testing.T) {
	store := openBank(t, eventstoretest.JetStream(t)).store
	definition := define(t, "payout", saga.Step("note", noted("note")).NoUndo())
	defaultstest.Refused(t, saga.ErrInvalidDefinition, func(cfg *saga.Config) error {
		_, err := saga.Open(t.Context(), store, definition, cfg)
		return err
	}, map[string][]saga.Config{
		"Workers":  {{Workers: -1}},
		"Claim":    {{Claim: -1}, {Claim: 3}, {Claim: math.MaxInt64}, {Claim: 25 * time.Hour}},
		"Replicas": {{Replicas: -1}, {Replicas: 6}},
	})
}

// The view and the reactor have Configs that follow from Claim. No error names a field of theirs.
func TestTheErrorOfAWrongClaimNamesClaimOnly(t *testing.T) {
	store := openBank(t, eventstoretest.JetStream(t)).store
	definition := define(t, "payout", saga.Await("note", onAnswer()).Within(time.Hour))
	for _, claim := range []time.Duration{1, 3, 9 * time.Millisecond, math.MaxInt64 / 3, math.MaxInt64} {
		_, err := saga.Open(t.Context(), store, definition, &saga.Config{Claim: claim})
		require.ErrorIs(t, err, saga.ErrInvalidDefinition)
		require.ErrorContains(t, err, "Claim is "+claim.String()+": set 10ms to 24h0m0s, or 0 for the default of 5s")
		require.NotContains(t, err.Error(), "Heartbeat")
	}
	for _, claim := range []time.Duration{10 * time.Millisecond, 24 * time.Hour} {
		m, err := saga.Open(t.Context(), store, definition, &saga.Config{Claim: claim})
		require.NoError(t, err)
		require.NoError(t, m.Close())
	}
}

func TestWrongValuesOfAStepAreRefused(t *testing.T) {
	defaultstest.Refused(t, saga.ErrInvalidDefinition, func(retry *saga.Retry) error {
		_, err := saga.Define("payout", saga.Step("note", noted("note")).NoUndo().Retry(*retry))
		return err
	}, map[string][]saga.Retry{
		"Tries":      {{Tries: -1}},
		"Backoff":    {{Backoff: -1}, {Backoff: time.Minute}},
		"MaxBackoff": {{MaxBackoff: -1}, {MaxBackoff: time.Millisecond}},
	})
	_, err := saga.Define("payout", saga.Step("note", noted("note")).NoUndo().Timeout(-time.Second))
	require.ErrorIs(t, err, saga.ErrInvalidDefinition)
	require.ErrorContains(t, err, "Timeout is -1s")
}
