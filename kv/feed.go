package kv

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// codeFiltersOverlap is the server's refusal of two filters that can match one subject; see nats-server's errors.json.
const codeFiltersOverlap jetstream.ErrorCode = 10138

const (
	// cleanup bounds the deletion of a consumer that is not needed any more; the server forgets it by itself after
	// consumerIdle.
	cleanup      = 2 * time.Second
	consumerIdle = time.Minute
	// syncCheck is how long a feed that is not synced waits for a message before it asks whether there is any: the
	// number that the last message gave as pending may count messages that were overwritten since.
	syncCheck = 200 * time.Millisecond
)

var restart = backoff.Policy{Base: 50 * time.Millisecond, Max: 5 * time.Second}

// feed gives the newest message of each subject that matches the filters, then an event that is synced, then every
// message to come. It ends with one error.
//
// The feed is a chain of ordered consumers. Each begins after the last message that was given, or at the newest message
// of each subject. So what is overwritten between two consumers is left out, and its newest value is not.
func (c *core) feed(ctx context.Context, op string, filters []string) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		f := &feed{core: c, filters: filters, yield: yield}
		for try := 1; ; try++ {
			before := f.last
			goOn, err := f.consume(ctx)
			if !goOn {
				return
			}
			if f.last != before {
				try = 1
			}
			if f.final(ctx, err) {
				yield(event{}, c.feedError(ctx, op, err))
				return
			}
			c.log.WarnContext(ctx, "kv: watch begins again", "after", f.last, "error", err)
			if err := restart.Wait(ctx, try); err != nil {
				yield(event{}, c.feedError(ctx, op, err))
				return
			}
		}
	}
}

// event is a message of the bucket, or the news that there is no more at the moment.
type event struct {
	message jsapi.Message
	synced  bool
}

type feed struct {
	*core
	filters []string
	yield   func(event, error) bool
	started bool   // one consumer was created
	last    uint64 // sequence of the last message given
	synced  bool
}

// consume gives messages of one consumer until it fails with err, or until the reader has left (goOn is false).
func (f *feed) consume(ctx context.Context) (goOn bool, err error) {
	consumer, err := f.js.OrderedConsumer(ctx, f.stream, f.settings())
	if err != nil {
		return true, err
	}
	f.started = true
	defer func() { f.forget(ctx, consumer.CachedInfo().Name) }()
	if consumer.CachedInfo().NumPending == 0 && !f.sync() {
		return false, nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return true, err
	}
	defer messages.Stop()
	var delivered uint64 // consumer sequence of the last message
	for {
		msg, err := f.next(ctx, messages)
		if err == nil {
			meta, err := msg.Metadata()
			if err != nil {
				return true, err
			}
			delivered = meta.Sequence.Consumer
			if !f.give(msg, meta) {
				return false, nil
			}
			continue
		}
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return true, err
		}
		if idle(ctx, consumer, delivered) && !f.sync() {
			return false, nil
		}
	}
}

// settings of the next consumer. The client makes one try to replace a consumer that it lost; the next tries are feed's
// own, since they end with ctx.
func (f *feed) settings() jetstream.OrderedConsumerConfig {
	settings := jetstream.OrderedConsumerConfig{
		FilterSubjects:    f.filters,
		DeliverPolicy:     jetstream.DeliverLastPerSubjectPolicy,
		InactiveThreshold: consumerIdle,
		MaxResetAttempts:  1,
	}
	if f.last > 0 {
		settings.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		settings.OptStartSeq = f.last + 1
	}
	return settings
}

// next waits for a message; before the feed is synced, not for longer than syncCheck.
func (f *feed) next(ctx context.Context, messages jetstream.MessagesContext) (jetstream.Msg, error) {
	if !f.synced {
		timed, cancel := context.WithTimeout(ctx, syncCheck)
		defer cancel()
		ctx = timed
	}
	return messages.Next(jetstream.NextContext(ctx))
}

func (f *feed) give(msg jetstream.Msg, meta *jetstream.MsgMetadata) bool {
	f.last = meta.Sequence.Stream
	message := jsapi.Message{
		Subject:  msg.Subject(),
		Sequence: meta.Sequence.Stream,
		Time:     meta.Timestamp,
		Header:   msg.Headers(),
		Data:     msg.Data(),
	}
	if !f.yield(event{message: message}, nil) {
		return false
	}
	return meta.NumPending > 0 || f.sync()
}

// sync gives the event that is synced, once, and reports whether the reader goes on.
func (f *feed) sync() bool {
	if f.synced {
		return true
	}
	f.synced = true
	return f.yield(event{synced: true}, nil)
}

// idle asks the server whether it has no more for the consumer and all it sent has arrived.
func idle(ctx context.Context, consumer jetstream.Consumer, delivered uint64) bool {
	info, err := consumer.Info(ctx)
	if err != nil {
		return false // the consumer is lost; the next message or heartbeat will say so
	}
	return info.NumPending == 0 && (info.Delivered.Consumer == delivered || info.Delivered.Consumer == 0)
}

// forget deletes a consumer, so that lists do not pile them up on the server. The reader may have left because ctx ended.
func (f *feed) forget(ctx context.Context, name string) {
	if f.js.Conn().Status() != nats.CONNECTED {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	if err := f.js.DeleteConsumer(ctx, f.stream, name); err != nil {
		f.log.DebugContext(ctx, "kv: the server will forget the consumer by itself", "consumer", name, "error", err)
	}
}

// final reports whether a feed that failed with err must end: it never began, its reader is gone, or no new consumer can
// ever succeed.
func (f *feed) final(ctx context.Context, err error) bool {
	return ctx.Err() != nil || !f.started || f.js.Conn().IsClosed() ||
		errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrPermissionViolation)
}

func (c *core) feedError(ctx context.Context, op string, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return &Error{Op: op, Bucket: c.bucket, Err: cause}
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && api.ErrorCode == codeFiltersOverlap {
		return &Error{Op: op, Bucket: c.bucket, Reason: ErrInvalidKey, Err: err}
	}
	return c.readError(op, "", err)
}
