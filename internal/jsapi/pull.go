package jsapi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// heartbeat is the interval at which a server without messages says that the consumer lives.
	heartbeat = 300 * time.Millisecond
	// silence is the longest time without a word from a living consumer. After that, the consumer is gone with
	// its node, or it never got the request.
	silence = 3 * heartbeat
	// answerIn is the time for an answer to the first requests. After it they are sent again, each time after
	// twice as long, because a node of a cluster may not know yet where the consumer runs. idleIn is the same
	// if the consumer has no message to answer with.
	answerIn = 150 * time.Millisecond
	idleIn   = heartbeat + 100*time.Millisecond
)

// ErrSilent means that a consumer has fallen silent.
var ErrSilent = errors.New("no heartbeat of the consumer")

// Pull takes the messages of a pull consumer without acknowledgements. It has two requests under way, so that
// the server sends while its caller works. nats.go's Fetch makes a subscription and a goroutine for each batch,
// and a timer for each message. A Pull ends with the connection to the server on which it was made. One
// goroutine may use it.
type Pull struct {
	client   *Client
	sent     *Session
	back     <-chan struct{} // closed when the next connection is there
	subject  string          // of requests
	inbox    string
	reply    string // of the requests under way; requests that were given up had others
	given    int    // how often requests were given up
	request  []byte
	sub      *nats.Subscription
	messages chan *nats.Msg

	// overdue receives from timer. A timer with a channel would have to start and stop with each wait for a
	// message, which costs more than the message.
	overdue chan struct{}
	timer   *time.Timer
	due     time.Time // when the timer goes off; zero if it does not run

	// each is the number of bytes that one request may bring, and left the number that requests under way may
	// still bring. Whatever ends a request, the server says how many bytes it leaves, or it leaves none.
	each, left int
	expires    time.Duration
	asked      time.Time // when the last request was sent

	alive bool      // a reply came since heard was set
	heard time.Time // the last time that the consumer was alive

	answered bool          // the consumer has answered
	repeat   time.Time     // when the first requests are sent again, if it has not
	patience time.Duration // the wait before that
}

// Ahead bounds the messages that the server sends for a [Pull] before its caller takes them.
type Ahead struct {
	Messages int
	Bytes    int           // as the server counts them: subjects, header and data; at least twice the largest message
	Expires  time.Duration // after which the server forgets a request
}

// NewPull makes a Pull for a consumer of a stream, and subscribes to its replies. A request asks for no more
// messages than the consumer allows. The caller must call Close.
func (c *Client) NewPull(stream string, consumer jetstream.ConsumerInfo, ahead Ahead) (*Pull, error) {
	messages := (ahead.Messages + 1) / 2
	if limit := consumer.Config.MaxRequestBatch; limit > 0 {
		messages = min(messages, limit)
	}
	p := &Pull{
		client:  c,
		back:    c.Back(),
		sent:    c.Session(),
		subject: c.prefix + "CONSUMER.MSG.NEXT." + stream + "." + consumer.Name,
		request: fmt.Appendf(nil, `{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}`,
			messages, ahead.Bytes/2, ahead.Expires, min(heartbeat, ahead.Expires/2)),
		each:    ahead.Bytes / 2,
		expires: ahead.Expires,
		overdue: make(chan struct{}, 1),
		inbox:   c.nc.NewInbox() + ".",
		// Requests that seemed to be lost may still be answered, beside the two after them, and each has
		// replies of its own.
		messages: make(chan *nats.Msg, 8*(messages+1)+64),
		heard:    time.Now(),
		patience: answerIn,
	}
	if consumer.NumPending == 0 {
		p.patience = idleIn
	}
	p.repeat = p.heard.Add(p.patience)
	if err := p.sent.Connected(); err != nil {
		return nil, err
	}
	p.timer = time.AfterFunc(ahead.Expires, func() { p.overdue <- struct{}{} })
	p.timer.Stop()
	p.reply = p.inbox + "0"
	var err error
	if p.sub, err = c.subscribe(p.inbox+"*", p.messages); err != nil {
		return nil, err
	}
	return p, nil
}

// Close ends the subscription. A closed connection has ended it already.
func (p *Pull) Close() {
	p.timer.Stop()
	p.client.keeper.later(func() { _ = p.sub.Unsubscribe() })
}

// Next returns the next message, or nil if none came within wait. When ctx ends, it returns the cause. Any
// other error means that the consumer or the connection does not work. If the connection may not ask the
// consumer, the error is the server's complaint.
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
		if !p.answered && isNobody(msg) {
			continue // it will come
		}
		p.alive, p.answered = true, true
		if msg.Reply != "" { // a message of the server itself has none
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
		if p.sent.broken() {
			return lost()
		}
		if err := p.client.nc.PublishRequest(p.subject, p.reply, p.request); err != nil {
			return err
		}
		p.left = max(p.left, 0) + p.each
		p.asked = time.Now()
	}
	return nil
}

// forget drops requests whose ends were lost. Other requests end by themselves, and to ask again beside them
// would make more of them each time.
func (p *Pull) forget() {
	if time.Since(p.asked) > p.expires+p.expires/2 {
		p.giveUp()
	}
}

// giveUp makes the next requests go out as if none were under way.
func (p *Pull) giveUp() {
	p.given++
	p.left, p.reply = 0, p.inbox+strconv.Itoa(p.given)
}

// repeatFirst sends the first requests again if they were not answered in time. It returns the time of its next
// check.
func (p *Pull) repeatFirst(now time.Time) (time.Time, error) {
	if p.answered {
		return now.Add(silence), nil
	}
	if now.Before(p.repeat) {
		return p.repeat, nil
	}
	p.patience *= 2
	p.repeat = now.Add(p.patience)
	p.giveUp()
	return p.repeat, p.ask()
}

// isNobody reports whether a message says that nobody takes requests.
func isNobody(msg *nats.Msg) bool { return msg.Reply == "" && msg.Header.Get("Status") == "503" }

// received returns a message that the server has sent, or nil if there is none yet.
func (p *Pull) received() *nats.Msg {
	select {
	case msg := <-p.messages:
		return msg
	default:
		return nil
	}
}

// receive returns the next message of the server, or nil when it is time to give up.
func (p *Pull) receive(ctx context.Context, until time.Time) (*nats.Msg, error) {
	look := beat
	for {
		now := time.Now()
		if p.alive {
			p.alive, p.heard = false, now
		}
		repeat, err := p.repeatFirst(now)
		switch gone := p.heard.Add(silence); {
		case err != nil:
			return nil, err
		case !now.Before(until):
			return nil, nil
		case !now.Before(gone):
			return nil, ErrSilent
		default:
			p.wake(now, earliest(until, gone, repeat, now.Add(look)))
		}
		select {
		case msg := <-p.messages:
			return msg, nil
		case <-p.overdue: // perhaps for an earlier wait
			p.due = time.Time{}
			if err := p.sent.unheard(p.subject); err != nil {
				return nil, err
			}
			look = min(2*look, heartbeat)
		case <-p.back:
			return nil, lost()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// wake sets the timer, unless it already goes off by then.
func (p *Pull) wake(now, when time.Time) {
	if p.due.IsZero() || p.due.After(when) && p.timer.Stop() {
		p.due = when
		p.timer.Reset(when.Sub(now))
	}
}

func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.Before(first) {
			first = t
		}
	}
	return first
}

// status reads a reply of the server that is not a message. The end of a request is not an error.
func (p *Pull) status(msg *nats.Msg) error {
	status, description := msg.Header.Get("Status"), msg.Header.Get("Description")
	switch {
	case status == "100": // the server is alive
		return nil
	case status == "503":
		return nats.ErrNoResponders
	case status == "408", status == "409" && (description == "Batch Completed" || description == "Message Size Exceeds MaxBytes"):
		if msg.Subject != p.reply {
			return nil // the end of a request that was given up
		}
		pending, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Bytes"))
		p.left -= pending
		return err
	}
	return fmt.Errorf("pull: status %s %s", status, description)
}
