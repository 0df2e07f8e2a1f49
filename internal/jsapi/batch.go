package jsapi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// ErrUnanswered means that the server answered what was sent after a batch, and never the batch. It matches ErrNoReply.
// A server that holds the only replica is silent if the account's limit is reached while it stores the batch. The
// part that it has stored until then stays.
var ErrUnanswered = fmt.Errorf("%w: the server stopped in the middle of the batch, which may be stored in part; "+
	"that happens when the account reaches its storage limit", ErrNoReply)

// unansweredAfter is how long the answer to a batch may be missing before the server is asked a question after it.
const unansweredAfter = 200 * time.Millisecond

// PublishBatch sends the writes as one atomic batch: all are stored, next to each other and in this order, or
// none. The answer has the sequence of the last write. Each batch has an id of its own. If a caller sends the
// writes again under the same expectations, at most one of the batches is stored.
//
// All messages are sent at once. The server answers the first, at which it can refuse the batch, and the last. If it
// refuses one between, it says of the last one only that the batch is incomplete. Nothing is stored then, so the batch
// is sent once more, and the server answers each message.
func (r *requests) PublishBatch(ctx context.Context, writes []Write, timeout time.Duration) Answer {
	if len(writes) == 1 {
		return r.Session().Publish(ctx, writes[0], timeout)
	}
	answer := r.publishBatch(ctx, writes, timeout, false)
	if hasCode(answer.Err, codeBatchIncomplete) && ctx.Err() == nil {
		return r.publishBatch(ctx, writes, timeout, true)
	}
	return answer
}

// publishBatch is one try of PublishBatch. It asks for an answer to each message if the caller wants to know each.
func (r *requests) publishBatch(ctx context.Context, writes []Write, timeout time.Duration, each bool) Answer {
	var between string // the reply subject of the messages between the first and the last
	var replies chan *nats.Msg
	if each {
		replies = make(chan *nats.Msg, len(writes))
		number, err := r.expectMany(replies)
		if err != nil {
			return unsent(err)
		}
		defer r.forgetMany(number)
		between = r.reply(number)
	}
	id := uuid.NewString()
	var first, last *Call
	for i, w := range writes {
		h := w.header()
		h[HeaderBatchID] = []string{id}
		h[HeaderBatchSequence] = []string{strconv.Itoa(i + 1)}
		var err error
		switch i {
		case 0:
			first, err = r.Send(w.Subject, h, w.Data)
		case len(writes) - 1:
			h[HeaderBatchCommit] = []string{"1"}
			last, err = r.Send(w.Subject, h, w.Data)
		default:
			if err = r.Session().Connected(); err == nil {
				err = r.nc.PublishMsg(&nats.Msg{Subject: w.Subject, Reply: between, Header: h, Data: w.Data})
			}
		}
		if err != nil {
			// Without its last message the server stores nothing of a batch, so only a failed send of the last
			// one leaves a doubt.
			if first != nil {
				r.take(first.number)
			}
			answer := unsent(err)
			if i < len(writes)-1 && answer.Class == Unknown {
				answer.Class = Unavailable
			}
			return answer
		}
	}
	answer := last.answerToBatch(ctx, timeout)
	r.take(first.number)
	if answer.Class == Stored {
		return answer
	}
	reason := r.firstReason(r.firstReason(answer, replies), first.reply)
	return first.sent.permission(reason, writes)
}

// firstReason prefers the reason with which the server refused an earlier message, because the answer to the
// last one then says only that the batch is incomplete. The answers to earlier messages were sent before, so they
// have come by now.
func (r *requests) firstReason(answer Answer, earlier <-chan *nats.Msg) Answer {
	for {
		select {
		case msg := <-earlier:
			if msg == nil || len(msg.Data) == 0 && msg.Header.Get("Status") == "" {
				continue // the empty reply says that the message was taken
			}
			if reason := r.others.classify(msg); reason.Class != Unknown && answer.Class != Unknown {
				return reason
			}
		default:
			return answer
		}
	}
}

// answerToBatch waits for the answer to the last message of a batch, and classifies it. If none comes, it asks a
// question after the batch:
//
//	question -> the batch is answered ---------------> that answer
//	         -> answered, and the batch is not: one replica handles messages in their order -> ErrUnanswered
//	                                            several replicas may still agree ------------> wait on
//	         -> not answered -----------------------------------------------------------------> wait on
func (call *Call) answerToBatch(ctx context.Context, timeout time.Duration) Answer {
	r := call.requests
	defer r.take(call.number)
	w := wait{replies: call.reply, timer: call.timer, subject: call.subject}
	var question *Call
	for left := timeout; ; {
		w.timeout = min(left, unansweredAfter)
		left -= w.timeout
		msg, err := call.sent.wait(ctx, w)
		if left <= 0 || !errors.Is(err, ErrNoReply) || errors.Is(err, errInterrupted) {
			answer, _ := call.classify(msg, err)
			return answer
		}
		r.doubts.raise()
		if question == nil {
			if question, err = r.neverBegun(call.subject, MaxBatch); err != nil {
				question = &Call{} // which nobody answers
				continue
			}
			defer r.take(question.number)
		}
		select {
		case reply := <-question.reply:
			if reply != nil && reply.Header.Get("Status") == "" && r.inOrder(ctx) && len(call.reply) == 0 {
				return Answer{Class: Unknown, Err: ErrUnanswered}
			}
		default:
		}
	}
}

// inOrder reports whether the stream of the publishes has one replica, which answers messages in their order.
func (r *requests) inOrder(ctx context.Context) bool {
	if !r.Session().clustered {
		return true
	}
	stream := r.others.asked().Stream
	if stream == "" {
		return false
	}
	ctx, cancel := context.WithTimeoutCause(ctx, lookTime, ErrNoReply)
	defer cancel()
	info, err := r.LeaderInfo(ctx, stream, "", 0)
	return err == nil && info.Replicas == 1
}
