package common

import (
	"encoding/json"
	"fmt"
	"time"
)

// Event is something that happened: a plain struct that JSON can hold, and that knows the name of its type. The name
// becomes the end of a subject.
type Event interface {
	EventType() string
}

// Recorded is an event as it was stored.
type Recorded struct {
	Event       Event
	ID          string // of the event
	Type        string // of the event
	Correlation string // shared by the events of one append
	Time        time.Time
	Stream      string // "account.42"
	Sequence    uint64 // of its message; an append expects the sequence of the stream's last event
}

// Type is a type of events that a store decodes.
type Type struct {
	name   string
	decode func(data []byte) (Event, error)
}

// TypeOf returns the type E, which must be a struct and not a pointer to a struct.
func TypeOf[E Event]() Type {
	var zero E
	return Type{name: zero.EventType(), decode: func(data []byte) (Event, error) {
		var event E
		err := json.Unmarshal(data, &event)
		return event, err
	}}
}

// decode decodes a stored event. An event of an unknown type is an error, because the reader would go on
// without it.
func (s *Store) decode(name string, data []byte) (Event, error) {
	decode, known := s.types[name]
	if !known {
		return nil, fmt.Errorf("unknown event type %q: open the store with it", name)
	}
	return decode(data)
}
