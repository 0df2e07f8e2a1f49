package jsapi

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// Session is the connection as it is when a request goes out.
//
// To ask the connection takes the lock that it holds while it writes to the server, which costs a seventh of what many at once can
// append. So the answer is kept until the connection says that its status changes, which it does before the change takes effect, and no
// longer than a millisecond for what changes without that: the last complaint, and how large a payload may be.
type Session struct {
	client     *Client
	asked      time.Time
	connected  bool
	number     uint64
	complaint  error // the last that the server made
	maxPayload int64 // bytes
}

// sessionAge bounds how old a Session may be. A request whose reply is waited for in vain takes far longer, so the next one on the
// subject does not find the complaint about it new.
const sessionAge = time.Millisecond

// Session gives the connection as it is. Of those that find it too old, one asks.
func (c *Client) Session() *Session {
	switch s := c.session.Load(); {
	case len(c.changes) > 0:
		c.asking.Lock()
	case time.Since(s.asked) < sessionAge || !c.asking.TryLock():
		return s
	}
	defer c.asking.Unlock()
	return c.ask()
}

// ask asks the connection, with c.asking held. The changes it was told of are taken off only once it has the answer, so that who
// finds none finds the answer as well; one that comes meanwhile stays, and is asked about again.
func (c *Client) ask() *Session {
	changes := len(c.changes)
	s := &Session{
		client: c, asked: time.Now(),
		connected: c.nc.IsConnected(), number: c.nc.Stats().Reconnects + 1, complaint: c.nc.LastError(), maxPayload: c.nc.MaxPayload(),
	}
	c.session.Store(s)
	for range changes {
		<-c.changes
	}
	return s
}

// Number numbers the connections to servers, from 1. While there is none, it is the number of the one before.
func (s *Session) Number() uint64 { return s.number }

// MaxPayload is how many bytes the server takes in a message.
func (s *Session) MaxPayload() int64 { return s.maxPayload }

// Connected returns nil where there is a connection to a server, ErrNoConnection while there is none, or nats.ErrConnectionClosed.
func (s *Session) Connected() error {
	switch {
	case s.connected:
		return nil
	case s.client.nc.IsClosed():
		return nats.ErrConnectionClosed
	}
	return ErrNoConnection
}

// broken reports whether the connection was lost since. What was under way went with it.
func (s *Session) broken() bool {
	now := s.client.Session()
	return now.number != s.number || !now.connected
}

// denied gives the complaint that the server made since about publishes to one of the subjects, or nil. The server takes what
// comes on one connection in order, so what went out before an older complaint, or on another connection, may be stored. One that
// was made since the connection was asked and before the request went out, to somebody else on the same subject, counts as well.
func (s *Session) denied(subjects ...string) error {
	err := s.client.nc.LastError()
	if s.broken() || errors.Is(err, s.complaint) {
		return nil
	}
	for _, subject := range subjects {
		if isDenial(err, subject) {
			return err
		}
	}
	return nil
}
