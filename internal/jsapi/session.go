package jsapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/backoff"
)

// Session is the status of the connection when a request goes out.
//
// nats.go holds the connection's lock while it writes to the server, and for seconds while it dials. A call
// that asks the connection waits for that lock. That would cost a seventh of the appends of many goroutines,
// and no caller could leave when its context ends. So the Client keeps the answer. The connection reports a
// change of its status before the change takes effect. Until it is connected again, only the goroutine of the
// Client asks it, so no caller waits for a dial. While it is connected, the answer is kept for a millisecond,
// because the last complaint and the largest payload can change without a change of status.
type Session struct {
	requests   *requests
	asked      time.Time
	connected  bool
	closed     bool // for good
	number     uint64
	complaint  error // the server's last one
	maxPayload int64 // bytes
	clustered  bool  // JetStream may be several servers
}

// sessionAge bounds the age of a Session. A vain wait for a reply takes far longer, so the next request on the
// subject does not take the complaint about it for a new one.
const sessionAge = time.Millisecond

// Session returns the connection as it is. It does not wait for a connection that dials.
func (r *requests) Session() *Session {
	if len(r.changes) > 0 || r.taking.Load() {
		r.takeChanges()
	}
	s := r.session.Load()
	if s.connected && time.Since(s.asked) > sessionAge && r.asking.TryLock() {
		defer r.asking.Unlock()
		return r.ask()
	}
	return s
}

// missed is more than the number of connections that can have come and gone unnoticed. The number is right
// again after the connection was asked.
const missed = 1 << 32

// takeChanges notes changes of the status. After any change the connection counts as lost until it was asked.
// So a caller that finds no change finds a Session that includes all changes.
func (r *requests) takeChanges() {
	r.noting.Lock()
	defer r.noting.Unlock()
	r.taking.Store(true)
	defer r.taking.Store(false)
	if len(r.changes) == 0 {
		return
	}
	s := *r.session.Load()
	s.asked, s.connected = time.Now(), false
	if len(r.changes) == cap(r.changes) {
		s.number += missed // nats.go drops changes that do not fit
	}
	for len(r.changes) > 0 {
		switch <-r.changes {
		case nats.RECONNECTING:
			s.number++ // of the next connection
		case nats.CLOSED:
			s.closed = true
		default:
		}
	}
	r.noted++
	r.session.Store(&s)
}

// ask asks the connection, and may wait for its lock. The caller holds c.asking. The answer counts if the
// status did not change meanwhile.
func (r *requests) ask() *Session {
	for {
		if len(r.changes) > 0 {
			r.takeChanges()
		}
		r.noting.Lock()
		noted := r.noted
		r.noting.Unlock()
		s := &Session{
			requests: r, asked: time.Now(), connected: r.nc.IsConnected(), closed: r.nc.IsClosed(),
			number: r.nc.Stats().Reconnects + 1, complaint: r.nc.LastError(), maxPayload: r.nc.MaxPayload(),
			clustered: r.nc.ConnectedClusterName() != "" || r.prefix != jetstream.DefaultAPIPrefix,
		}
		if !s.connected {
			s.number++
		}
		if r.note(s, noted) {
			return s
		}
	}
}

// askAgain makes the next Session a fresh one, if there is a connection.
func (r *requests) askAgain() {
	if r.Session().connected {
		r.asking.Lock()
		defer r.asking.Unlock()
		r.ask()
	}
}

// note keeps the answer of the connection, unless its status has changed since.
func (r *requests) note(s *Session, noted uint64) bool {
	r.noting.Lock()
	defer r.noting.Unlock()
	if len(r.changes) > 0 || r.noted != noted {
		return false
	}
	before := r.session.Swap(s)
	if s.connected && !before.connected {
		close(r.back)
		r.back = make(chan struct{})
	}
	return true
}

// Back returns a channel that is closed when the connection comes back the next time.
func (r *requests) Back() <-chan struct{} {
	r.noting.Lock()
	defer r.noting.Unlock()
	return r.back
}

// Pause waits before try n of a failed call, as long as the policy says, or until the connection comes back.
func (r *requests) Pause(ctx context.Context, policy backoff.Policy, n int) error {
	if n > 2 {
		r.doubts.raise()
	}
	back := r.Back()
	timer := time.NewTimer(policy.Delay(n))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-back:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Number numbers the connections to servers, from 1. While there is none, it is the number of the next one.
func (s *Session) Number() uint64 { return s.number }

// MaxPayload returns the number of bytes that the server takes in a message.
func (s *Session) MaxPayload() int64 { return s.maxPayload }

// Connected returns nil if there is a connection to a server, ErrNoConnection while there is none, or
// nats.ErrConnectionClosed.
func (s *Session) Connected() error {
	switch {
	case s.closed:
		return nats.ErrConnectionClosed
	case s.connected:
		return nil
	}
	return ErrNoConnection
}

// Closed reports whether the connection was closed for good.
func (s *Session) Closed() bool { return s.closed }

// broken reports whether the connection was lost since. Requests under way were lost with it.
func (s *Session) broken() bool {
	now := s.requests.Session()
	return now.number != s.number || !now.connected
}

// denied returns the complaint that the server has made since about one of the subjects, or nil. The server
// handles the messages of one connection in order. So a message that went out before an older complaint, or on
// another connection, may be stored. A complaint counts as well if it came after the connection was asked and
// before the request went out, and was about another request on the same subject.
func (s *Session) denied(subjects ...string) error {
	now := s.requests.Session()
	if now.number != s.number || !now.connected || errors.Is(now.complaint, s.complaint) {
		return nil
	}
	for _, subject := range subjects {
		if isDenial(now.complaint, subject) {
			return now.complaint
		}
	}
	return nil
}

// lost returns the error of a wait that ends because the connection of the reply is gone.
func lost() error { return fmt.Errorf("%w: the connection was lost", ErrNoReply) }
