package kv

import (
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/ondisk"
)

const (
	// feedMessages and feedBytes bound what the server sends ahead of the reader. feedWait is how long one request
	// lasts.
	feedMessages, feedBytes = 1000, 8 << 20
	feedWait                = 5 * time.Second
	// consumerIdle is after how long the server deletes a consumer that nobody pulls from.
	consumerIdle = time.Minute
	// syncCheck is how long a feed that is not synced waits for a message before it asks the leader whether there is
	// one. The number of pending messages that came with the last message may count messages that were overwritten
	// since.
	syncCheck = 200 * time.Millisecond
	// maxEnds is how often a feed may come to the end and find that more was written, until it is taken for synced
	// all the same. In a bucket that is written all the time the leader may never say that there is no more. By then
	// the feed has long returned what was being replaced when it asked first.
	maxEnds = 64
)

// errGap makes a feed go on with another consumer.
var errGap = errors.New("a message was lost on the way")

// feed returns the newest message of each subject that matches the filters, then an event that is synced, then every
// message to come. It ends with one error.
//
// The feed is a chain of consumers. The first one begins with the newest message of each subject. Each other one
// begins after the last message that the reader has seen. A consumer ends at the first sign that a message may be
// lost: a gap in its numbers, a missing heartbeat, a new connection. So the feed may leave out what is overwritten
// between two consumers, but never the newest value.
//
// A consumer of the type OrderedConsumer of nats.go works alike. But it waits up to ten seconds for an answer that was
// lost with a connection, and ignores ctx meanwhile.
func (c *core) feed(ctx context.Context, op string, filters []string) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		f := &feed{core: c, filters: filters, yield: yield, outage: outage{log: c.log, op: op}}
		for try := 1; ; try++ {
			f.alive = false
			goOn, err := f.consume(ctx)
			if !goOn {
				return
			}
			if f.alive {
				f.outage.over()
				try = 1
			}
			err = c.confirmed(ctx, err)
			f.outage.failed(ctx, err)
			if f.final(ctx, err) {
				yield(event{}, err)
				return
			}
			c.log.InfoContext(ctx, "kv: the reading was interrupted; going on with another consumer", "operation", op, "after", f.last, "error", err)
			if err := f.client.Pause(ctx, retryWait, try); err != nil {
				yield(event{}, err)
				return
			}
		}
	}
}

// event is a message of the bucket, or the news that there is no more at this moment.
type event struct {
	message jsapi.Message
	synced  bool
}

type feed struct {
	*core
	filters []string
	yield   func(event, error) bool
	outage  outage // since the last message
	started bool   // one consumer was created
	alive   bool   // the consumer has answered
	last    uint64 // the sequence of the last message that the reader has seen
	ends    int    // how often nothing was pending and yet there was more
	synced  bool
}

// consume returns the messages of one consumer, until that fails with err or the reader has left (goOn is false).
func (f *feed) consume(ctx context.Context) (goOn bool, err error) {
	name := rand.Text()
	defer f.client.DropConsumer(f.stream, name) // so that lists do not leave consumers on the server
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
	for delivered := uint64(1); ; { // the consumer's number of the next message
		wait := feedWait
		if !f.synced {
			wait = syncCheck
		}
		msg, err := pull.Next(ctx, wait)
		f.alive = f.alive || msg != nil || err == nil && wait == feedWait
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
		if goOn, err := f.show(ctx, msg, meta); !goOn || err != nil {
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

// show shows the reader a message, and then perhaps the event that is synced.
func (f *feed) show(ctx context.Context, msg *nats.Msg, meta *nats.MsgMetadata) (goOn bool, err error) {
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

// end shows the reader the event that is synced, if the leader has nothing after the last message. The consumer
// does not know it: for a moment its count of pending messages leaves out a message that replaces another, while the
// other is not delivered any more.
func (f *feed) end(ctx context.Context) (goOn bool, err error) {
	if f.synced {
		return true, nil
	}
	for _, filter := range f.filters {
		_, err := f.client.LeaderNext(ctx, f.stream, filter, f.last+1)
		switch {
		case errors.Is(err, jsapi.ErrNotFound):
		case err == nil, errors.Is(err, jsapi.ErrMalformed), jsapi.Transient(err):
			return true, nil // there is more, or the leader is asked again after syncCheck
		default:
			return true, err
		}
	}
	return f.sync(), nil
}

// sync shows the reader the event that is synced, and reports whether the reader goes on.
func (f *feed) sync() bool {
	f.synced = true
	return f.yield(event{synced: true}, nil)
}

// final reports whether a feed that failed with err must end, because its context has ended or no new consumer can
// succeed. A server that has as many consumers as it allows may still keep the consumers of a lost connection.
func (f *feed) final(ctx context.Context, err error) bool {
	switch {
	case ctx.Err() != nil:
		return true
	case f.started && errors.Is(err, jetstream.ErrMaximumConsumersLimit):
		return f.outage.lasts() > consumerIdle
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return false // the feed creates another one
	}
	return f.client.Session().Closed() || jsapi.IsRefusal(err) || errors.Is(err, jsapi.ErrClosed) ||
		errors.Is(err, ondisk.ErrFailed) || errors.Is(err, jetstream.ErrStreamNotFound)
}
