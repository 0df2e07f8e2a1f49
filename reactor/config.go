package reactor

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/defaults"
	"github.com/runnel-go/runnel/internal/inside"
)

// Config holds what Open needs beyond its arguments. A nil *Config and the zero one give the defaults. Open refuses
// impossible values, such as negative ones, with ErrInvalid.
type Config struct {
	// From is the position to begin at when the reactor is made for the first time; 1 is the first position of the log.
	// It changes nothing later. Defaults to after the log's end at that moment: history has no effects unless it is
	// asked for.
	From eventstore.Position
	// Workers is how many events are handled at the same time, each of another stream. Defaults to 16.
	Workers int
	// Window is how many events may have been read from the log and be under way or waiting. When that many wait, no
	// more are read until one is handled. Defaults to 4,096.
	Window int
	// Timeout is how long one reaction may take before its context ends. A reaction that has not returned after twice
	// that time is left behind, and its stream is parked. Defaults to 30 seconds.
	Timeout time.Duration
	// Retries is how often an event that failed is tried again before its stream is parked; -1 is never. It
	// should be above the failures that open the breakers in use. Defaults to 10.
	Retries int
	// Backoff is the longest wait before the first retry. It doubles with each, and the waits are random below it.
	// Defaults to 100 milliseconds.
	Backoff time.Duration
	// MaxBackoff is the longest wait before any retry. Defaults to 30 seconds.
	MaxBackoff time.Duration
	// Interval is the shortest time between two writes of the checkpoint. Events that were handled since the last write
	// may be handled again after a crash. Defaults to 100 milliseconds.
	Interval time.Duration
	// Heartbeat is the longest time between two writes of the checkpoint. An instance that sees no write for 2 to 2.5
	// times as long takes over. If writes take long because the disk is slow, it waits longer, for 4 to 5 times what
	// a write takes. Defaults to 2 seconds.
	Heartbeat time.Duration
	// Around is called for each event in place of its reaction, and runs it by calling do once with ctx or a context
	// made from it. It returns the error of do, or an error of its own, which counts as the reaction's. It runs under
	// the Timeout, for many events at once. Commands and saga actions have a hook of the same shape. Defaults to none,
	// which costs nothing.
	Around func(ctx context.Context, recorded eventstore.Recorded, do func(ctx context.Context) error) error
	// Logger reports failures, parked streams and other instances. Defaults to the store's logger.
	Logger *slog.Logger
}

// withDefaults returns a copy in which every field is set except From and Around.
func (c *Config) withDefaults(store *eventstore.Store) (Config, error) {
	full := defaults.Of(c)
	if full.Logger == nil {
		full.Logger = eventstore.Inside(inside.Pass{}, store).Logger()
	}
	return full, errors.Join(
		defaults.Set("Workers", &full.Workers, 16),
		defaults.Set("Window", &full.Window, 4096),
		defaults.Set("Timeout", &full.Timeout, 30*time.Second),
		defaults.SetOr("Retries", &full.Retries, -1, 10),
		defaults.Set("Backoff", &full.Backoff, 100*time.Millisecond),
		defaults.Set("MaxBackoff", &full.MaxBackoff, 30*time.Second),
		defaults.Ordered("Backoff", &full.Backoff, "MaxBackoff", &full.MaxBackoff),
		defaults.Set("Interval", &full.Interval, 100*time.Millisecond),
		defaults.Set("Heartbeat", &full.Heartbeat, 2*time.Second),
		defaults.Ordered("Interval", &full.Interval, "Heartbeat", &full.Heartbeat),
	)
}
