package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// again spaces the tries of what failed for a reason that passes.
var again = backoff.Policy{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}

// asker asks the servers of a bucket something that is harmless to repeat.
type asker struct {
	client  *jsapi.Client
	log     *slog.Logger
	timeout time.Duration
}

// insist asks, and if the answer passes, such as that there is no leader at the moment, it asks again until the timeout has
// passed or ctx ends.
func (a asker) insist(ctx context.Context, op string, ask func(context.Context) error) error {
	err := ask(ctx)
	if err == nil || ctx.Err() != nil || !jsapi.Transient(err) {
		return err
	}
	timed, cancel := context.WithTimeoutCause(ctx, a.timeout, err)
	defer cancel()
	out := outage{log: a.log, op: op}
	for try := 1; ; try++ {
		out.failed(ctx, err)
		if ended := a.client.Pause(timed, again, try); ended != nil {
			return ended
		}
		if err = ask(timed); err == nil || timed.Err() != nil || !jsapi.Transient(err) {
			return err
		}
	}
}

// insist is asker.insist for a bucket that is open. That the bucket does not exist is confirmed.
func (c *core) insist(ctx context.Context, op string, ask func(context.Context) error) error {
	return asker{client: c.client, log: c.log, timeout: c.timeout}.insist(ctx, op, func(ctx context.Context) error {
		return c.confirmed(ctx, ask(ctx))
	})
}

// confirmed returns an error as it is, unless it says that the bucket does not exist and the leader knows of it a moment later: a
// server that starts or ends may not know it.
func (b *shared) confirmed(ctx context.Context, err error) error {
	for try := confirmFrom; errors.Is(err, jetstream.ErrStreamNotFound) && try < confirmFrom+confirms; try++ {
		if err := b.client.Pause(ctx, again, try); err != nil {
			return err
		}
		if err = b.same(ctx); err == nil {
			return fmt.Errorf("%w: the bucket is there again", jsapi.ErrNoReply)
		}
	}
	return err
}

// same makes sure that the bucket is the one that was opened. In one that was made anew under the name, revisions begin
// again.
func (b *shared) same(ctx context.Context) error {
	info, err := b.client.StreamInfo(ctx, b.stream)
	if err == nil && !info.Created.Equal(b.created) {
		err = fmt.Errorf("%w: it was made anew", jetstream.ErrStreamNotFound)
	}
	return err
}

const (
	// confirms is how often the leader is asked whether the bucket does not exist, before that is believed.
	confirms = 2
	// confirmFrom is the try from which the pauses before that are taken.
	confirmFrom = 4
)

// insistOn is insist for one message.
func (c *core) insistOn(ctx context.Context, op, subject string, get getter) (m jsapi.Message, err error) {
	if m, err = get(ctx, subject); err == nil || !jsapi.Transient(err) {
		return m, err
	}
	err = c.insist(ctx, op, func(ctx context.Context) error {
		m, err = get(ctx, subject)
		return err
	})
	return m, err
}

const (
	// tellAfter is how long something may fail before Config.Logger is told.
	tellAfter = time.Second
	// tellEvery is how often Config.Logger is told while it goes on.
	tellEvery = 10 * time.Second
)

// outage tells Config.Logger of what is tried again for long.
type outage struct {
	log   *slog.Logger
	op    string
	since time.Time // of the first failure; zero while nothing fails
	next  time.Time // when to tell
}

// failed notes a failure after which it is tried again.
func (o *outage) failed(ctx context.Context, err error) {
	now := time.Now()
	if o.since.IsZero() {
		o.since, o.next = now, now.Add(tellAfter)
	}
	if now.Before(o.next) {
		return
	}
	o.next = now.Add(tellEvery)
	o.log.WarnContext(ctx, "kv: the servers do not answer; it is tried again", "operation", o.op, "since", o.since, "error", err)
}

// over notes that nothing fails any more.
func (o *outage) over() { o.since = time.Time{} }

// lasts is how long it fails.
func (o *outage) lasts() time.Duration {
	if o.since.IsZero() {
		return 0
	}
	return time.Since(o.since)
}
