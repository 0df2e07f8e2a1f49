package jsapi

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// A server or an account may limit the subscriptions of a connection. The server does not answer a subscription
// above the limit. It only complains, and always in the same words. So a wait for replies to a new subscription
// looks for a complaint that was made since. After the first complaint, the Client sends a message to each new
// subscription, to see whether it exists.

// subscribe subscribes a channel, which must have room, to an inbox. It returns an error that matches
// nats.ErrMaxSubscriptionsExceeded if the connection has too many subscriptions.
func (r *requests) subscribe(inbox string, replies chan *nats.Msg) (*nats.Subscription, error) {
	sub, err := r.nc.ChanSubscribe(inbox, replies)
	if err != nil || !isFull(r.Session().complaint) {
		return sub, err
	}
	if err := r.sendToItself(inbox); err != nil {
		return nil, errors.Join(err, sub.Unsubscribe())
	}
	select {
	case <-replies:
		return sub, nil
	default:
		return nil, errors.Join(errFull, sub.Unsubscribe())
	}
}

// sendToItself sends a message to an inbox, and waits until it must have come.
func (r *requests) sendToItself(inbox string) error {
	if err := r.nc.Publish(strings.Replace(inbox, "*", "0", 1), nil); err != nil {
		return err
	}
	return r.nc.FlushTimeout(getTimeout)
}

// isFull reports whether a complaint says that the connection has too many subscriptions.
func isFull(complaint error) bool { return errors.Is(complaint, nats.ErrMaxSubscriptionsExceeded) }

var errFull = fmt.Errorf("%w: raise the limit of the server or the account, or use a connection of its own", nats.ErrMaxSubscriptionsExceeded)

// unheard returns the complaint that the server has made since about one of the subjects, or about the number
// of subscriptions. It is for callers that wait for replies on a subscription of their own.
func (s *Session) unheard(subject string) error {
	if err := s.denied(subject); err != nil {
		return err
	}
	if now := s.requests.Session(); now.number == s.number && isFull(now.complaint) && !isFull(s.complaint) {
		return errFull
	}
	return nil
}

// mayHear returns an error that matches nats.ErrMaxSubscriptionsExceeded if the Client's own subscription was one
// too many.
func (r *requests) mayHear() error {
	if !isFull(r.nc.LastError()) {
		return nil
	}
	if err := r.sendToItself(r.inbox + "*"); err != nil {
		return err
	}
	delivered, err := r.sub.Delivered()
	if err != nil {
		return err
	}
	pending, _, err := r.sub.Pending()
	if err == nil && delivered == 0 && pending == 0 {
		return errFull
	}
	return err
}
