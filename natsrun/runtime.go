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

// A Runtime is a program's NATS: two connections and, unless a URL was
// configured, the server behind them. It is safe for use by several goroutines.
type Runtime struct {
	cfg      *Config
	embedded *embedded // nil: remote
	commands *conn
	reads    *conn
	tells    bool // a remote server says whether JetStream works

	closing sync.Mutex // held by Close
}

// Open starts the embedded server and connects to it, or connects to the
// servers that cfg.URL names. A nil cfg means the defaults. The caller must
// call [Runtime.Close].
//
// An embedded server is ready when it has recovered what it stored, which takes
// seconds for millions of streams. ctx is looked at before and after, as a
// recovery cannot be cut short. A remote server is tried once, for two seconds
// or until ctx's deadline; a cancelled ctx is noticed between two servers'
// attempts. A remote server that does not say within two more seconds whether it
// has JetStream, as to a user without permission for $JS.API.INFO, is taken with
// a warning in the log. ctx does not bound the Runtime's life.
//
// The error matches [ErrConfig], [ErrDataDir], [ErrEmbedded] or [ErrConnect], or
// is the cause of ctx. Nothing is left running.
func Open(ctx context.Context, cfg *Config) (*Runtime, error) {
	resolved, err := cfg.resolve()
	if err != nil {
		return nil, err
	}
	return open(ctx, resolved)
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
		return nil, errors.Join(&EmbeddedError{Dir: cfg.DataDir, Err: err}, e.err)
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

// abandon closes the connections that have nothing to drain.
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

// Commands returns JetStream on the connection for what somebody waits for:
// appends, requests and small reads.
func (rt *Runtime) Commands() jetstream.JetStream { return rt.commands.js }

// Reads returns JetStream on the connection for replays and listings.
func (rt *Runtime) Reads() jetstream.JetStream { return rt.reads.js }

// Conn returns the connection behind [Runtime.Commands], for core NATS: services,
// requests, subscriptions.
func (rt *Runtime) Conn() *nats.Conn { return rt.commands.nc }

// Sync returns when all that the embedded server had acknowledged before the call
// is on disk, or ctx ends. It is for what is published with [SyncGroup] past the
// stores and buckets of this toolkit, which wait by themselves. With [SyncAlways]
// it returns at once.
//
// It returns the cause of ctx, a [SyncError], or an error that matches
// errors.ErrUnsupported: nothing can be said of a remote server, nor with
// [SyncNone].
func (rt *Runtime) Sync(ctx context.Context) error {
	switch sync := rt.Durability(0).Sync; sync {
	case SyncGroup:
		return rt.embedded.group.disk.Sync(ctx)
	case SyncAlways:
		return nil
	default:
		return fmt.Errorf("natsrun: sync of a server with sync %s: %w", sync, errors.ErrUnsupported)
	}
}

// NewGroup returns an empty group that logs to the configured logger and has
// four fifths of ShutdownTimeout to stop its members: so it reports who did not
// end before [Run], which waits the whole of it, reports the program.
func (rt *Runtime) NewGroup() *Group {
	return &Group{StopTimeout: rt.cfg.ShutdownTimeout / 5 * 4, Logger: rt.cfg.Logger}
}

// Close waits for outstanding acknowledgements, drains Reads, then Commands, and
// shuts the embedded server down, each until ctx or ShutdownTimeout ends; give it
// a context that is not the one whose end stopped the program
// (context.WithoutCancel). When the time is up the connections are closed as
// they are, and the error is an [UnfinishedError] that names "reads", "commands"
// or "embedded server". The server's shutdown then goes on and keeps the data
// directory locked; another Close waits for it.
//
// Close may be called again, and returns nil once everything has ended.
// Concurrent calls run one after another.
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
		failed = errors.Join(failed, &UnfinishedError{Names: late, After: time.Since(began)})
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

// lost returns a ConnectionClosedError for each connection that the client has
// closed for good, nil if there is none.
func (rt *Runtime) lost() error {
	return errors.Join(rt.commands.lost(), rt.reads.lost())
}
