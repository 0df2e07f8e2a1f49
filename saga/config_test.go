package saga_test

import (
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
		"Claim":    {{Claim: -1}},
		"Replicas": {{Replicas: -1}, {Replicas: 6}},
	})
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
