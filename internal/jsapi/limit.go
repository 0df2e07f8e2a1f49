package jsapi

import (
	"context"
	"errors"
	"sort"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// BatchLimit asks the leader of a subject's stream for the number of messages that it takes in one atomic
// batch, MaxBatch at most. Operators may set less (max_batch_size), and no setting that a client may read says
// so. So the leader gets one message that claims to be the n-th of a batch that was never begun. It refuses the
// message because of its number, or because the batch has no start. Nothing is stored.
//
// It takes one round trip if the limit is the server's default, and ten if it is lower. The timeout is for one.
func (c *Client) BatchLimit(ctx context.Context, subject string, timeout time.Duration) (int, error) {
	var failed error
	takes := func(n int) bool {
		if failed != nil {
			return false
		}
		var ok bool
		ok, failed = c.takesBatch(ctx, subject, n, timeout)
		return ok
	}
	if takes(MaxBatch) || failed != nil {
		return MaxBatch, failed
	}
	return sort.Search(MaxBatch-1, func(n int) bool { return !takes(n + 1) }), failed
}

// takesBatch reports whether the server takes batches of n messages.
func (c *Client) takesBatch(ctx context.Context, subject string, n int, timeout time.Duration) (bool, error) {
	if n == 1 {
		return true, nil // a batch of one is sent as a plain message, and number 1 would begin a batch
	}
	call, err := c.neverBegun(subject, n)
	if err != nil {
		return false, err
	}
	msg, err := call.Wait(ctx, timeout)
	if err != nil {
		return false, call.sent.permission(Answer{Class: Unknown, Err: err}, []Write{{Subject: subject}}).Err
	}
	answer := Classify(msg)
	switch {
	case answer.Class == TooMany:
		return false, nil
	case hasCode(answer.Err, codeBatchIncomplete):
		return true, nil
	case answer.Err == nil:
		return false, errors.New("the server acknowledged a message of a batch that was never begun")
	}
	return false, answer.Err
}

// neverBegun sends the n-th message of a batch that was never begun. The server refuses it and stores nothing.
func (r *requests) neverBegun(subject string, n int) (*Call, error) {
	return r.Send(subject, nats.Header{HeaderBatchID: []string{uuid.NewString()}, HeaderBatchSequence: []string{strconv.Itoa(n)}}, nil)
}

// Disallowed reports whether a refusal says that the stream does not allow atomic batches.
func Disallowed(err error) bool { return hasCode(err, codeBatchesDisabled) }
