package natsrun

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A conn is one of a runtime's two connections.
type conn struct {
	name   string
	nc     *nats.Conn
	js     jetstream.JetStream
	closed chan struct{} // closed when the client is closed, by whomever
}

// dial makes one connection to the servers of url, or to the server that a
// nats.InProcessServer among opts names.
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
	return c, nil
}

// defaults are what [Config.Options] may change.
func (c *conn) defaults(cfg *Config) []nats.Option {
	return []nats.Option{
		nats.Name(c.name),
		nats.MaxReconnects(cfg.MaxReconnects),
		nats.CustomReconnectDelay(backoff),
		// A peer that vanished without a word is noticed after a minute, not
		// after the client's default of six.
		nats.PingInterval(20 * time.Second),
		nats.DrainTimeout(cfg.ShutdownTimeout),
	}
}

// fixed is what they may not: the promises of the package documentation hang
// on it. Handlers that are already set are called first.
func (c *conn) fixed(log *slog.Logger) nats.Option {
	return func(o *nats.Options) error {
		o.ReconnectBufSize = -1
		o.RetryOnFailedConnect = false
		o.NoCallbacksAfterClientClose = false
		o.ClosedCB = both(o.ClosedCB, func(*nats.Conn) { close(c.closed) })
		o.ReconnectedCB = both(o.ReconnectedCB, func(nc *nats.Conn) {
			log.Info("reconnected to NATS", slog.String("server", nc.ConnectedUrlRedacted()))
		})
		disconnected, failed := o.DisconnectedErrCB, o.AsyncErrorCB
		o.DisconnectedErrCB = func(nc *nats.Conn, err error) {
			if disconnected != nil {
				disconnected(nc, err)
			}
			if err != nil { // nil: we close it
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

// close waits for the acknowledgements of asynchronous publishes, drains the
// connection and closes it. When ctx ends, the connection is closed at once and
// errLate is returned.
func (c *conn) close(ctx context.Context) error {
	if c.nc.IsConnected() {
		// Drain does not wait for these: their futures would never be resolved.
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

// drain reports whether ctx, or the client's own time to drain, ended first. The
// client then closes the connection all the same. A connection that is down has
// nothing to drain, and Drain closes it.
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

// lost returns why the client is closed, nil while it is not.
func (c *conn) lost() error {
	if !c.nc.IsClosed() {
		return nil
	}
	return &ConnectionClosedError{Name: c.name, Err: c.nc.LastError()}
}

// errLate is what the steps of a shutdown return to Close when the time is up.
var errLate = errors.New("time is up")

// backoff returns how long to wait before try n, which counts from 1: 100 ms
// doubling up to 5 s, less a random part of up to half, so that the clients of a
// server that restarts do not come back all at once.
func backoff(n int) time.Duration {
	const first, longest = 100 * time.Millisecond, 5 * time.Second
	wait := longest
	if doublings := n - 1; doublings < 6 {
		wait = min(longest, first<<max(0, doublings))
	}
	return wait - rand.N(wait/2)
}
