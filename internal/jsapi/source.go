package jsapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrOtherStream means that another stream answered instead of the right one, or beside it.
var ErrOtherStream = errors.New("another stream answers")

// Source names the stream that answers a Client's publishes. The zero Source stands for any.
type Source struct {
	Stream string
	Domain string // of JetStream; "" for none
}

func (s Source) String() string {
	if s.Domain == "" {
		return "stream " + s.Stream
	}
	return "stream " + s.Stream + " of domain " + s.Domain
}

// OtherStreamError names the stream that answered a publish for another stream. It matches ErrOtherStream.
type OtherStreamError struct {
	Asked Source
	Other string // the stream that answered
}

func (e *OtherStreamError) Error() string {
	return fmt.Sprintf("%v: messages for %s are answered by %s", ErrOtherStream, e.Asked, e.Other)
}

// Is reports whether target is ErrOtherStream.
func (e *OtherStreamError) Is(target error) bool { return target == ErrOtherStream }

// compare refuses the acknowledgement of another stream. A refusal names the stream and no domain.
func (s Source) compare(ack pubAck) error {
	answered := Source{ack.Stream, ack.Domain}
	switch {
	case s.Stream == "", ack.Stream == "", answered == s:
		return nil
	case ack.Error != nil && ack.Stream == s.Stream:
		return nil
	}
	return &OtherStreamError{Asked: s, Other: answered.String()}
}

// others holds what is known about streams other than the source.
type others struct {
	source atomic.Pointer[Source]           // its acknowledgements are believed; nil before it is known
	first  atomic.Pointer[OtherStreamError] // the first other stream
	found  chan struct{}                    // closed when there is one
	probes atomic.Uint64                    // number sent; only answers to the last count
	probed atomic.Uint64                    // the last one that the source has answered
	doubts atomic.Uint64                    // number that was answered twice
	asks   atomic.Pointer[string]           // the subject of the probes
}

// note keeps the first error that names another stream.
func (o *others) note(err error) {
	if other, ok := errors.AsType[*OtherStreamError](err); ok && o.first.CompareAndSwap(nil, other) {
		close(o.found)
	}
}

// asked returns the expected source, or the zero Source before it is known. Replies to earlier requests may
// still come.
func (o *others) asked() Source {
	if s := o.source.Load(); s != nil {
		return *s
	}
	return Source{}
}

// Expect says which stream answers the publishes from now on. Call it before the first publish.
func (r *requests) Expect(s Source) { r.others.source.Store(&s) }

// Other returns an error that matches ErrOtherStream if a stream other than the expected one has answered a
// publish, even if the expected one answered first. Both may have stored the message.
func (r *requests) Other() error {
	if err := r.others.first.Load(); err != nil {
		return err
	}
	return nil
}

// classify is Classify for the source. If another stream answered, it keeps that for Other.
func (o *others) classify(msg *nats.Msg) Answer {
	answer := o.asked().classify(msg)
	if answer.Class == Unknown {
		o.note(answer.Err)
	}
	return answer
}

// late looks at a reply to a request that was answered before, or whose waiter has left.
func (o *others) late(msg *nats.Msg) {
	if o.asked().Stream == "" || len(msg.Header) > 0 || !strings.HasPrefix(string(msg.Data), `{"stream"`) {
		return // not an acknowledgement: a requested message has headers
	}
	o.classify(msg)
}

// probeToken begins the last token of the subject of replies to probes, before the number of the probe.
const probeToken = "-"

// Probe asks all streams that take messages of a subject, and returns without an answer. No stream stores the
// question, because it expects a stream name that no stream has. If another stream than the expected one
// answers, at any time, Other returns it.
func (r *requests) Probe(subject string) error {
	r.others.asks.Store(&subject)
	question := nats.NewMsg(subject)
	question.Reply = r.inbox + probeToken + strconv.FormatUint(r.others.probes.Add(1), 10)
	question.Header.Set(jetstream.ExpectedStreamHeader, uuid.NewString())
	return r.nc.PublishMsg(question)
}

// answered takes an answer to a probe. A server that stood still answers beside the stream's new leader when it goes
// on, until it hears that it no longer leads. So only two answers to each of two probes come from two streams.
func (r *requests) answered(msg *nats.Msg, probe string) {
	o := &r.others
	number, err := strconv.ParseUint(probe, 10, 64)
	if err != nil || number != o.probes.Load() {
		return
	}
	var ack pubAck
	var other string
	switch err := json.Unmarshal(msg.Data, &ack); {
	case msg.Header.Get("Status") == "503":
		return
	case err != nil || ack.Stream == "":
		other = fmt.Sprintf("a program that replies %.80q", msg.Data)
	case ack.Stream != o.asked().Stream:
		other = Source{ack.Stream, ack.Domain}.String()
	case o.probed.Swap(number) != number:
		return
	case o.doubts.Add(1) == 1:
		_ = r.Probe(*o.asks.Load()) // if it cannot be sent, nothing is held against the stream
		return
	default:
		other = "another stream " + ack.Stream + ", in another domain or account"
	}
	o.note(&OtherStreamError{Asked: o.asked(), Other: other})
}

// AwaitOther waits for a while, then returns the result of Other.
func (r *requests) AwaitOther(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-r.others.found:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return r.Other()
}
