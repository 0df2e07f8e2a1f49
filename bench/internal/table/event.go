package table

import (
	"encoding/json"
	"fmt"
	"time"
)

// Event is something that happened: a plain struct that JSON can hold, and that knows the name of its type.
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
	Stream      string
	Version     int64 // in the stream: 1, 2, 3
	Position    int64 // in the table, with gaps
}

// metadata is the content of the column of that name.
type metadata struct {
	ID          string `json:"id"`
	Correlation string `json:"correlation"`
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
