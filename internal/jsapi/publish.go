package jsapi

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// MaxBatch is the server's default limit of messages in one atomic batch.
const MaxBatch = 1000

// Headers of an atomic batch (ADR-50 of NATS). The server keeps them on each message of a batch.
const (
	HeaderBatchID       = "Nats-Batch-Id"
	HeaderBatchSequence = "Nats-Batch-Sequence"
	HeaderBatchCommit   = "Nats-Batch-Commit"
)

// InsideBatch reports whether a message belongs to an atomic batch and does not end it.
func InsideBatch(header nats.Header) bool {
	return header.Get(HeaderBatchID) != "" && header.Get(HeaderBatchCommit) == ""
}

// Write is one message of a publish or a batch.
type Write struct {
	Subject string
	// Expected is the sequence that the subject's last message must have, 0 for none.
	Expected uint64
	// Guards is the other subject whose last message Expected is about, or "". It is literal, and no message of the
	// same batch may be on it.
	Guards string
	// Unconditional leaves the expectation out, for documents of a view that the checkpoint in their batch
	// guards.
	Unconditional bool
	// Header holds further headers and may be nil. The caller must not use it afterwards.
	Header nats.Header
	Data   []byte
}

func (w Write) header() nats.Header {
	h := w.Header
	if h == nil {
		h = make(nats.Header, 1)
	}
	if !w.Unconditional {
		h[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(w.Expected, 10)}
	}
	if w.Guards != "" {
		h[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{w.Guards}
	}
	return h
}

// Publish sends one message and classifies the answer to this one try.
func (s *Session) Publish(ctx context.Context, w Write, timeout time.Duration) Answer {
	call := s.call()
	if err := call.send(w.Subject, call.headerOf(w), w.Data); err != nil {
		return unsent(err)
	}
	answer, replied := call.answer(ctx, timeout)
	if replied {
		call.free()
	}
	return answer
}

// headerOf returns the header of a write. If it holds only the expectation, it is the same map each time.
func (call *Call) headerOf(w Write) nats.Header {
	if w.Header != nil || w.Unconditional || w.Guards != "" {
		return w.header()
	}
	call.expected[0] = strconv.FormatUint(w.Expected, 10)
	return call.header
}

// Answer waits like Wait and classifies the reply to a publish. The end of the wait says nothing about the
// message, unless the server complained. A message that was sent before the connection was lost may be stored later.
func (call *Call) Answer(ctx context.Context, timeout time.Duration) Answer {
	answer, _ := call.answer(ctx, timeout)
	return answer
}

// answer is Answer that also reports whether there was a reply.
func (call *Call) answer(ctx context.Context, timeout time.Duration) (answer Answer, replied bool) {
	return call.classify(call.Wait(ctx, timeout))
}

// classify classifies the end of a wait for the reply to a publish.
func (call *Call) classify(msg *nats.Msg, err error) (answer Answer, replied bool) {
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		return Answer{Class: Refused, Err: err}, false
	case err != nil:
		return Answer{Class: Unknown, Err: err}, false
	}
	return call.requests.others.classify(msg), true
}

// permission turns the answer to a batch into a refusal if the server said that the connection may not publish
// one of its messages. Nothing of such a batch is stored. The server is silent, or says that the batch is
// incomplete, as if it had lost a part.
func (s *Session) permission(answer Answer, writes []Write) Answer {
	if answer.Class != Unavailable && (answer.Class != Unknown || !errors.Is(answer.Err, ErrNoReply)) {
		return answer
	}
	s.requests.askAgain()
	for _, w := range writes {
		if err := s.denied(w.Subject); err != nil {
			return Answer{Class: Refused, Err: err}
		}
	}
	return answer
}
