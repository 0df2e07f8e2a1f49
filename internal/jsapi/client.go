package jsapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoReply means that a request went out and no reply came in time. The server may have done it or not.
var ErrNoReply = errors.New("no reply in time")

// ErrNoConnection means that there is no connection to a server at the moment.
var ErrNoConnection = errors.New("there is no connection to a server")

// ErrClosed means that the Client was closed.
var ErrClosed = errors.New("client closed")

// Client asks JetStream. It is safe for concurrent use.
type Client struct {
	*requests
	keeper keeper
	idle   idle
}

// requests sends requests and collects their replies. It owns the inbox, the requests under way, and what is known of
// the connection.
type requests struct {
	nc     *nats.Conn
	prefix string // of the JetStream API, "$JS.API." unless a domain is set
	inbox  string // the replies' subject up to their number, with its dot
	sub    *nats.Subscription

	others others // streams that answer beside the right one

	calls sync.Pool // of *Call; not global, because timers may not leave a synctest bubble

	session atomic.Pointer[Session] // the connection's last answer
	changes chan nats.Status        // of the connection since; any goroutine may take them off
	taking  atomic.Bool             // they are being taken off
	asking  sync.Mutex              // held while the connection is asked
	noting  sync.Mutex              // guards the fields below, and stores to session; held for moments only
	noted   uint64                  // counts how often changes were taken off
	back    chan struct{}           // closed when the connection is back

	pulse  *pulse
	doubts doubts
	took   latency

	mu      sync.Mutex // guards the fields below
	next    uint64
	waiting map[uint64]*Call
	several map[uint64]chan *nats.Msg // for requests to which several replies come
	closed  bool
}

// New subscribes to an inbox of its own on the connection of js. Close ends the subscription, and so does
// closing the connection. New returns the server's complaint if the connection may not subscribe to the inbox.
func New(ctx context.Context, js jetstream.JetStream) (*Client, error) {
	r := &requests{nc: js.Conn(), prefix: prefixOf(js), back: make(chan struct{}), pulse: newPulse(), doubts: make(doubts, 1)}
	r.waiting, r.several = make(map[uint64]*Call), make(map[uint64]chan *nats.Msg)
	r.others.found = make(chan struct{})
	r.inbox = r.nc.NewInbox() + "."
	r.session.Store(&Session{requests: r})
	sub, err := r.nc.Subscribe(r.inbox+"*", r.receive)
	if err != nil {
		return nil, fmt.Errorf("subscribe to the reply inbox: %w", err)
	}
	// A reply may be as large as any message, and callers bound the number of replies under way.
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, errors.Join(err, sub.Unsubscribe())
	}
	r.sub = sub
	r.changes = r.nc.StatusChanged()
	r.asking.Lock()
	r.ask()
	r.asking.Unlock()
	c := &Client{requests: r}
	c.keeper.start(r)
	if err := r.mayReply(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// mayReply returns the server's complaint if replies cannot reach this client, or if the connection has too
// many subscriptions. Otherwise each request would seem to be lost. It returns nil if the connection breaks
// meanwhile.
func (r *requests) mayReply(ctx context.Context) error {
	timed, cancel := context.WithTimeoutCause(ctx, getTimeout, ErrNoReply)
	defer cancel()
	if err := r.nc.FlushWithContext(timed); err != nil {
		return context.Cause(ctx)
	}
	if err := r.nc.LastError(); isDenial(err, r.inbox+"*") {
		return fmt.Errorf("%w: allow this user to subscribe to it, or connect with nats.CustomInboxPrefix and a prefix that it may use", err)
	}
	return r.mayHear()
}

// prefixOf returns the prefix of the subjects of the JetStream API.
func prefixOf(js jetstream.JetStream) string {
	opts := js.Options()
	switch {
	case opts.Domain != "":
		return "$JS." + opts.Domain + ".API."
	case opts.APIPrefix != "":
		return strings.TrimSuffix(opts.APIPrefix, ".") + "."
	}
	return jetstream.DefaultAPIPrefix
}

// Conn returns the connection of the requests.
func (r *requests) Conn() *nats.Conn { return r.nc }

// Close ends the subscription. Calls under way end with ErrNoReply, because they were sent and their outcome is
// not known.
func (c *Client) Close() error {
	first := c.interrupt(true)
	c.idle.close()
	c.keeper.stop()
	c.nc.RemoveStatusListener(c.changes)
	if !first || c.nc.IsClosed() {
		return nil
	}
	return c.sub.Unsubscribe()
}

// Interrupt ends the calls under way with ErrNoReply, because nobody needs their replies any more.
func (r *requests) Interrupt() { r.interrupt(false) }

// interrupt ends the calls under way. It reports false if no more can be sent.
func (r *requests) interrupt(closing bool) (open bool) {
	r.mu.Lock()
	waiting, several, open := r.waiting, r.several, !r.closed
	r.closed = r.closed || closing
	r.waiting, r.several = make(map[uint64]*Call), make(map[uint64]chan *nats.Msg)
	r.mu.Unlock()
	interruptMany(several)
	for _, call := range waiting {
		call.reply <- nil
	}
	return open
}

// NotSent reports whether a publish that failed with err certainly never reached the server.
func NotSent(err error) bool {
	for _, certain := range []error{
		nats.ErrReconnectBufExceeded, nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrInvalidConnection,
		nats.ErrMaxPayload, nats.ErrBadSubject, nats.ErrHeadersNotSupported, ErrNoConnection, ErrClosed,
	} {
		if errors.Is(err, certain) {
			return true
		}
	}
	return false
}

// Permitted sends a request of the JetStream API that changes nothing, and returns the server's complaint if
// this connection may not send it. It takes a round trip, which is shorter than the wait for a reply that never
// comes.
func (r *requests) Permitted(ctx context.Context, request string) error {
	subject := r.prefix + request
	call, err := r.Send(subject, nil, nil)
	if err != nil {
		return err
	}
	defer r.take(call.number)
	timed, cancel := context.WithTimeoutCause(ctx, getTimeout, ErrNoReply)
	defer cancel()
	if err := r.nc.FlushWithContext(timed); err != nil {
		if timed.Err() != nil {
			return context.Cause(timed)
		}
		return err
	}
	r.askAgain()
	return call.sent.denied(subject)
}

// Denied reports whether the last complaint of the server was about subject.
func (r *requests) Denied(subject string) error {
	r.askAgain()
	if err := r.Session().complaint; isDenial(err, subject) {
		return err
	}
	return nil
}

// isDenial reports whether a complaint is about subject. The server only sends an asynchronous error, and only
// its text names the subject.
func isDenial(err error, subject string) bool {
	return errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `"`+subject+`"`)
}
