package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// retryWait spaces the tries of a request that failed for a reason that passes.
var retryWait = backoff.Policy{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}

// retrier sends requests that are harmless to repeat.
type retrier struct {
	client  *jsapi.Client
	log     *slog.Logger
	timeout time.Duration
}

// retry calls ask. If that fails for a reason that passes, such as that there is no leader at the moment, retry
// calls it again until the timeout has passed or ctx ends.
func (r retrier) retry(ctx context.Context, op string, ask func(context.Context) error) error {
	err := ask(ctx)
	if err == nil || ctx.Err() != nil || !jsapi.Transient(err) {
		return err
	}
	timed, cancel := context.WithTimeoutCause(ctx, r.timeout, err)
	defer cancel()
	out := outage{log: r.log, op: op}
	for try := 1; ; try++ {
		out.failed(ctx, err)
		if ended := r.client.Pause(timed, retryWait, try); ended != nil {
			return ended
		}
		if err = ask(timed); err == nil || timed.Err() != nil || !jsapi.Transient(err) {
			return err
		}
	}
}

// retry is retrier.retry for a bucket that is open. If an answer says that the bucket does not exist, it is confirmed.
func (c *core) retry(ctx context.Context, op string, ask func(context.Context) error) error {
	return retrier{client: c.client, log: c.log, timeout: c.timeout}.retry(ctx, op, func(ctx context.Context) error {
		return c.confirmed(ctx, ask(ctx))
	})
}

// confirmed returns err as it is, unless err says that the bucket does not exist and the leader says a moment later
// that it does. A server that starts or stops may not know the bucket.
func (b *shared) confirmed(ctx context.Context, err error) error {
	for try := confirmFrom; errors.Is(err, jetstream.ErrStreamNotFound) && try < confirmFrom+confirms; try++ {
		if err := b.client.Pause(ctx, retryWait, try); err != nil {
			return err
		}
		if err = b.same(ctx); err == nil {
			return fmt.Errorf("%w: the bucket exists again", jsapi.ErrNoReply)
		}
	}
	return err
}

// absent returns err, unless err says that nobody takes what is sent to the bucket, and the leader says that the bucket
// does not exist. Then it returns an error that matches jetstream.ErrStreamNotFound.
func (b *shared) absent(ctx context.Context, err error) error {
	if !errors.Is(err, nats.ErrNoResponders) {
		return err
	}
	timed, cancel := context.WithTimeoutCause(ctx, absentTimeout, jsapi.ErrNoReply)
	defer cancel()
	if gone := b.same(timed); errors.Is(gone, jetstream.ErrStreamNotFound) {
		return gone
	}
	return err
}

// absentTimeout bounds the question whether the bucket exists, for which a write waits.
const absentTimeout = time.Second

// same returns an error that matches jetstream.ErrStreamNotFound if the bucket is not the one that was opened. In a
// bucket that was created again under the name, revisions begin again.
func (b *shared) same(ctx context.Context) error {
	info, err := b.client.StreamInfo(ctx, b.stream)
	if err == nil && !info.Created.Equal(b.created) {
		err = fmt.Errorf("%w: it was deleted and created again", jetstream.ErrStreamNotFound)
	}
	return err
}

const (
	// confirms is how often the leader must say that the bucket does not exist.
	confirms = 2
	// confirmFrom is the number of the first try, which sets the pause before it.
	confirmFrom = 4
)

// retryMessage is retry for a request that returns one message.
func (c *core) retryMessage(ctx context.Context, op, subject string, get getter) (m jsapi.Message, err error) {
	if m, err = get(ctx, subject); err == nil || !jsapi.Transient(err) {
		return m, err
	}
	err = c.retry(ctx, op, func(ctx context.Context) error {
		m, err = get(ctx, subject)
		return err
	})
	return m, err
}

const (
	// tellAfter is how long an outage lasts before it is logged.
	tellAfter = time.Second
	// tellEvery is how often it is logged again.
	tellEvery = 10 * time.Second
)

// outage logs that a request has failed for a long time.
type outage struct {
	log   *slog.Logger
	op    string
	since time.Time // of the first failure; zero while nothing fails
	next  time.Time // when to log it
}

// failed notes a failure, after which the request is tried again.
func (o *outage) failed(ctx context.Context, err error) {
	now := time.Now()
	if o.since.IsZero() {
		o.since, o.next = now, now.Add(tellAfter)
	}
	if now.Before(o.next) {
		return
	}
	o.next = now.Add(tellEvery)
	o.log.WarnContext(ctx, "kv: the servers do not answer; trying again", "operation", o.op, "since", o.since, "error", err)
}

// over notes that the request has succeeded.
func (o *outage) over() { o.since = time.Time{} }

// lasts returns how long the request has failed.
func (o *outage) lasts() time.Duration {
	if o.since.IsZero() {
		return 0
	}
	return time.Since(o.since)
}
