package jsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Probe is a question to all who take what is published to a subject.
type Probe struct {
	sent   time.Time
	stream string // which is to answer
	sub    *nats.Subscription
}

// Probe publishes to a subject what no stream stores, since it expects a stream of a name that none has. Close ends it.
func (c *Client) Probe(subject string) (*Probe, error) {
	sub, err := c.nc.SubscribeSync(c.nc.NewInbox())
	if err != nil {
		return nil, err
	}
	question := nats.NewMsg(subject)
	question.Reply = sub.Subject
	question.Header.Set(jetstream.ExpectedStreamHeader, uuid.NewString())
	p := &Probe{sent: time.Now(), stream: c.source.Stream, sub: sub}
	if err := c.nc.PublishMsg(question); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// Close ends the subscription. A connection that was closed has taken it along.
func (p *Probe) Close() { _ = p.sub.Unsubscribe() }

// Other says who has answered but the one stream that should, and gives "" where nobody has. It waits until a time after the probe was
// sent.
func (p *Probe) Other(ctx context.Context, wait time.Duration) string {
	timed, cancel := context.WithDeadline(ctx, p.sent.Add(wait))
	defer cancel()
	for own := false; ; {
		msg := p.next(timed)
		if msg == nil {
			return ""
		}
		other := p.other(msg, own)
		if other != "" {
			return other
		}
		own = true
	}
}

// next gives an answer that is there, or comes before ctx ends.
func (p *Probe) next(ctx context.Context) *nats.Msg {
	if n, _, err := p.sub.Pending(); err == nil && n == 0 && ctx.Err() != nil {
		return nil
	}
	if ctx.Err() != nil {
		ctx = context.WithoutCancel(ctx) // it is there
	}
	msg, err := p.sub.NextMsgWithContext(ctx)
	if err != nil || msg.Header.Get("Status") != "" {
		return nil
	}
	return msg
}

// other says who answered, if it is not the one stream that should, once.
func (p *Probe) other(msg *nats.Msg, own bool) string {
	var ack pubAck
	switch err := json.Unmarshal(msg.Data, &ack); {
	case err != nil || ack.Stream == "":
		return fmt.Sprintf("a program that replies %.80q", msg.Data)
	case ack.Stream != p.stream:
		return Source{ack.Stream, ack.Domain}.String()
	case own:
		return "another stream " + ack.Stream + ", in another domain or account"
	}
	return ""
}
