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
	// heartbeat is how often a server without messages says that the consumer lives.
	heartbeat = 300 * time.Millisecond
	// silence is how long a consumer that lives is not heard at most. After that it is gone, with the node that kept it, or it
	// never got the request.
	silence = 3 * heartbeat
	// answerIn is how long the answer to the first requests takes, after which they are sent again, each time after twice as long:
	// on a cluster a node may not know yet whom to pass them to. idleIn is the same where the consumer has no message to answer with.
	answerIn = 150 * time.Millisecond
	idleIn   = heartbeat + 100*time.Millisecond
)

// ErrSilent says that nothing is heard of a consumer any more.
var ErrSilent = errors.New("no heartbeat of the consumer")

// Pull takes the messages of a pull consumer that wants no acknowledgements. It has two requests under way, so that the server
// sends while its caller works. nats.go's Fetch makes a subscription and a goroutine for each batch, and a timer for each
// message. A Pull ends with the connection to a server that it was made on. It is for one goroutine.
type Pull struct {
	client   *Client
	sent     *Session
	back     <-chan struct{} // closed when another connection is there
	subject  string          // of requests
	inbox    string
	reply    string // of the requests under way; those that were given up had others
	given    int    // how often requests were given up
	request  []byte
	sub      *nats.Subscription
	messages chan *nats.Msg

	// overdue tells of timer, which is not a timer with a channel: that is begun and ended by each wait for a message, which
	// costs more than the message.
	overdue chan struct{}
	timer   *time.Timer
	due     time.Time // when the timer goes off; zero where it does not run

	// each is what one request may bring, and left what may come yet of those under way, in bytes: whatever ends a request, the
	// server says how many bytes it leaves, or it leaves none.
	each, left int
	expires    time.Duration
	asked      time.Time // when the last request was sent

	alive bool      // something came since heard was noted
	heard time.Time // the consumer lived then

	answered bool          // it ever did
	repeat   time.Time     // when the first requests are sent again, unless it did
	patience time.Duration // the wait before that
}

// Ahead bounds what the server sends of a [Pull] before it is taken.
type Ahead struct {
	Messages int
	Bytes    int           // as the server counts them: subjects, header and data; twice what one message may have at least
	Expires  time.Duration // after which the server forgets a request
}

// NewPull subscribes to what a consumer of a stream will be asked for. A request asks for no more messages than the consumer
// allows. Close gives it back.
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
		// Requests that seemed to be lost may be answered yet, beside the two after them, and each has replies of its own.
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

// Close ends the subscription. A connection that was closed has taken it along.
func (p *Pull) Close() {
	p.timer.Stop()
	p.client.keeper.later(func() { _ = p.sub.Unsubscribe() })
}

// Next gives the next message. It gives nil when none came for as long as wait. Any
// error but the cause of ctx, which it returns when ctx ends, says that the consumer or the connection does not serve. It returns
// the server's complaint where the connection may not ask the consumer.
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
			continue // it will be there
		}
		p.alive, p.answered = true, true
		if msg.Reply != "" { // what the server says of itself has none
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

// forget gives up requests whose ends were lost. Others end by themselves: to ask again beside them would make more of them each
// time.
func (p *Pull) forget() {
	if time.Since(p.asked) > p.expires+p.expires/2 {
		p.giveUp()
	}
}

// giveUp has the next requests sent as if none were under way.
func (p *Pull) giveUp() {
	p.given++
	p.left, p.reply = 0, p.inbox+strconv.Itoa(p.given)
}

// repeatFirst sends the first requests again if they were not answered in time. It reports when it is to look again.
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

// wake sets the timer, unless it goes off by then as it is.
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

// status looks at what the server says instead of giving a message. That a request is over is no error.
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
