package jsapi

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Pull takes the messages of a pull consumer that wants no acknowledgements. It has two requests under way, so that the server
// sends while its caller works. nats.go's Fetch makes a subscription and a goroutine for each batch, and a timer for each
// message. A Pull is for one goroutine.
type Pull struct {
	nc       *nats.Conn
	subject  string // of requests
	inbox    string
	request  []byte
	sub      *nats.Subscription
	messages chan *nats.Msg

	// overdue tells of timer, which is not a timer with a channel: that is begun and ended by each wait for a message, which
	// costs more than the message.
	overdue chan struct{}
	timer   *time.Timer
	runs    bool

	// each is what one request may bring, and left what may come yet of those under way, in bytes: whatever ends a request, the
	// server says how many bytes it leaves, or it leaves none.
	each, left int
	expires    time.Duration
	asked      time.Time // when the last request was sent,
	reconnects uint64    // and how often the connection had been made anew
}

// Ahead bounds what the server sends of a [Pull] before it is taken.
type Ahead struct {
	Messages int
	Bytes    int           // as the server counts them: subjects, header and data; twice what one message may have at least
	Expires  time.Duration // after which the server forgets a request
}

// NewPull subscribes on the connection of js to what a consumer of a stream will be asked for. Close gives it back.
func NewPull(js jetstream.JetStream, stream, consumer string, ahead Ahead) (*Pull, error) {
	messages := (ahead.Messages + 1) / 2
	p := &Pull{
		nc:      js.Conn(),
		subject: prefixOf(js) + "CONSUMER.MSG.NEXT." + stream + "." + consumer,
		request: fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d}`, messages, ahead.Bytes/2, ahead.Expires),
		each:    ahead.Bytes / 2,
		expires: ahead.Expires,
		overdue: make(chan struct{}, 1),
		// Two requests that seemed to be lost may be answered yet, beside the two after them, and each has one reply more.
		messages: make(chan *nats.Msg, 4*(messages+1)),
	}
	p.timer = time.AfterFunc(ahead.Expires, func() { p.overdue <- struct{}{} })
	p.timer.Stop()
	p.inbox = p.nc.NewInbox()
	var err error
	if p.sub, err = p.nc.ChanSubscribe(p.inbox, p.messages); err != nil {
		return nil, err
	}
	return p, nil
}

// Close ends the subscription. A connection that was closed has taken it along.
func (p *Pull) Close() {
	p.timer.Stop()
	_ = p.sub.Unsubscribe()
}

// Next gives the next message. It gives nil when none came for as long as wait. Any
// error but the cause of ctx, which it returns when ctx ends, says that the consumer or the connection does not serve.
func (p *Pull) Next(ctx context.Context, wait time.Duration) (*nats.Msg, error) {
	var until time.Time
	for {
		if err := p.ask(); err != nil {
			return nil, err
		}
		msg := p.received()
		if msg == nil {
			if until.IsZero() {
				until = time.Now().Add(wait)
			}
			var err error
			if msg, err = p.receive(ctx, until); msg == nil {
				p.forget()
				return nil, err
			}
		}
		if len(msg.Data) > 0 || msg.Header.Get("Status") == "" {
			p.left -= msg.Size()
			return msg, nil
		}
		if err := p.status(msg); err != nil {
			return nil, err
		}
	}
}

// ask sends requests until two are under way.
func (p *Pull) ask() error {
	for p.left <= p.each {
		if err := p.nc.PublishRequest(p.subject, p.inbox, p.request); err != nil {
			return err
		}
		p.left = max(p.left, 0) + p.each
		p.asked, p.reconnects = time.Now(), p.nc.Stats().Reconnects
	}
	return nil
}

// forget gives up requests that went with another connection, or whose ends were lost. Others end by themselves: to ask again
// beside them would make more of them each time.
func (p *Pull) forget() {
	if p.nc.Stats().Reconnects != p.reconnects || time.Since(p.asked) > p.expires+p.expires/2 {
		p.left = 0
	}
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
func (p *Pull) receive(ctx context.Context, until time.Time) (*nats.Msg, error) {
	for {
		if !p.runs {
			p.timer.Reset(time.Until(until))
			p.runs = true
		}
		select {
		case msg := <-p.messages:
			return msg, nil
		case <-p.overdue: // perhaps for an earlier wait
			p.runs = false
			if !time.Now().Before(until) {
				return nil, nil
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
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
	case status == "408", status == "409" && (description == "Batch Completed" || description == "Message Size Exceeds MaxBytes"):
		pending, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Bytes"))
		p.left -= pending
		return err
	}
	return fmt.Errorf("pull: status %s %s", status, description)
}
