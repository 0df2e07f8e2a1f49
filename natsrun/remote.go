package natsrun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/serverversion"
)

// openRemote connects twice to the servers of cfg.URL and checks that this module supports them.
func openRemote(ctx context.Context, cfg *Config) (*Runtime, error) {
	opts := append([]nats.Option{nats.Timeout(connectTimeout(ctx))}, cfg.Options...)
	rt, err := connect(ctx, cfg, cfg.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("%w to %s: %w: check the URL, the credentials, and that a server listens there",
			ErrConnect, redactURL(cfg.URL), err)
	}
	if err := checkServer(ctx, cfg, rt); err != nil {
		rt.abandon()
		return nil, err
	}
	cfg.Logger.Info("connected to NATS", slog.String("server", rt.commands.nc.ConnectedUrlRedacted()),
		slog.String("version", rt.commands.nc.ConnectedServerVersion()))
	return rt, nil
}

// connectTimeout returns the client's default timeout, or the time until the deadline of ctx if that is shorter.
func connectTimeout(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return nats.DefaultTimeout
	}
	return min(nats.DefaultTimeout, max(time.Millisecond, time.Until(deadline)))
}

// checkServer refuses servers with known faults and servers without JetStream.
func checkServer(ctx context.Context, cfg *Config, rt *Runtime) error {
	for _, c := range rt.conns() {
		if version := c.nc.ConnectedServerVersion(); !serverversion.Supported(version) {
			return fmt.Errorf("%w: server %s has version %s: upgrade it to %s",
				ErrUnsupportedServer, c.nc.ConnectedUrlRedacted(), version, serverversion.Required)
		}
	}
	// The server does not answer users whose permissions do not include $JS.API.INFO. So the wait is short, and a
	// server that does not answer is accepted.
	askCtx, cancel := context.WithTimeout(ctx, nats.DefaultTimeout)
	defer cancel()
	_, err := rt.commands.js.AccountInfo(askCtx)
	switch {
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return fmt.Errorf("%w: %s: %w: enable JetStream on the server and for the account",
			ErrUnsupportedServer, rt.commands.nc.ConnectedUrlRedacted(), err)
	case ctx.Err() != nil:
		return fmt.Errorf("natsrun: connect to %s: %w", redactURL(cfg.URL), context.Cause(ctx))
	case err != nil:
		cfg.Logger.Warn("cannot ask whether JetStream is enabled, going on", slog.Any("error", err))
	}
	rt.tells = err == nil
	return nil
}
