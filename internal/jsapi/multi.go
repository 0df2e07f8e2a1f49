package jsapi

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxLastMany is how many subjects the server answers in one read of [Client.DirectLastMany].
const MaxLastMany = 1024

// DirectLastMany asks one replica for the last messages of up to MaxLastMany literal subjects, as they were at one point
// in time. Subjects without a message are absent. The answer ends with the message that reaches maxBytes; whole is false
// where messages are missing for that, which have to be read on their own.
//
// maxBytes should be well below the server's max_pending (64 MiB): the server sends all of it at once, and drops a
// connection on which more is pending.
func (c *Client) DirectLastMany(
	ctx context.Context, stream string, subjects []string, maxBytes int,
) (found []Message, whole bool, err error) {
	request, err := json.Marshal(struct {
		MultiLast []string `json:"multi_last"`
		MaxBytes  int      `json:"max_bytes"`
	}{subjects, maxBytes})
	if err != nil {
		return nil, false, err
	}
	// Many replies come to one request, which the shared inbox does not do: one for each subject, and the end.
	sent := c.Session()
	if err := sent.Connected(); err != nil {
		return nil, false, err
	}
	inbox := c.nc.NewInbox()
	replies := make(chan *nats.Msg, len(subjects)+1)
	sub, err := c.nc.ChanSubscribe(inbox, replies)
	if err != nil {
		return nil, false, err
	}
	defer c.keeper.later(func() { _ = sub.Unsubscribe() })
	subject := c.prefix + "DIRECT.GET." + stream
	if err := c.nc.PublishRequest(subject, inbox, request); err != nil {
		return nil, false, err
	}
	return collect(ctx, sent, subject, replies)
}

// collect gathers the replies to one request until the one that says it was the last.
func collect(ctx context.Context, sent *Session, subject string, replies <-chan *nats.Msg) (found []Message, whole bool, err error) {
	timed, cancel := context.WithTimeoutCause(ctx, getTimeout, ErrNoReply)
	defer cancel()
	look := time.NewTicker(interrupted)
	defer look.Stop()
	found = make([]Message, 0, cap(replies))
	for {
		select {
		case msg := <-replies:
			one, more, err := oneOfMany(msg)
			switch {
			case err != nil:
				return nil, false, err
			case one != nil:
				found = append(found, *one)
			default:
				return found, !more, nil
			}
		case <-look.C:
			if err := sent.denied(subject); err != nil {
				return nil, false, err
			}
			if sent.broken() {
				return nil, false, lost()
			}
		case <-timed.Done():
			return nil, false, context.Cause(timed)
		}
	}
}

// oneOfMany gives the message in one of several replies, nil for the reply that ends them, which says whether there would be
// more.
func oneOfMany(msg *nats.Msg) (one *Message, more bool, err error) {
	switch status, description := msg.Header.Get("Status"), msg.Header.Get("Description"); {
	case status == "", msg.Header.Get(jetstream.SequenceHeader) != "":
		stored, err := directMessage(msg)
		return &stored, false, err
	case status == "204":
		return nil, msg.Header.Get(headerPending) != "0", nil
	case status == "404" && strings.EqualFold(description, "No Results"):
		return nil, false, nil
	case status == "503":
		return nil, false, nats.ErrNoResponders
	default:
		// Among them 404 with another description: a message that the index lists cannot be read.
		return nil, false, fmt.Errorf("direct get of many: status %s %s", status, description)
	}
}
