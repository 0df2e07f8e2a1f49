package natsrun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// openRemote connects twice to the servers of cfg.URL and makes sure that they
// are what this package can work with.
func openRemote(ctx context.Context, cfg *Config) (*Runtime, error) {
	fail := func(err error) (*Runtime, error) {
		return nil, &ConnectError{URL: redactURL(cfg.URL), Err: err}
	}
	opts := append([]nats.Option{nats.Timeout(connectTimeout(ctx))}, cfg.Options...)
	rt, err := connect(ctx, cfg, cfg.URL, opts...)
	if err != nil {
		return fail(err)
	}
	if err := checkServer(ctx, cfg, rt); err != nil {
		rt.abandon()
		return fail(err)
	}
	cfg.Logger.Info("connected to NATS", slog.String("server", rt.commands.nc.ConnectedUrlRedacted()),
		slog.String("version", rt.commands.nc.ConnectedServerVersion()))
	return rt, nil
}

// connectTimeout is the client's own default, or what is left of ctx.
func connectTimeout(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nats.DefaultTimeout
	}
	return min(nats.DefaultTimeout, max(time.Millisecond, time.Until(deadline)))
}

func checkServer(ctx context.Context, cfg *Config, rt *Runtime) error {
	for _, c := range rt.conns() {
		if version := c.nc.ConnectedServerVersion(); !supported(version) {
			return &VersionError{Server: c.nc.ConnectedUrlRedacted(), Version: version}
		}
	}
	// A user whose permissions are cut down to its own subjects may not ask, and
	// the server answers that with silence: so the wait is short, and no answer is
	// no refusal.
	askCtx, cancel := context.WithTimeout(ctx, nats.DefaultTimeout)
	defer cancel()
	_, err := rt.commands.js.AccountInfo(askCtx)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("%w: enable it on the server and for the account: %w", ErrNoJetStream, err)
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		cfg.Logger.Warn("cannot ask whether JetStream is enabled, going on", slog.Any("error", err))
	}
	rt.tells = err == nil
	return nil
}

// supported refuses the versions in which an atomic batch with expectations on
// several subjects can be refused without reason, and those that have no
// atomic batches.
func supported(version string) bool {
	release, _, _ := strings.Cut(version, "-")
	parts := strings.Split(release, ".")
	if len(parts) != 3 {
		return false
	}
	var number [3]int
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil {
			return false
		}
		number[i] = n
	}
	major, minor, patch := number[0], number[1], number[2]
	switch {
	case major != 2:
		return major > 2
	case minor == 12:
		return patch >= 15
	case minor == 14:
		return patch >= 4
	default:
		return minor > 14
	}
}
