package jsapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// ErrOtherStream says that another stream answered than the one that was asked.
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

// OtherStreamError says which stream answered instead of the one that was asked. It matches ErrOtherStream.
type OtherStreamError struct {
	Asked, Answered Source
}

func (e *OtherStreamError) Error() string {
	return fmt.Sprintf("%v: %s acknowledges what was published for %s", ErrOtherStream, e.Answered, e.Asked)
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
	return &OtherStreamError{Asked: s, Answered: answered}
}

// Expect says which stream answers the publishes from now on. It is called before the first of them.
func (c *Client) Expect(s Source) { c.source = s }

// Other returns an error that matches ErrOtherStream once another stream than the expected one has acknowledged a publish,
// even if that one answered first. Both have stored what was published.
func (c *Client) Other() error {
	if err := c.other.Load(); err != nil {
		return err
	}
	return nil
}

// late looks at a reply to a publish that was answered before, or whose waiter has left.
func (c *Client) late(msg *nats.Msg) {
	if c.source.Stream == "" || !strings.HasPrefix(string(msg.Data), "{") {
		return
	}
	var ack pubAck
	if json.Unmarshal(msg.Data, &ack) != nil || ack.Sequence == 0 {
		return
	}
	if other, ok := errors.AsType[*OtherStreamError](c.source.compare(ack)); ok {
		c.other.CompareAndSwap(nil, other)
	}
}

// classify is Classify for this client's stream. An acknowledgement of another stream is kept for Other.
func (c *Client) classify(msg *nats.Msg) Answer {
	answer := c.source.classify(msg)
	if answer.Class != Unknown {
		return answer
	}
	if other, ok := errors.AsType[*OtherStreamError](answer.Err); ok {
		c.other.CompareAndSwap(nil, other)
	}
	return answer
}
