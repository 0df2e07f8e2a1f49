package jsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNotFound means that the replica which answered has no such message.
var ErrNotFound = errors.New("no such message")

// ErrMalformed means that the server returned a message with a malformed header. Its checksum does not cover
// the length of the header.
var ErrMalformed = errors.New("malformed message")

// Headers in the replies of batches of direct gets.
const (
	headerPending = "Nats-Num-Pending"
	headerUpTo    = "Nats-UpTo-Sequence"
	headerBefore  = jetstream.LastSequenceHeader // of the message before, in the same answer
)

// getTimeout bounds one get. A get is idempotent, so a caller that cannot wait so long repeats it.
const getTimeout = 5 * time.Second

// Message is a stored message. Data must not be changed, because it shares memory with the reply.
type Message struct {
	Subject  string
	Sequence uint64
	Time     time.Time   // when the stream's leader stored it
	Header   nats.Header // its stored header; a direct get adds headers of its own
	Data     []byte

	// Pending is the number of messages on the subject after this one, if [Gets.AskFirst] asked for it.
	Pending uint64
	counted bool // Pending was asked for
}

// DirectLast asks any replica for the last message of a literal subject. It returns ErrNotFound if that replica
// has none. If the replica is silent, it asks the leader.
func (c *Client) DirectLast(ctx context.Context, stream, subject string) (Message, error) {
	call := c.Session().call()
	call.text = lastRequest(call.text[:0], subject)
	return call.direct(ctx, stream)
}

// DirectSequence asks any replica for the message at a sequence, as DirectLast does. [Client.Gets] asks for several
// at once.
func (c *Client) DirectSequence(ctx context.Context, stream string, sequence uint64) (Message, error) {
	call := c.Session().call()
	call.text = sequenceRequest(call.text[:0], sequence)
	return call.direct(ctx, stream)
}

// direct sends the request that is in text, unless ctx has ended, and waits for the message.
func (call *Call) direct(ctx context.Context, stream string) (Message, error) {
	if ctx.Err() != nil {
		return Message{}, context.Cause(ctx)
	}
	if err := call.send(call.requests.prefix+"DIRECT.GET."+stream, nil, call.text); err != nil {
		return Message{}, err
	}
	msg, err := call.Wait(ctx, call.sent.replicaTime())
	if call.sent.isSilence(err) {
		return call.requests.leader(ctx, stream, call.text)
	}
	if err != nil {
		return Message{}, err
	}
	call.free()
	if err := statusOf(msg); err != nil {
		return Message{}, err
	}
	return directMessage(msg)
}

// directMessage reads a message from the headers and the data of a reply to a direct get.
func directMessage(msg *nats.Msg) (Message, error) {
	sequence, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return Message{}, fmt.Errorf("direct get: %w: reply without a sequence: %w", ErrMalformed, err)
	}
	stored, err := time.Parse(time.RFC3339Nano, msg.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return Message{}, fmt.Errorf("direct get: %w: reply without a time: %w", ErrMalformed, err)
	}
	var pending uint64
	count := msg.Header.Get(headerPending)
	if count != "" {
		if pending, err = strconv.ParseUint(count, 10, 64); err != nil {
			return Message{}, fmt.Errorf("direct get: %w: reply with an unreadable count: %w", ErrMalformed, err)
		}
	}
	return Message{
		Pending:  pending,
		counted:  count != "",
		Subject:  msg.Header.Get(jetstream.SubjectHeader),
		Sequence: sequence,
		Time:     stored,
		Header:   msg.Header,
		Data:     msg.Data,
	}, nil
}

// LeaderLast asks the stream's leader for the last message of a literal subject.
func (c *Client) LeaderLast(ctx context.Context, stream, subject string) (Message, error) {
	return c.leader(ctx, stream, lastRequest(nil, subject))
}

// LeaderSequence asks the stream's leader for the message at a sequence.
func (c *Client) LeaderSequence(ctx context.Context, stream string, sequence uint64) (Message, error) {
	return c.leader(ctx, stream, sequenceRequest(nil, sequence))
}

// LeaderNext asks the stream's leader for the first message at or after a sequence on a subject, which may have
// wildcards.
func (c *Client) LeaderNext(ctx context.Context, stream, subject string, from uint64) (Message, error) {
	return c.leader(ctx, stream, nextRequest(nil, subject, from))
}

// LeaderSince asks the stream's leader for the first message that was stored at or after a time, by the clock
// of the server that was leader then. The server searches by halves. So if such a clock was put back, the
// result is one of several first messages.
func (c *Client) LeaderSince(ctx context.Context, stream string, t time.Time) (Message, error) {
	request := t.UTC().AppendFormat([]byte(`{"start_time":"`), time.RFC3339Nano)
	return c.leader(ctx, stream, append(request, `"}`...))
}

// Requests are appended to b.

func lastRequest(b []byte, subject string) []byte {
	return append(append(append(b, `{"last_by_subj":"`...), subject...), `"}`...)
}

func firstRequest(b []byte, subject string) []byte {
	return append(strconv.AppendQuote(append(b, `{"seq":1,"next_by_subj":`...), subject), `,"batch":1}`...)
}

func sequenceRequest(b []byte, sequence uint64) []byte {
	return append(strconv.AppendUint(append(b, `{"seq":`...), sequence, 10), '}')
}

func dataRequest(b []byte, sequence uint64) []byte {
	return append(strconv.AppendUint(append(b, `{"seq":`...), sequence, 10), `,"no_hdr":true}`...)
}

func nextRequest(b []byte, subject string, from uint64) []byte {
	b = append(strconv.AppendUint(append(b, `{"seq":`...), from, 10), `,"next_by_subj":`...)
	return append(strconv.AppendQuote(b, subject), '}')
}

func (r *requests) leader(ctx context.Context, stream string, request []byte) (Message, error) {
	msg, err := r.Request(ctx, r.prefix+"STREAM.MSG.GET."+stream, request, getTimeout)
	if err != nil {
		return Message{}, err
	}
	if msg.Header.Get("Status") == "503" {
		return Message{}, nats.ErrNoResponders
	}
	var reply struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Time     time.Time `json:"time"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(msg.Data, &reply); err != nil {
		return Message{}, fmt.Errorf("unreadable reply from the leader: %w", err)
	}
	switch {
	case reply.Error == nil:
	case reply.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return Message{}, ErrNotFound
	default:
		return Message{}, reply.Error
	}
	m := reply.Message
	var header nats.Header
	if len(m.Header) > 0 {
		if header, err = nats.DecodeHeadersMsg(m.Header); err != nil {
			return Message{Subject: m.Subject, Sequence: m.Sequence, Data: m.Data}, fmt.Errorf("leader's %w: %w", ErrMalformed, err)
		}
	}
	return Message{Subject: m.Subject, Sequence: m.Sequence, Time: m.Time, Header: header, Data: m.Data}, nil
}
