package jsapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxGets is the number of messages that one [Gets] may have asked for and not waited for.
const MaxGets = 32

// maxIdle is the number of Gets that a Client keeps for later.
const maxIdle = 64

// Gets asks any replica for several messages of a stream at once. One goroutine may use it, and must release it. If a
// replica of a cluster is silent, the messages that it was asked for are missing with ErrReplicaSilent. Then the leader
// has to be asked.
//
// Its replies come to a subscription of its own, which is used again. That takes less time than the shared
// inbox with its goroutine. A reply with headers names its message. A reply of data alone comes to a subject of
// its own.
type Gets struct {
	client  *Client
	stream  string
	subject string   // of the requests
	inbox   string   // the replies' subject up to its last token, with its dot
	replies []string // their subjects; the first is for all replies with headers
	bare    []uint64 // sequences of AskData: replies come to the second subject, the third, ...
	sub     *nats.Subscription
	arrived chan *nats.Msg
	timer   *time.Timer // stopped, except during a wait

	sent   *Session
	last   string    // the subject of AskLast
	first  string    // the subject of AskFirst
	open   int       // replies that are still expected
	silent bool      // the replicas that were asked are given up
	stored []Message // came before they were waited for
	failed error     // why a message did not come, or could not be asked for

	msg  nats.Msg // requests are built here
	text []byte
}

// Gets returns a Gets for one stream.
func (c *Client) Gets(stream string) *Gets {
	g, closed := c.idle.take()
	switch {
	case closed:
		return &Gets{client: c, failed: ErrClosed}
	case g == nil:
		g = &Gets{client: c, inbox: c.nc.NewInbox() + ".", timer: time.NewTimer(0)}
		g.timer.Stop()
		// The first message of a subject comes with a second reply.
		g.arrived = make(chan *nats.Msg, MaxGets+1)
	}
	g.sent = c.Session()
	g.failed = g.sent.Connected()
	if g.failed == nil && g.sub == nil {
		g.sub, g.failed = c.subscribe(g.inbox+"*", g.arrived)
	}
	if g.stream != stream {
		g.stream, g.subject = stream, c.prefix+"DIRECT.GET."+stream
	}
	return g
}

// idle holds Gets that were used before.
type idle struct {
	mu     sync.Mutex // guards the fields below
	gets   []*Gets
	closed bool
}

// take returns a Gets, or nil if there is none, and whether the client was closed.
func (i *idle) take() (g *Gets, closed bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if last := len(i.gets) - 1; last >= 0 {
		g = i.gets[last]
		i.gets = i.gets[:last]
	}
	return g, i.closed
}

// close closes all Gets, and keeps no more.
func (i *idle) close() {
	i.mu.Lock()
	gets := i.gets
	i.gets, i.closed = nil, true
	i.mu.Unlock()
	for _, g := range gets {
		g.close()
	}
}

// Release returns the Gets to the client. A Gets that may still receive replies is not used again.
func (g *Gets) Release() {
	for len(g.arrived) > 0 {
		g.take(<-g.arrived)
	}
	// A request that seems not to have been sent may still be answered.
	whole := g.open == 0 && g.sub != nil && (g.failed == nil || errors.Is(g.failed, ErrNotFound))
	clear(g.stored)
	g.stored, g.bare, g.failed, g.silent = g.stored[:0], g.bare[:0], nil, false
	if !whole || !g.client.idle.keep(g) {
		g.close()
	}
}

// close ends the subscription. A closed connection has ended it already.
func (g *Gets) close() {
	if g.sub != nil {
		g.client.keeper.later(func() { _ = g.sub.Unsubscribe() })
	}
}

// keep keeps a Gets for later, if there is room.
func (i *idle) keep(g *Gets) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed || len(i.gets) == maxIdle {
		return false
	}
	i.gets = append(i.gets, g)
	return true
}

// AskLast asks for the last message of a literal subject.
func (g *Gets) AskLast(subject string) {
	g.last, g.text = subject, lastRequest(g.text[:0], subject)
	g.ask(0)
}

// AskFirst asks for the first message of a literal subject, and for the number of messages after it. The
// number comes from the replica's index and includes messages that are damaged on its disk.
func (g *Gets) AskFirst(subject string) {
	g.first, g.text = subject, firstRequest(g.text[:0], subject)
	g.ask(0)
}

// AskSequence asks for the message at a sequence.
func (g *Gets) AskSequence(sequence uint64) {
	g.text = sequenceRequest(g.text[:0], sequence)
	g.ask(0)
}

// AskData asks for the data of the message at a sequence. The message then has no subject, time or header,
// which takes the server and the client less time. A server that does not know such requests sends them anyway.
func (g *Gets) AskData(sequence uint64) {
	g.text = dataRequest(g.text[:0], sequence)
	g.bare = append(g.bare, sequence)
	g.ask(len(g.bare))
}

// ask sends the request in text, for a reply to the subject of that number.
func (g *Gets) ask(reply int) {
	if g.sub == nil || g.sent.Connected() != nil {
		return
	}
	if g.open+len(g.stored) >= MaxGets {
		g.failed = fmt.Errorf("more than %d messages are asked for at once", MaxGets) // unreachable
		return
	}
	for len(g.replies) <= reply {
		g.replies = append(g.replies, g.inbox+strconv.Itoa(len(g.replies)))
	}
	g.msg = nats.Msg{Subject: g.subject, Reply: g.replies[reply], Data: g.text}
	err := g.client.nc.PublishMsg(&g.msg)
	g.msg = nats.Msg{}
	if err != nil {
		g.failed = err
		return
	}
	g.open++
}

// Last waits for the message of AskLast, and returns ErrNotFound if that replica has none. Call it before you
// ask for a sequence.
func (g *Gets) Last(ctx context.Context) (Message, error) {
	return g.wait(ctx, func(m *Message) bool { return m.Subject == g.last && !m.counted })
}

// First waits for the message of AskFirst, like Last.
func (g *Gets) First(ctx context.Context) (Message, error) {
	return g.wait(ctx, func(m *Message) bool { return m.Subject == g.first && m.counted })
}

// Sequence waits for the message at a sequence, like Last.
func (g *Gets) Sequence(ctx context.Context, sequence uint64) (Message, error) {
	return g.wait(ctx, func(m *Message) bool { return m.Sequence == sequence && !m.counted })
}

// wait takes replies until it has the wanted one.
func (g *Gets) wait(ctx context.Context, wanted func(*Message) bool) (Message, error) {
	for i := 0; ; {
		for ; i < len(g.stored); i++ {
			if m := g.stored[i]; wanted(&m) {
				g.stored = slices.Delete(g.stored, i, i+1)
				return m, nil
			}
		}
		if g.open <= 0 {
			return Message{}, g.reason()
		}
		if g.silent && len(g.arrived) == 0 {
			return Message{}, ErrReplicaSilent
		}
		timeout := g.sent.replicaTime()
		msg, err := g.sent.wait(ctx, wait{replies: g.arrived, timer: g.timer, timeout: timeout, own: true, subject: g.subject})
		if g.sent.isSilence(err) {
			g.silent = true
			continue
		}
		if err != nil {
			return Message{}, err
		}
		g.take(msg)
	}
}

// reason says why a message did not come.
func (g *Gets) reason() error {
	if g.failed == nil {
		return ErrNotFound // unreachable: each request gets a message, or a reply with a reason
	}
	return g.failed
}

// take takes a reply in.
func (g *Gets) take(msg *nats.Msg) {
	g.open--
	err := statusOf(msg)
	switch {
	case errors.Is(err, errEnd):
		return
	case err == nil:
		var m Message
		if m, err = g.message(msg); err == nil {
			g.stored = append(g.stored, m)
			if m.counted {
				g.open++ // the end of the batch will come
			}
			return
		}
	}
	// ErrNotFound says least, so any other error counts for more.
	if g.failed == nil || errors.Is(g.failed, ErrNotFound) {
		g.failed = err
	}
}

// message reads the message in a reply.
func (g *Gets) message(msg *nats.Msg) (Message, error) {
	if len(msg.Header) > 0 {
		return directMessage(msg)
	}
	i, err := strconv.Atoi(msg.Subject[len(g.inbox):])
	if err != nil || i == 0 || i > len(g.bare) {
		return Message{}, fmt.Errorf("direct get: %w: reply without a header to %s", ErrMalformed, msg.Subject)
	}
	return Message{Sequence: g.bare[i-1], Data: msg.Data}, nil
}

// errEnd means that a batch of messages is at its end.
var errEnd = errors.New("end of batch")

// statusOf returns the status of a reply to a direct get that is not a message. A message may have a header of
// that name itself.
func statusOf(msg *nats.Msg) error {
	status := msg.Header.Get("Status")
	if status == "" || msg.Header.Get(jetstream.SequenceHeader) != "" {
		return nil
	}
	switch status {
	case "204":
		return errEnd
	case "404":
		return ErrNotFound
	case "503":
		return nats.ErrNoResponders
	default:
		return fmt.Errorf("direct get: status %s %s", status, msg.Header.Get("Description"))
	}
}
