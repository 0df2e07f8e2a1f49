package jsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxLastMany is the number of subjects that the server answers in one read of [Client.DirectLastMany].
const MaxLastMany = 1024

var (
	// ErrTooMany means that more than MaxLastMany subjects have a message.
	ErrTooMany = errors.New("direct get of many: status 413: more subjects than one read may have")
	// ErrUnreadable means that a replica cannot read a message that its index lists.
	ErrUnreadable = errors.New("direct get of many: status 404: a message cannot be read")
)

// Part is the answer of one replica to one request for several messages.
type Part struct {
	// Found are the messages, in the order of their sequences. The messages of one Part are as of one moment.
	Found []Message
	// Pending is the number of messages that would have followed.
	Pending uint64
	// UpTo is the last sequence that the replica had, if [Client.DirectLastMany] asked.
	UpTo uint64
}

// DirectLastMany asks one replica for the last messages of up to MaxLastMany subjects, which may have wildcards,
// and returns ErrTooMany if more subjects match them. Subjects without a message are absent. The answer ends with
// the message that reaches maxBytes.
//
// maxBytes should be well below the server's max_pending (64 MiB): the server sends all of it at once, and drops a
// connection on which more is pending.
func (c *Client) DirectLastMany(ctx context.Context, stream string, subjects []string, maxBytes int) (Part, error) {
	request, err := json.Marshal(struct {
		MultiLast []string `json:"multi_last"`
		MaxBytes  int      `json:"max_bytes"`
	}{subjects, maxBytes})
	if err != nil {
		return Part{}, err
	}
	return c.directMany(ctx, stream, request, MaxLastMany)
}

// DirectNextMany asks one replica for at most so many messages at or after a sequence. They are on subjects
// that match a filter, or on all subjects if it is empty, which takes the server less time. The answer ends
// with the message that reaches maxBytes, as for DirectLastMany. Writes to that replica wait while it reads.
func (c *Client) DirectNextMany(ctx context.Context, stream, filter string, from uint64, most, maxBytes int) (Part, error) {
	request, err := json.Marshal(struct {
		Sequence uint64 `json:"seq"`
		Filter   string `json:"next_by_subj,omitempty"`
		Batch    int    `json:"batch"`
		MaxBytes int    `json:"max_bytes"`
	}{from, filter, most, maxBytes})
	if err != nil {
		return Part{}, err
	}
	part, err := c.directMany(ctx, stream, request, most)
	if errors.Is(err, ErrUnreadable) {
		return Part{}, nil // there is none
	}
	return part, err
}

// directMany sends a request whose replies are the messages, and one more that ends them. If a cluster does not reply
// soon, it asks again, because another replica may reply.
func (c *Client) directMany(ctx context.Context, stream string, request []byte, most int) (Part, error) {
	if ctx.Err() != nil {
		return Part{}, context.Cause(ctx)
	}
	sent := c.Session()
	if err := sent.Connected(); err != nil {
		return Part{}, err
	}
	many := many{sent: sent, subject: c.prefix + "DIRECT.GET." + stream, request: request, most: most}
	for try := 0; sent.clustered && try < manyTries; try++ {
		part, err := many.ask(ctx, sent.replicaTime())
		if !sent.isSilence(err) {
			return part, err
		}
	}
	return many.ask(ctx, manyTimeout)
}

// many is a request for several messages.
type many struct {
	sent    *Session
	subject string
	request []byte
	most    int
}

// ask sends the request, and gathers the replies. It waits so long for the first one.
func (m *many) ask(ctx context.Context, first time.Duration) (Part, error) {
	r := m.sent.requests
	replies := make(chan *nats.Msg, m.most+2) // one more than the server sends, and nil if the Client is closed
	number, err := r.expectMany(replies)
	if err != nil {
		return Part{}, err
	}
	defer r.forgetMany(number)
	if err := r.nc.PublishRequest(m.subject, r.reply(number), m.request); err != nil {
		return Part{}, err
	}
	return m.collect(ctx, replies, first)
}

// expectMany makes replies to a number go to a channel, which has room for all of them.
func (r *requests) expectMany(replies chan *nats.Msg) (number uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return 0, ErrClosed
	}
	r.next++
	r.several[r.next] = replies
	return r.next, nil
}

func (r *requests) forgetMany(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.several, number)
}

// receiveMany takes a reply to a request with several replies, and reports whether it was one.
func (r *requests) receiveMany(number uint64, msg *nats.Msg) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	replies, ok := r.several[number]
	if ok {
		select {
		case replies <- msg:
		default: // a stranger answers as well
		}
	}
	return ok
}

// interruptMany ends the requests with several replies.
func interruptMany(several map[uint64]chan *nats.Msg) {
	for _, replies := range several {
		select {
		case replies <- nil:
		default: // it is full, so all replies have come
		}
	}
}

// collect gathers the replies to one request until the last one. It waits for the first reply as long as it is told,
// and for each later one as long as a get may take. Each reply names the message before it, so one that a broken link
// has swallowed is missed.
func (m *many) collect(ctx context.Context, replies <-chan *nats.Msg, first time.Duration) (p Part, err error) {
	look := time.NewTicker(interrupted)
	defer look.Stop()
	quiet, patience := time.Duration(0), first
	for {
		select {
		case msg := <-replies:
			quiet, patience = 0, getTimeout
			if msg == nil {
				return Part{}, errInterrupted
			}
			one, end, err := oneOfMany(msg)
			if err == nil && !continues(msg, p.Found) {
				return Part{}, errIncomplete
			}
			switch {
			case end != nil:
				p.Pending, p.UpTo = end.Pending, end.UpTo
				return p, nil
			case errors.Is(err, ErrMalformed) && len(p.Found) > 0:
				p.Pending = 1 // it is next
				return p, nil
			case err != nil:
				return Part{}, err
			}
			p.Found = append(p.Found, one)
		case <-look.C:
			if err := m.sent.denied(m.subject); err != nil {
				return Part{}, err
			}
			if m.sent.broken() {
				return Part{}, lost()
			}
			if quiet += interrupted; quiet >= patience {
				return Part{}, ErrNoReply
			}
		case <-ctx.Done():
			return Part{}, context.Cause(ctx)
		}
	}
}

// continues reports whether a reply follows the messages that were found, with none between. The end of an empty answer
// names no message.
func continues(msg *nats.Msg, found []Message) bool {
	named := msg.Header.Values(headerBefore)
	if len(named) == 0 {
		return len(found) == 0
	}
	before := uint64(0)
	if len(found) > 0 {
		before = found[len(found)-1].Sequence
	}
	// A stored header of that name stands before the server's.
	return named[len(named)-1] == strconv.FormatUint(before, 10)
}

// errIncomplete means that one of several replies was lost.
var errIncomplete = fmt.Errorf("%w: one of several replies was lost", ErrNoReply)

// manyTimeout bounds the wait for the first of several replies. A cluster is asked manyTries times before, because each
// time another replica may reply.
const (
	manyTimeout = time.Second
	manyTries   = 3
)

// oneOfMany returns the message in one of several replies, or the error in the reply that ends them.
func oneOfMany(msg *nats.Msg) (one Message, end *Part, err error) {
	switch status, description := msg.Header.Get("Status"), msg.Header.Get("Description"); {
	case status == "", msg.Header.Get(jetstream.SequenceHeader) != "":
		one, err = directMessage(msg)
		return one, nil, err
	case status == "204":
		end := &Part{}
		if end.Pending, err = strconv.ParseUint(msg.Header.Get(headerPending), 10, 64); err != nil {
			return Message{}, nil, fmt.Errorf("direct get of many: %w: end without a count: %w", ErrMalformed, err)
		}
		end.UpTo, _ = strconv.ParseUint(msg.Header.Get(headerUpTo), 10, 64) // not every end has it
		return Message{}, end, nil
	case status == "404" && strings.EqualFold(description, "No Results"):
		return Message{}, &Part{}, nil
	case status == "404":
		return Message{}, nil, ErrUnreadable
	case status == "413":
		return Message{}, nil, ErrTooMany
	case status == "503":
		return Message{}, nil, nats.ErrNoResponders
	default:
		return Message{}, nil, fmt.Errorf("direct get of many: status %s %s", status, description)
	}
}
