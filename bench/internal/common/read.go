package common

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ahead is the number of messages that a consumer may send before they are read. With the client's default of
// 500 a read of the whole log waits for requests.
const ahead = 5000

// Load returns the events of a stream, and the sequence of the last one, which an append expects. A stream
// without events is not an error.
func (s *Store) Load(ctx context.Context, stream string) (events []Recorded, last uint64, err error) {
	filter, err := s.history(stream)
	if err != nil {
		return nil, 0, fmt.Errorf("common: load: %w", err)
	}
	err = s.read(ctx, filter, func(r Recorded) error {
		events, last = append(events, r), r.Sequence
		return nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("common: load %s: %w", stream, err)
	}
	return events, last, nil
}

// All calls f for each event of the store, in the order of their sequences. It ends with the error of f, or
// when it has read the events that existed when it began.
func (s *Store) All(ctx context.Context, f func(Recorded) error) error {
	if err := s.read(ctx, s.name+".>", f); err != nil {
		return fmt.Errorf("common: read %s: %w", s.name, err)
	}
	return nil
}

// read reads the messages that match a filter and exist when the consumer is made. Then it deletes the
// consumer, because the server would keep it for five minutes.
func (s *Store) read(ctx context.Context, filter string, f func(Recorded) error) error {
	consumer, err := s.js.OrderedConsumer(ctx, s.name, jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}})
	if err != nil {
		return err
	}
	// The consumer may be gone already, which does not matter to the reader.
	defer func() { _ = s.js.DeleteConsumer(context.WithoutCancel(ctx), s.name, consumer.CachedInfo().Name) }()
	left := consumer.CachedInfo().NumPending
	if left == 0 {
		return nil
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(int(min(left, ahead))))
	if err != nil {
		return err
	}
	defer messages.Stop()
	for ; left > 0; left-- {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		r, err := s.unpack(msg)
		if err != nil {
			return err
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return nil
}
