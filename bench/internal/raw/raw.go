// Package raw does the same as Runnel with nats.go alone: the same messages, subjects and expectations, and
// nothing checked. It measures the limit of server and client.
package raw

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Stream is a JetStream stream as a store has it.
func Stream(ctx context.Context, js jetstream.JetStream, name string, replicas int) error {
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: name, Subjects: []string{name + ".*.*"}, Replicas: replicas, AllowDirect: true, AllowAtomicPublish: true, DenyDelete: true, DenyPurge: true,
	})
	return err
}

// Publish publishes on a subject, expects its last message, and waits for the acknowledgement.
func Publish(ctx context.Context, js jetstream.JetStream, subject string, expected uint64, data []byte) (uint64, error) {
	ack, err := js.PublishMsg(ctx, message(subject, expected, data))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

// PublishAsync is Publish through PublishMsgAsync, which is faster if many goroutines publish.
func PublishAsync(ctx context.Context, js jetstream.JetStream, subject string, expected uint64, data []byte) (uint64, error) {
	future, err := js.PublishMsgAsync(message(subject, expected, data))
	if err != nil {
		return 0, err
	}
	select {
	case ack := <-future.Ok():
		return ack.Sequence, nil
	case err := <-future.Err():
		return 0, err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func message(subject string, expected uint64, data []byte) *nats.Msg {
	msg := nats.NewMsg(subject)
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(expected, 10))
	msg.Data = data
	return msg
}

// Gets reads messages by direct gets, many at once.
type Gets struct {
	nc      *nats.Conn
	replies *nats.Subscription
	stream  string
	inbox   string
}

// NewGets begins gets from a stream. One goroutine may use them.
func NewGets(nc *nats.Conn, stream string) (*Gets, error) {
	inbox := nc.NewInbox()
	replies, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	return &Gets{nc: nc, replies: replies, stream: stream, inbox: inbox}, nil
}

// Close ends the gets.
func (g *Gets) Close() error { return g.replies.Unsubscribe() }

// Last reads the last message of a subject.
func (g *Gets) Last(subject string) (*nats.Msg, error) {
	if err := g.nc.PublishRequest("$JS.API.DIRECT.GET."+g.stream+"."+subject, g.inbox, nil); err != nil {
		return nil, err
	}
	return g.next()
}

// Sequences reads messages by their sequences. It sends all requests before it waits for the first reply.
func (g *Gets) Sequences(sequences []uint64) error {
	for _, sequence := range sequences {
		request := append(strconv.AppendUint([]byte(`{"seq":`), sequence, 10), '}')
		if err := g.nc.PublishRequest("$JS.API.DIRECT.GET."+g.stream, g.inbox, request); err != nil {
			return err
		}
	}
	for range sequences {
		if _, err := g.next(); err != nil {
			return err
		}
	}
	return nil
}

func (g *Gets) next() (*nats.Msg, error) {
	msg, err := g.replies.NextMsg(10 * time.Second)
	if err != nil {
		return nil, err
	}
	if status := msg.Header.Get("Status"); status != "" {
		return nil, fmt.Errorf("the server has no such message: %s", status)
	}
	return msg, nil
}

// Fetch reads n messages of a stream, from its start, and does nothing with them.
func Fetch(ctx context.Context, js jetstream.JetStream, stream string, n int) error {
	consumer, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true})
	if err != nil {
		return err
	}
	for got := 0; got < n; {
		messages, err := consumer.Fetch(2000)
		if err != nil {
			return err
		}
		for range messages.Messages() {
			got++
		}
		if err := messages.Error(); err != nil {
			return err
		}
	}
	return js.DeleteConsumer(ctx, stream, consumer.CachedInfo().Name)
}
