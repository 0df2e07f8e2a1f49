package natsrun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A Runtime is two connections to NATS and, if no URL is configured, the server behind them. It is safe for concurrent
// use.
type Runtime struct {
	cfg      *Config
	embedded *embedded // nil if the server is remote
	commands *conn
	reads    *conn
	tells    bool // the remote server answers whether JetStream works

	closing sync.Mutex // held by Close
}

// Open starts the embedded server and connects to it, or connects to the servers of cfg.URL. A nil cfg means the
// defaults. The caller must call [Runtime.Close]. The end of ctx after Open has returned does not end the Runtime.
//
// With an embedded server, Open blocks until the server has recovered what it stored. That takes seconds for
// millions of streams and cannot be cut short, so Open looks at ctx only before and after it.
//
// With remote servers, Open tries each server once, for up to 2 seconds or until the deadline of ctx. It notices a
// cancelled ctx between two servers. Then it asks whether JetStream is enabled, for up to 2 seconds. If there is no
// answer, as to a user without permission for $JS.API.INFO, it logs a warning and goes on.
//
// Open returns an error that matches [ErrConfig], [ErrDataDirInUse], [ErrConnect] or [ErrUnsupportedServer], or the
// cause of ctx. It returns an error without a sentinel if the data directory cannot be written or the embedded
// server does not start. Then nothing is left running.
func Open(ctx context.Context, cfg *Config) (*Runtime, error) {
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return open(ctx, full)
}

func open(ctx context.Context, cfg *Config) (*Runtime, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if cfg.URL != "" {
		return openRemote(ctx, cfg)
	}
	return openEmbedded(ctx, cfg)
}

func openEmbedded(ctx context.Context, cfg *Config) (*Runtime, error) {
	e, err := startEmbedded(cfg)
	if err != nil {
		return nil, err
	}
	rt, err := connect(ctx, cfg, "", nats.InProcessServer(e.provider()))
	if err != nil {
		e.shutdown()
		return nil, errors.Join(fmt.Errorf("natsrun: connect to the embedded server: %w", err), e.err)
	}
	rt.embedded = e
	return rt, nil
}

// connect makes both connections or none.
func connect(ctx context.Context, cfg *Config, url string, opts ...nats.Option) (*Runtime, error) {
	commands, err := dial(cfg, url, cfg.ServiceName, opts...)
	if err != nil {
		return nil, err
	}
	rt := &Runtime{cfg: cfg, commands: commands}
	if ctx.Err() == nil {
		rt.reads, err = dial(cfg, url, cfg.ServiceName+"-reads", opts...)
	}
	if err = errors.Join(err, context.Cause(ctx)); err != nil {
		rt.abandon()
		return nil, err
	}
	return rt, nil
}

// abandon closes the connections without draining them.
func (rt *Runtime) abandon() {
	for _, c := range rt.conns() {
		c.nc.Close()
		<-c.closed
	}
}

// conns returns the connections in the order in which they are closed.
func (rt *Runtime) conns() []*conn {
	if rt.reads == nil {
		return []*conn{rt.commands}
	}
	return []*conn{rt.reads, rt.commands}
}

// Commands returns JetStream on the connection for appends, requests and small reads.
func (rt *Runtime) Commands() jetstream.JetStream { return rt.commands.js }

// Reads returns JetStream on the connection for replays and listings.
func (rt *Runtime) Reads() jetstream.JetStream { return rt.reads.js }

// Conn returns the connection behind [Runtime.Commands], for core NATS: services, requests and subscriptions.
func (rt *Runtime) Conn() *nats.Conn { return rt.commands.nc }

// Sync blocks until everything that the embedded server acknowledged before the call is on disk, or ctx ends. A program
// needs it with [SyncGroup] for messages that it publishes itself. Stores and buckets of this toolkit wait without it.
// With [SyncAlways], Sync returns at once.
//
// Sync returns the cause of ctx, or an error that matches [ErrSync]. With [SyncNone], and on a remote server,
// whose disk is not known, it returns an error that matches errors.ErrUnsupported.
func (rt *Runtime) Sync(ctx context.Context) error {
	switch mode := rt.Durability(0).Sync; mode {
	case SyncGroup:
		return rt.embedded.group.disk.Sync(ctx)
	case SyncAlways:
		return nil
	default:
		return fmt.Errorf("natsrun: sync of a server with sync %s: %w", mode, errors.ErrUnsupported)
	}
}

// NewGroup returns an empty group with the Runtime's logger. Its StopTimeout is four fifths of ShutdownTimeout. So
// the group reports the members that still run before [Run], which waits for the whole ShutdownTimeout, reports the
// program.
func (rt *Runtime) NewGroup() *Group {
	return &Group{StopTimeout: rt.cfg.ShutdownTimeout / 5 * 4, Logger: rt.cfg.Logger}
}

// Close waits for outstanding acknowledgements, drains Reads, then Commands, and shuts the embedded server down. It
// blocks until all of that is done, ctx ends, or ShutdownTimeout is over. Give it a context that still lives, such
// as context.WithoutCancel(ctx).
//
// If the time is up, Close closes the connections without draining them. It returns an error that matches
// [ErrUnfinished] and names "reads", "commands" or "embedded server". The server's shutdown goes on and keeps the
// data directory locked. Another Close waits for it.
//
// Close may be called again, and returns nil once everything has ended. Concurrent calls run one after another. After a
// failed sync it returns an error that matches [ErrSync].
func (rt *Runtime) Close(ctx context.Context) error {
	rt.closing.Lock()
	defer rt.closing.Unlock()
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, rt.cfg.ShutdownTimeout)
	defer cancel()

	var late []string
	var failed error
	for _, step := range rt.closers() {
		err := step.close(ctx)
		if errors.Is(err, errLate) {
			late = append(late, step.name)
		} else {
			failed = errors.Join(failed, err)
		}
	}
	if len(late) > 0 {
		failed = errors.Join(failed, unfinished(time.Since(began), late...))
	}
	if failed != nil {
		rt.cfg.Logger.Error("NATS is not closed in good order", slog.Any("error", failed))
		return failed
	}
	rt.cfg.Logger.Info("NATS is closed", slog.String("took", time.Since(began).String()))
	return nil
}

// A closer is one step of Close. It may be taken again.
type closer struct {
	name  string
	close func(context.Context) error
}

func (rt *Runtime) closers() []closer {
	steps := []closer{{"reads", rt.reads.close}, {"commands", rt.commands.close}}
	if rt.embedded != nil {
		steps = append(steps, closer{"embedded server", rt.embedded.stop})
	}
	return steps
}

// lost returns an error for each connection that the client has closed for good, or nil if there is none.
func (rt *Runtime) lost() error { return errors.Join(rt.commands.lost(), rt.reads.lost()) }
