package jsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrOtherStream says that another stream answered than the one that was asked, or beside it.
var ErrOtherStream = errors.New("another stream answers")

// Source names the stream that answers a Client's publishes. The zero Source stands for any.
type Source struct {
	Stream string
	Domain string // of JetStream; "" for none
}

func (s Source) String() string {
	if s.Domain == "" {
		return "stream " + s.Stream
	}
	return "stream " + s.Stream + " of domain " + s.Domain
}

// OtherStreamError says who answered what was published for a stream. It matches ErrOtherStream.
type OtherStreamError struct {
	Asked Source
	Other string // who answered
}

func (e *OtherStreamError) Error() string {
	return fmt.Sprintf("%v: what is published for %s is answered by %s", ErrOtherStream, e.Asked, e.Other)
}

// Is reports whether target is ErrOtherStream.
func (e *OtherStreamError) Is(target error) bool { return target == ErrOtherStream }

// compare refuses the acknowledgement of another stream. A refusal names the stream and no domain.
func (s Source) compare(ack pubAck) error {
	answered := Source{ack.Stream, ack.Domain}
	switch {
	case s.Stream == "", ack.Stream == "", answered == s:
		return nil
	case ack.Error != nil && ack.Stream == s.Stream:
		return nil
	}
	return &OtherStreamError{Asked: s, Other: answered.String()}
}

// others is what is known of others than the source.
type others struct {
	source atomic.Pointer[Source]           // whose acknowledgements are believed; nil before that is known
	first  atomic.Pointer[OtherStreamError] // the first that was not
	found  chan struct{}                    // closed once there is one
	probes atomic.Uint64                    // how many were sent; only answers to the last count
	probed atomic.Uint64                    // the last that the source has answered
}

// note keeps the first error that says that another answers.
func (o *others) note(err error) {
	if other, ok := errors.AsType[*OtherStreamError](err); ok && o.first.CompareAndSwap(nil, other) {
		close(o.found)
	}
}

// Expect says which stream answers the publishes from now on. It is called before the first of them.
func (c *Client) Expect(s Source) { c.others.source.Store(&s) }

// source is the one that is expected, the zero Source before that is known. Replies come from the time before, too.
func (c *Client) source() Source {
	if s := c.others.source.Load(); s != nil {
		return *s
	}
	return Source{}
}

// Other returns an error that matches ErrOtherStream once another stream than the expected one has answered a publish,
// even if that one answered first. Both may have stored what was published.
func (c *Client) Other() error {
	if err := c.others.first.Load(); err != nil {
		return err
	}
	return nil
}

// classify is Classify for this client's stream. That another stream answered is kept for Other.
func (c *Client) classify(msg *nats.Msg) Answer {
	answer := c.source().classify(msg)
	if answer.Class == Unknown {
		c.others.note(answer.Err)
	}
	return answer
}

// late looks at a reply to a request that was answered before, or whose waiter has left.
func (c *Client) late(msg *nats.Msg) {
	if c.source().Stream == "" || len(msg.Header) > 0 || !strings.HasPrefix(string(msg.Data), `{"stream"`) {
		return // it is no acknowledgement; a message that was asked for has headers
	}
	c.classify(msg)
}

// probeToken begins the last token of the subject of replies to probes, before the number of the probe.
const probeToken = "-"

// Probe asks all who take what is published to a subject, and returns without an answer. No stream stores the question,
// since it expects a stream of a name that none has. That another than the expected stream answers is kept for Other,
// whenever it does.
func (c *Client) Probe(subject string) error {
	question := nats.NewMsg(subject)
	question.Reply = c.inbox + probeToken + strconv.FormatUint(c.others.probes.Add(1), 10)
	question.Header.Set(jetstream.ExpectedStreamHeader, uuid.NewString())
	return c.nc.PublishMsg(question)
}

// answered takes an answer to a probe.
func (c *Client) answered(msg *nats.Msg, probe string) {
	number, err := strconv.ParseUint(probe, 10, 64)
	if err != nil || number != c.others.probes.Load() {
		return
	}
	var ack pubAck
	var other string
	switch err := json.Unmarshal(msg.Data, &ack); {
	case msg.Header.Get("Status") == "503":
		return
	case err != nil || ack.Stream == "":
		other = fmt.Sprintf("a program that replies %.80q", msg.Data)
	case ack.Stream != c.source().Stream:
		other = Source{ack.Stream, ack.Domain}.String()
	case c.others.probed.Swap(number) == number:
		other = "another stream " + ack.Stream + ", in another domain or account"
	default:
		return
	}
	c.others.note(&OtherStreamError{Asked: c.source(), Other: other})
}

// AwaitOther is Other that waits for a while.
func (c *Client) AwaitOther(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-c.others.found:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return c.Other()
}
