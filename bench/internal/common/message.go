package common

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of a message.
const (
	headerID          = "Event-Id"
	headerType        = "Event-Type"
	headerTime        = "Event-Time"
	headerCorrelation = "Event-Correlation"
)

// pack makes the messages of one append.
func (s *Store) pack(stream string, events []Event) ([]*nats.Msg, error) {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	correlation := ""
	messages := make([]*nats.Msg, len(events))
	for i, event := range events {
		data, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		id := uuid.NewString()
		if correlation == "" {
			correlation = id
		}
		msg := nats.NewMsg(s.name + "." + stream + "." + event.EventType())
		msg.Data = data
		msg.Header.Set(headerID, id)
		msg.Header.Set(headerType, event.EventType())
		msg.Header.Set(headerTime, now)
		msg.Header.Set(headerCorrelation, correlation)
		messages[i] = msg
	}
	return messages, nil
}

// unpack reads an event from its message.
func (s *Store) unpack(msg jetstream.Msg) (Recorded, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return Recorded{}, err
	}
	r, err := s.recorded(msg)
	if err != nil {
		return Recorded{}, fmt.Errorf("%s at sequence %d: %w", msg.Subject(), meta.Sequence.Stream, err)
	}
	r.Sequence = meta.Sequence.Stream
	return r, nil
}

func (s *Store) recorded(msg jetstream.Msg) (r Recorded, err error) {
	header := msg.Headers()
	r = Recorded{ID: header.Get(headerID), Type: header.Get(headerType), Correlation: header.Get(headerCorrelation)}
	if r.Stream, err = s.streamOf(msg.Subject()); err != nil {
		return Recorded{}, err
	}
	if r.Time, err = time.Parse(time.RFC3339Nano, header.Get(headerTime)); err != nil {
		return Recorded{}, err
	}
	r.Event, err = s.decode(r.Type, msg.Data())
	return r, err
}
