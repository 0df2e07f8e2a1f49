package kv

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/ondisk"
)

// codeFiltersOverlap is the server's refusal of two filters of which one contains the other; see nats-server's errors.json.
const codeFiltersOverlap jetstream.ErrorCode = 10138

const (
	// requestTimeout bounds what a feed asks before it gives anything.
	requestTimeout = 2 * time.Second
	// feedMessages and feedBytes bound what the server sends ahead; feedWait is how long it waits for messages at a request.
	feedMessages, feedBytes = 1000, 8 << 20
	feedWait                = 5 * time.Second
	// consumerIdle is when the server forgets a consumer that nobody pulls from.
	consumerIdle = time.Minute
	// syncCheck is how long a feed that is not synced waits for a message before it asks whether there is any: the
	// number that the last message gave as pending may count messages that were overwritten since.
	syncCheck = 200 * time.Millisecond
	// maxEnds is how often a feed that is not synced has come to the end, and more was written until it asked, before it
	// takes itself for synced all the same. In a bucket that is written all the time the leader may never say that there is
	// no more; by then whatever was being replaced when it asked first has been given many times over.
	maxEnds = 64
)

// errGap is a reason to go on with another consumer.
var errGap = errors.New("a message was lost on the way")

var restart = backoff.Policy{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}

// feed gives the newest message of each subject that matches the filters, then an event that is synced, then every
// message to come. It ends with one error.
//
// The feed is a chain of consumers. Each begins after the last message that was given, the first at the newest message
// of each subject, and ends at the first sign that a message may be lost: a gap in its numbering, a missing heartbeat, a
// new connection. So what is overwritten between two consumers is left out, and its newest value is not. (nats.go's
// ordered consumer does the same, but waits for up to ten seconds for an answer that was lost with a connection, and
// does not mind ctx meanwhile.)
func (c *core) feed(ctx context.Context, op string, filters []string) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		f := &feed{core: c, filters: filters, yield: yield}
		for try := 1; ; try++ {
			before := f.last
			goOn, err := f.consume(ctx)
			if !goOn {
				return
			}
			if f.failing.IsZero() {
				f.failing = time.Now()
			}
			if f.final(ctx, err) {
				yield(event{}, c.feedError(ctx, op, err))
				return
			}
			c.log.WarnContext(ctx, "kv: begin again", "operation", op, "after", f.last, "error", err)
			if f.last != before {
				try, f.failing = 0, time.Time{}
				continue
			}
			if err := f.client.Pause(ctx, restart, try); err != nil {
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
	started bool      // one consumer was created
	failing time.Time // when the first failure came since the last message
	last    uint64    // sequence of the last message given
	ends    int       // how often nothing was pending, and then more was there
	synced  bool
}

// consume gives messages of one consumer until it fails with err, or until the reader has left (goOn is false).
func (f *feed) consume(ctx context.Context) (goOn bool, err error) {
	name := rand.Text()
	defer f.client.DropConsumer(f.stream, name) // so that lists do not pile them up on the server
	consumer, err := f.create(ctx, name)
	if err != nil {
		return true, err
	}
	f.started = true
	if consumer.NumPending == 0 {
		if goOn, err := f.end(ctx); !goOn || err != nil {
			return goOn, err
		}
	}
	pull, err := f.client.NewPull(f.stream, consumer, jsapi.Ahead{
		Messages: feedMessages, Bytes: max(feedBytes, 4*int(f.client.Session().MaxPayload())), Expires: feedWait,
	})
	if err != nil {
		return true, err
	}
	defer pull.Close()
	for delivered := uint64(1); ; { // consumer sequence of the next message
		wait := feedWait
		if !f.synced {
			wait = syncCheck
		}
		msg, err := pull.Next(ctx, wait)
		switch {
		case err != nil:
			return true, err
		case msg == nil:
			if goOn, err := f.end(ctx); !goOn || err != nil {
				return goOn, err
			}
			continue
		}
		meta, err := msg.Metadata()
		switch {
		case err != nil:
			return true, err
		case meta.Sequence.Consumer != delivered:
			return true, errGap
		}
		delivered++
		if err := f.disk.Wait(ctx, meta.Sequence.Stream); err != nil {
			return true, err
		}
		if goOn, err := f.give(ctx, msg, meta); !goOn || err != nil {
			return goOn, err
		}
	}
}

func (f *feed) create(ctx context.Context, name string) (jetstream.ConsumerInfo, error) {
	settings := jetstream.ConsumerConfig{
		Name:              name,
		FilterSubjects:    f.filters,
		DeliverPolicy:     jetstream.DeliverLastPerSubjectPolicy,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: consumerIdle,
		MemoryStorage:     true,
		Replicas:          1,
	}
	if f.started {
		if err := f.same(ctx); err != nil {
			return jetstream.ConsumerInfo{}, err
		}
	}
	if f.last > 0 {
		settings.DeliverPolicy = jetstream.DeliverByStartSequencePolicy
		settings.OptStartSeq = f.last + 1
	}
	return f.client.CreateConsumer(ctx, f.stream, settings)
}

// same makes sure that the bucket is the one that was opened. In one that was made anew under the name, revisions begin
// again, and those up to the last that was given would be left out.
func (f *feed) same(ctx context.Context) error {
	info, err := f.client.StreamInfo(ctx, f.stream)
	if err == nil && !info.Created.Equal(f.created) {
		err = fmt.Errorf("%w: the bucket was deleted, and made anew: open it again", jetstream.ErrStreamNotFound)
	}
	return err
}

// give gives a message, and then perhaps the event that is synced.
func (f *feed) give(ctx context.Context, msg *nats.Msg, meta *nats.MsgMetadata) (goOn bool, err error) {
	f.last = meta.Sequence.Stream
	message := jsapi.Message{
		Subject:  msg.Subject,
		Sequence: meta.Sequence.Stream,
		Time:     meta.Timestamp,
		Header:   msg.Header,
		Data:     msg.Data,
	}
	if !f.yield(event{message: message}, nil) {
		return false, nil
	}
	if meta.NumPending > 0 || f.synced {
		return true, nil
	}
	if f.ends++; f.ends > maxEnds {
		return f.sync(), nil
	}
	return f.end(ctx)
}

// end gives the event that is synced, where there is nothing behind what was given. The stream's leader says whether there is:
// what the consumer counts as pending leaves out, for a moment, a message that is about to take the place of another, and
// that other is not given any more.
func (f *feed) end(ctx context.Context) (goOn bool, err error) {
	if f.synced {
		return true, nil
	}
	for _, filter := range f.filters {
		_, err := f.client.LeaderNext(ctx, f.stream, filter, f.last+1)
		switch {
		case errors.Is(err, jsapi.ErrNotFound):
		case err == nil, errors.Is(err, jsapi.ErrMalformed), jsapi.Transient(err):
			return true, nil // there is more, or it is asked again after syncCheck
		default:
			return true, err
		}
	}
	return f.sync(), nil
}

// sync gives the event that is synced, once, and reports whether the reader goes on.
func (f *feed) sync() bool {
	f.synced = true
	return f.yield(event{synced: true}, nil)
}

// final reports whether a feed that failed with err must end: it never began, its reader is gone, or no new consumer can
// ever succeed. A server may have as many consumers as it allows because it still keeps those of a connection that was lost.
func (f *feed) final(ctx context.Context, err error) bool {
	switch {
	case f.started && errors.Is(err, jetstream.ErrMaximumConsumersLimit) && time.Since(f.failing) < consumerIdle:
		return ctx.Err() != nil
	case !f.started && time.Since(f.failing) > requestTimeout, !f.started && !jsapi.Transient(err):
		return true
	}
	return ctx.Err() != nil || f.client.Session().Closed() || jsapi.IsRefusal(err) || errors.Is(err, ondisk.ErrFailed) ||
		errors.Is(err, jetstream.ErrStreamNotFound)
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
