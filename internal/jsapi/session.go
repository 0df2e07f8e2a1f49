package jsapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/internal/backoff"
)

// Session is the connection as it is when a request goes out.
//
// nats.go holds the connection's lock while it writes to the server, and for seconds while it dials. Whatever asks the connection
// waits for that lock: it would cost a seventh of what many at once can append, and nobody could leave with their context. So the
// answer is kept. The connection says that its status changes before the change takes effect. Until it is connected again,
// nobody asks it but the goroutine of the Client, so no caller waits for a dial. While it is connected, the answer is kept for a
// millisecond, for what changes without a change of status: the last complaint, and how large a payload may be.
type Session struct {
	client     *Client
	asked      time.Time
	connected  bool
	closed     bool // for good
	number     uint64
	complaint  error // the last that the server made
	maxPayload int64 // bytes
}

// sessionAge bounds how old a Session may be. A request whose reply is waited for in vain takes far longer, so the next one on the
// subject does not find the complaint about it new.
const sessionAge = time.Millisecond

// Session gives the connection as it is. It does not wait for a connection that dials.
func (c *Client) Session() *Session {
	if len(c.changes) > 0 || c.taking.Load() {
		c.takeChanges()
	}
	s := c.session.Load()
	if s.connected && time.Since(s.asked) > sessionAge && c.asking.TryLock() {
		defer c.asking.Unlock()
		return c.ask()
	}
	return s
}

// missed is more connections than can have come and gone while nobody has taken note. The number is right again once the connection
// was asked.
const missed = 1 << 32

// takeChanges takes note of changes of the status. After any of them the connection counts as lost, until it was asked: so whoever
// finds no change finds a Session that knows of it.
func (c *Client) takeChanges() {
	c.noting.Lock()
	defer c.noting.Unlock()
	c.taking.Store(true)
	defer c.taking.Store(false)
	if len(c.changes) == 0 {
		return
	}
	s := *c.session.Load()
	s.asked, s.connected = time.Now(), false
	if len(c.changes) == cap(c.changes) {
		s.number += missed // nats.go drops what does not fit
	}
	for len(c.changes) > 0 {
		switch <-c.changes {
		case nats.RECONNECTING:
			s.number++ // of the next connection
		case nats.CLOSED:
			s.closed = true
		default:
		}
	}
	c.noted++
	c.session.Store(&s)
}

// ask asks the connection, with c.asking held, and may wait for its lock. What it says counts if the status did not change meanwhile.
func (c *Client) ask() *Session {
	for {
		if len(c.changes) > 0 {
			c.takeChanges()
		}
		c.noting.Lock()
		noted := c.noted
		c.noting.Unlock()
		s := &Session{
			client: c, asked: time.Now(), connected: c.nc.IsConnected(), closed: c.nc.IsClosed(),
			number: c.nc.Stats().Reconnects + 1, complaint: c.nc.LastError(), maxPayload: c.nc.MaxPayload(),
		}
		if !s.connected {
			s.number++
		}
		if c.note(s, noted) {
			return s
		}
	}
}

// askAgain makes the next Session one that was asked just now, where there is a connection.
func (c *Client) askAgain() {
	if c.Session().connected {
		c.asking.Lock()
		defer c.asking.Unlock()
		c.ask()
	}
}

// note keeps what the connection said, unless its status has changed since.
func (c *Client) note(s *Session, noted uint64) bool {
	c.noting.Lock()
	defer c.noting.Unlock()
	if len(c.changes) > 0 || c.noted != noted {
		return false
	}
	before := c.session.Swap(s)
	if s.connected && !before.connected {
		close(c.back)
		c.back = make(chan struct{})
	}
	return true
}

// Back gives a channel that is closed when the connection comes back the next time.
func (c *Client) Back() <-chan struct{} {
	c.noting.Lock()
	defer c.noting.Unlock()
	return c.back
}

// Pause waits before try n of something that failed, as long as the policy says, or until the connection comes back.
func (c *Client) Pause(ctx context.Context, policy backoff.Policy, n int) error {
	back := c.Back()
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

// MaxPayload is how many bytes the server takes in a message.
func (s *Session) MaxPayload() int64 { return s.maxPayload }

// Connected returns nil where there is a connection to a server, ErrNoConnection while there is none, or nats.ErrConnectionClosed.
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

// broken reports whether the connection was lost since. What was under way went with it.
func (s *Session) broken() bool {
	now := s.client.Session()
	return now.number != s.number || !now.connected
}

// denied gives the complaint that the server made since about one of the subjects, or nil. The server takes what
// comes on one connection in order, so what went out before an older complaint, or on another connection, may be stored. One that
// was made since the connection was asked and before the request went out, to somebody else on the same subject, counts as well.
func (s *Session) denied(subjects ...string) error {
	now := s.client.Session()
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

// lost says that a reply is not waited for any longer, because the connection it would come on is gone.
func lost() error { return fmt.Errorf("%w: the connection was lost", ErrNoReply) }
