package jsapi

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Pull takes the messages of a pull consumer that wants no acknowledgements. It asks for a batch, and for the next when that
// was taken. nats.go's Fetch does the same, with a subscription, a goroutine and a timer for each batch or message more. A
// Pull is for one goroutine.
type Pull struct {
	nc       *nats.Conn
	subject  string // of requests
	inbox    string
	request  []byte
	sub      *nats.Subscription
	messages chan *nats.Msg
	idle     *time.Timer

	batch Batch
	left  Batch // of the request under way; none where Messages or Bytes is 0 or less
}

// Batch bounds one request of a [Pull].
type Batch struct {
	Messages int
	Bytes    int           // as the server counts them: subjects, header and data
	Expires  time.Duration // after which the server forgets it
}

// NewPull subscribes on the connection of js to what a consumer of a stream will be asked for. Close gives it back.
func NewPull(js jetstream.JetStream, stream, consumer string, batch Batch) (*Pull, error) {
	p := &Pull{
		nc:      js.Conn(),
		subject: prefixOf(js) + "CONSUMER.MSG.NEXT." + stream + "." + consumer,
		request: fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d}`, batch.Messages, batch.Bytes, batch.Expires),
		batch:   batch,
		idle:    time.NewTimer(0),
		// A request that seemed to be lost may be answered yet, beside the one after it.
		messages: make(chan *nats.Msg, 2*(batch.Messages+1)),
	}
	p.inbox = p.nc.NewInbox()
	var err error
	if p.sub, err = p.nc.ChanSubscribe(p.inbox, p.messages); err != nil {
		return nil, err
	}
	return p, nil
}

// Close ends the subscription. A connection that was closed has taken it along.
func (p *Pull) Close() {
	p.idle.Stop()
	_ = p.sub.Unsubscribe()
}

// Next gives the next message. It gives nil when none came for as long as wait, after which the server is asked anew. Any
// error but the cause of ctx, which it returns when ctx ends, says that the consumer or the connection does not serve.
func (p *Pull) Next(ctx context.Context, wait time.Duration) (*nats.Msg, error) {
	for waits := false; ; {
		if err := p.ask(); err != nil {
			return nil, err
		}
		msg := p.received()
		if msg == nil && !waits {
			waits = true // for everything that comes instead of a message, too
			p.idle.Reset(wait)
		}
		if msg == nil {
			var err error
			if msg, err = p.receive(ctx); msg == nil {
				p.left = Batch{}
				return nil, err
			}
		}
		if len(msg.Data) > 0 || msg.Header.Get("Status") == "" {
			p.left.Messages--
			p.left.Bytes -= msg.Size()
			return msg, nil
		}
		if err := p.status(msg); err != nil {
			return nil, err
		}
	}
}

// ask sends a request unless one is under way.
func (p *Pull) ask() error {
	if p.left.Messages > 0 && p.left.Bytes > 0 {
		return nil
	}
	p.left = p.batch
	return p.nc.PublishRequest(p.subject, p.inbox, p.request)
}

// received gives what the server has sent, or nil where there is nothing yet.
func (p *Pull) received() *nats.Msg {
	select {
	case msg := <-p.messages:
		return msg
	default:
		return nil
	}
}

// receive gives what the server sends next, or nil when it is time to give up.
func (p *Pull) receive(ctx context.Context) (*nats.Msg, error) {
	select {
	case msg := <-p.messages:
		return msg, nil
	case <-p.idle.C:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// status looks at what the server says instead of giving a message. That a request is over is no error.
func (p *Pull) status(msg *nats.Msg) error {
	status, description := msg.Header.Get("Status"), msg.Header.Get("Description")
	switch {
	case status == "100": // the server is alive
		return nil
	case status == "503":
		return nats.ErrNoResponders
	case status == "404", status == "408", status == "409" && description == "Message Size Exceeds MaxBytes":
		p.left = Batch{}
		return nil
	}
	return fmt.Errorf("pull: status %s %s", status, description)
}
