package natsrun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/backoff"
)

// A conn is one of the two connections of a Runtime.
type conn struct {
	name   string
	nc     *nats.Conn
	js     jetstream.JetStream
	closed chan struct{} // closed when the client has closed the connection for good

	// Health goes by these, because the client holds the connection's lock for seconds while it dials.
	down   atomic.Bool
	server atomic.Value // a string: the URL of the last connected server, without secrets
}

// dial connects to the servers of url, or to the server of a nats.InProcessServer among opts.
func dial(cfg *Config, url, name string, opts ...nats.Option) (*conn, error) {
	c := &conn{name: name, closed: make(chan struct{})}
	log := cfg.Logger.With("connection", name)
	all := append(c.defaults(cfg), opts...)
	nc, err := nats.Connect(url, append(all, c.fixed(log))...)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	c.nc, c.js = nc, js
	c.server.Store(nc.ConnectedUrlRedacted())
	return c, nil
}

// defaults returns the options that Config.Options may change.
func (c *conn) defaults(cfg *Config) []nats.Option {
	return []nats.Option{
		nats.Name(c.name),
		nats.MaxReconnects(cfg.MaxReconnects),
		nats.CustomReconnectDelay(pauses().Delay),
		// With these pings a server that has vanished is noticed after six seconds, about as long as the others take to
		// elect a leader. The client's default takes six minutes.
		nats.PingInterval(2 * time.Second),
		nats.DrainTimeout(cfg.ShutdownTimeout),
	}
}

// fixed returns the options that Config.Options may not change, because the guarantees of this package need them. They
// call handlers that are already set first.
func (c *conn) fixed(log *slog.Logger) nats.Option {
	return func(o *nats.Options) error {
		o.ReconnectBufSize = -1
		o.RetryOnFailedConnect = false
		o.NoCallbacksAfterClientClose = false
		o.ClosedCB = both(o.ClosedCB, func(*nats.Conn) { close(c.closed) })
		o.ReconnectedCB = both(o.ReconnectedCB, func(nc *nats.Conn) {
			c.down.Store(false)
			c.server.Store(nc.ConnectedUrlRedacted())
			log.Info("reconnected to NATS", slog.Any("server", c.server.Load()))
		})
		disconnected, failed := o.DisconnectedErrCB, o.AsyncErrorCB
		o.DisconnectedErrCB = func(nc *nats.Conn, err error) {
			c.down.Store(true)
			if disconnected != nil {
				disconnected(nc, err)
			}
			if err != nil { // nil if Close disconnects
				log.Warn("disconnected from NATS", slog.Any("error", err))
			}
		}
		o.AsyncErrorCB = func(nc *nats.Conn, sub *nats.Subscription, err error) {
			if failed != nil {
				failed(nc, sub, err)
			}
			log.Error("NATS reported an error", slog.Any("error", err), slog.String("subject", subject(sub)))
		}
		return nil
	}
}

func both(first, second nats.ConnHandler) nats.ConnHandler {
	if first == nil {
		return second
	}
	return func(nc *nats.Conn) {
		first(nc)
		second(nc)
	}
}

func subject(sub *nats.Subscription) string {
	if sub == nil {
		return ""
	}
	return sub.Subject
}

// close waits for the acknowledgements of asynchronous publishes, drains the connection and closes it. If ctx ends
// first, it closes the connection at once and returns errLate.
func (c *conn) close(ctx context.Context) error {
	if c.nc.IsConnected() {
		// Drain does not wait for the acknowledgements, so their futures would never be resolved.
		select {
		case <-c.js.PublishAsyncComplete():
		case <-c.closed:
		case <-ctx.Done():
		}
	}
	late := ctx.Err() != nil
	if !late {
		late = c.drain(ctx)
	}
	c.nc.Close()
	<-c.closed
	c.js.CleanupPublisher()
	if late {
		return errLate
	}
	return nil
}

// drain drains and closes the connection. It reports true if ctx or the client's own drain timeout ended first. A
// connection that is down has nothing to drain, and Drain closes it.
func (c *conn) drain(ctx context.Context) (late bool) {
	if err := c.nc.Drain(); err != nil {
		return false
	}
	select {
	case <-c.closed:
		return errors.Is(c.nc.LastError(), nats.ErrDrainTimeout)
	case <-ctx.Done():
		return true
	}
}

// lost returns an error that matches ErrConnectionClosed if the client has closed the connection for good, or nil.
func (c *conn) lost() error {
	if !c.nc.IsClosed() {
		return nil
	}
	if err := c.nc.LastError(); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrConnectionClosed, c.name, err)
	}
	return fmt.Errorf("%w: %s", ErrConnectionClosed, c.name)
}

// pauses returns the waits between two tries to connect.
func pauses() backoff.Policy {
	return backoff.Policy{Base: 200 * time.Millisecond, Max: 5 * time.Second}
}
