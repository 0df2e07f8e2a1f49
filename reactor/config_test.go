package reactor_test

import (
	"context"
	"testing"
	"time"

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

func TestWrongValuesOfABreakerAreRefused(t *testing.T) {
	defaultstest.Refused(t, reactor.ErrInvalid, func(cfg *reactor.BreakerConfig) error {
		_, err := reactor.NewBreaker("webhook", cfg)
		return err
	}, map[string][]reactor.BreakerConfig{"Failures": {{Failures: -1}}, "Cooldown": {{Cooldown: -1}}})
}
