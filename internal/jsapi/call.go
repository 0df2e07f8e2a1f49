package jsapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Call is one request under way.
type Call struct {
	requests *requests
	number   uint64
	sent     *Session
	subject  string
	reply    chan *nats.Msg // holds one: the reply, or nil when the Client closes
	timer    *time.Timer    // stopped, except during a wait

	// question is set if the leader of a stream has to reply. A server that knows no leader replies as well, perhaps
	// before the leader. Its reply stands aside. Both fields are guarded by requests.mu.
	question bool
	aside    *nats.Msg

	// The request is built here. After it was sent, nobody needs it.
	msg      nats.Msg
	text     []byte
	expected [1]string
	header   nats.Header // the expectation that is in expected
}

// call returns a Call to send, perhaps one that was used before.
func (s *Session) call() *Call {
	if call, ok := s.requests.calls.Get().(*Call); ok {
		call.sent = s
		return call
	}
	call := &Call{requests: s.requests, sent: s, reply: make(chan *nats.Msg, 1), timer: time.NewTimer(0)}
	call.timer.Stop()
	call.header = nats.Header{jetstream.ExpectedLastSubjSeqHeader: call.expected[:]}
	return call
}

// free makes a Call reusable if its reply was taken. Otherwise the reply may still come.
func (call *Call) free() {
	call.question, call.aside = false, nil
	call.requests.calls.Put(call)
}

// Send publishes a request and returns without waiting for its reply. An error means that the publish failed; [NotSent]
// tells whether it certainly never left.
func (r *requests) Send(subject string, header nats.Header, data []byte) (*Call, error) {
	call := r.Session().call()
	if err := call.send(subject, header, data); err != nil {
		return nil, err
	}
	return call, nil
}

func (call *Call) send(subject string, header nats.Header, data []byte) error {
	// A publish without a connection would wait until the next one is dialled.
	if err := call.sent.Connected(); err != nil {
		return err
	}
	r := call.requests
	call.subject = subject
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return ErrClosed
	}
	r.next++
	call.number = r.next
	r.waiting[call.number] = call
	r.mu.Unlock()

	call.msg = nats.Msg{Subject: subject, Reply: r.reply(call.number), Header: header, Data: data}
	err := r.nc.PublishMsg(&call.msg)
	call.msg = nats.Msg{}
	if err != nil {
		r.take(call.number)
	}
	return err
}

// Wait blocks until the reply is there, the timeout passes (ErrNoReply) or ctx ends (its cause). It gives up, with
// ErrNoReply, soon after the connection was lost: the reply went with it. If the server says that the connection may
// not send the request, it returns that complaint. It may be called once.
func (call *Call) Wait(ctx context.Context, timeout time.Duration) (*nats.Msg, error) {
	msg, err := call.sent.wait(ctx, wait{replies: call.reply, timer: call.timer, timeout: timeout, subject: call.subject})
	if err != nil {
		call.requests.take(call.number)
	}
	return msg, err
}

// interrupted is the longest interval at which a wait checks whether the connection was lost, or whether the
// server has complained, since the request was sent. It checks first after one beat, because most replies come
// before that, and then each time after twice as long.
const interrupted = 200 * time.Millisecond

// wait is one wait for a reply.
type wait struct {
	replies <-chan *nats.Msg
	timer   *time.Timer // stopped
	timeout time.Duration
	own     bool   // the replies come to a subscription that may be new
	subject string // of the request
}

// wait waits for the reply to a request. It may wait one beat longer than the timeout.
func (s *Session) wait(ctx context.Context, w wait) (*nats.Msg, error) {
	select {
	case msg := <-w.replies: // of several requests, most replies are there
		return replied(msg)
	default:
	}
	select {
	case msg := <-w.replies:
		s.requests.took.beat()
		return replied(msg)
	case <-s.requests.pulse.while():
		return s.waitOn(ctx, w)
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// waitOn continues a wait after its first beat.
func (s *Session) waitOn(ctx context.Context, w wait) (*nats.Msg, error) {
	defer w.timer.Stop()
	begin := time.Now().Add(-beat)
	for look := beat; ; {
		if err := s.complaintAbout(w); err != nil {
			return nil, err
		}
		w.timeout -= look
		if w.timeout <= 0 {
			return nil, ErrNoReply
		}
		if s.broken() {
			return nil, lost()
		}
		if time.Since(begin) > doubtAfter {
			s.requests.doubts.raise()
		}
		look = min(2*look, interrupted, w.timeout)
		w.timer.Reset(look)
		select {
		case msg := <-w.replies:
			s.requests.took.Store(int64(time.Since(begin)))
			return replied(msg)
		case <-w.timer.C:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// complaintAbout returns the complaint that the server made about the request.
func (s *Session) complaintAbout(w wait) error {
	if w.own {
		return s.unheard(w.subject)
	}
	return s.denied(w.subject)
}

// errInterrupted ends the calls of a client that was closed, or whose calls were interrupted. Nobody waits for
// replies any more.
var errInterrupted = fmt.Errorf("%w: the client was closed, or its calls interrupted", ErrNoReply)

func replied(msg *nats.Msg) (*nats.Msg, error) {
	if msg == nil {
		return nil, errInterrupted
	}
	return msg, nil
}

// askEvery is the interval at which a harmless request is sent again while nobody answers. A cluster that
// elects a leader loses requests.
const askEvery = 500 * time.Millisecond

// Request sends a request to the leader of a stream that is harmless to repeat. It sends it again while there is no
// reply, unless the timeout says that the server needs long for it. A reply of a server that knows no leader counts if
// no other comes soon. Request gives up, with ErrNoReply, when the timeout has passed or soon after the connection was
// lost. If the server said that the connection may not send the request, Request returns that complaint. It sends
// nothing after ctx has ended.
func (r *requests) Request(ctx context.Context, subject string, data []byte, timeout time.Duration) (*nats.Msg, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	call := r.Session().call()
	call.question = true
	if err := call.send(subject, nil, data); err != nil {
		return nil, err
	}
	w := wait{replies: call.reply, timer: call.timer, subject: subject}
	for left := timeout; ; left -= askEvery {
		w.timeout = min(left, askEvery)
		msg, err := call.sent.wait(ctx, w)
		if err == nil {
			call.free()
			return msg, nil
		}
		if msg := r.leaderless(call); msg != nil {
			return msg, nil
		}
		again := errors.Is(err, ErrNoReply) && !errors.Is(err, errInterrupted) && left > w.timeout && !call.sent.broken()
		if again && timeout <= getTimeout {
			err = r.nc.PublishRequest(subject, r.reply(call.number), data)
			again = err == nil
		}
		if !again {
			r.take(call.number)
			return nil, err
		}
	}
}

// reply is the subject of the reply to a call.
func (r *requests) reply(number uint64) string {
	var room [64]byte
	return string(strconv.AppendUint(append(room[:0], r.inbox...), number, 36))
}

// receive runs on the subscription's own goroutine, one message at a time.
func (r *requests) receive(msg *nats.Msg) {
	token := msg.Subject[len(r.inbox):]
	if probe, ok := strings.CutPrefix(token, probeToken); ok {
		r.answered(msg, probe)
		return
	}
	number, err := strconv.ParseUint(token, 36, 64)
	if err != nil {
		return // not a reply to a request of this client
	}
	if call, aside := r.replied(number, msg); aside {
		return
	} else if call != nil {
		call.reply <- msg
		return
	}
	if !r.receiveMany(number, msg) {
		r.others.late(msg)
	}
}

// replied removes the call that waits for a reply and returns it. It returns nil if the reply came before, or if the
// waiter has left. It reports aside if the call waits for a better reply.
func (r *requests) replied(number uint64, msg *nats.Msg) (call *Call, aside bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	call = r.waiting[number]
	if call != nil && call.question && isLeaderless(msg) {
		call.aside = msg
		return nil, true
	}
	delete(r.waiting, number)
	return call, false
}

// leaderless ends a call and returns the reply that stood aside, if there was one and no other.
func (r *requests) leaderless(call *Call) *nats.Msg {
	r.mu.Lock()
	defer r.mu.Unlock()
	if call.aside != nil {
		delete(r.waiting, call.number)
	}
	return call.aside
}

// isLeaderless reports whether a server replied that it knows no leader, of a stream or of all of JetStream.
func isLeaderless(msg *nats.Msg) bool {
	return len(msg.Data) < maxAPIError && bytes.Contains(msg.Data, errorNoLeader)
}

// maxAPIError is more than the bytes of an error of the JetStream API.
const maxAPIError = 1 << 10

var errorNoLeader = fmt.Appendf(nil, `"err_code":%d,`, codeClusterNotAvailable)

// take removes a waiting call, if the reply did not come before.
func (r *requests) take(number uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waiting, number)
}
