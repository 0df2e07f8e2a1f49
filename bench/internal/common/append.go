package common

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of an atomic batch (ADR-50 of NATS).
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

// Append stores events on top of the stream's last event, whose sequence it expects. That is 0 for a new
// stream, and otherwise the result of the load or the append before. Append returns the sequence of the last
// event. All events are stored or none. If the stream has moved, Append returns a [ConflictError]. After any
// other error the events may be stored.
//
//	one event    publish, which expects the sequence ----------------------------------> acknowledgement
//	several      publish 1, which expects the sequence; publish 2; publish 3, the last -> one acknowledgement
func (s *Store) Append(ctx context.Context, stream string, expected uint64, events ...Event) (last uint64, err error) {
	if len(events) == 0 {
		return expected, nil
	}
	filter, err := s.history(stream)
	if err != nil {
		return 0, fmt.Errorf("common: append: %w", err)
	}
	messages, err := s.pack(stream, events)
	if err != nil {
		return 0, fmt.Errorf("common: append %s: %w", stream, err)
	}
	messages[0].Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(expected, 10))
	messages[0].Header.Set(jetstream.ExpectedLastSubjSeqSubjHeader, filter)
	ack, err := s.publish(ctx, messages)
	if err != nil {
		return 0, failure(stream, expected, err)
	}
	return ack.Sequence, nil
}

// publish stores the messages as one batch. All but the last are sent without waiting, because the answer to
// the last one holds for all.
func (s *Store) publish(ctx context.Context, messages []*nats.Msg) (*jetstream.PubAck, error) {
	last := messages[len(messages)-1]
	if len(messages) == 1 {
		return s.acknowledged(ctx, last)
	}
	select {
	case s.batches <- struct{}{}:
		defer func() { <-s.batches }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	batch := uuid.NewString()
	for i, msg := range messages {
		msg.Header.Set(headerBatchID, batch)
		msg.Header.Set(headerBatchSequence, strconv.Itoa(i+1))
	}
	last.Header.Set(headerBatchCommit, "1")
	for _, msg := range messages[:len(messages)-1] {
		if err := s.js.Conn().PublishMsg(msg); err != nil {
			return nil, err
		}
	}
	return s.acknowledged(ctx, last)
}

// acknowledged publishes a message and waits for its acknowledgement. One goroutine gains nothing over
// PublishMsg, but 64 goroutines store more in the same time.
func (s *Store) acknowledged(ctx context.Context, msg *nats.Msg) (*jetstream.PubAck, error) {
	future, err := s.js.PublishMsgAsync(msg)
	if err != nil {
		return nil, err
	}
	select {
	case ack := <-future.Ok():
		return ack, nil
	case err := <-future.Err():
		return nil, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ErrConflict means that a stream had moved, and that nothing was stored. See [ConflictError].
var ErrConflict = errors.New("conflict")

// ConflictError says that a stream was not where an append expected it. It matches [ErrConflict]. Load the stream
// again, decide again, append again.
type ConflictError struct {
	Stream   string
	Expected uint64 // sequence
	Err      error  // what the server said
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("common: append %s: expected sequence %d: load it and decide again: %v", e.Stream, e.Expected, e.Err)
}

// Is reports whether target is ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// Unwrap returns the error of the server.
func (e *ConflictError) Unwrap() error { return e.Err }

// failure separates an expectation that did not hold from other errors. A stream with replicas returns the
// second code if another write on the same filter is in flight.
func failure(stream string, expected uint64, err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) &&
		(api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence || api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant) {
		return &ConflictError{Stream: stream, Expected: expected, Err: err}
	}
	return fmt.Errorf("common: append %s: %w", stream, err)
}
