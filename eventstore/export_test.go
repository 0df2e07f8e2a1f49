package eventstore

import (
	"context"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// AppendTorn stores, of a transaction that writes this stream and another, the first commit only, as a power cut can leave
// it, and gives the head of an append on top of the remainder.
func (s *Store) AppendTorn(ctx context.Context, stream StreamID, head Head, events ...Event) (Head, error) {
	a, err := s.prepare(ctx, []Write{
		{Stream: stream, Expected: head, Events: events},
		{Stream: StreamID{Category: "other", ID: stream.ID}, Events: events},
	})
	if err != nil {
		return Head{}, err
	}
	answer := s.api.Publish(ctx, a.writes[0], s.cfg.ackTimeout())
	if answer.Class != jsapi.Stored {
		return Head{}, answer.Err
	}
	head.Position = Position(answer.Sequence)
	return s.origin.give(stream, head), nil
}

// Give makes a head that was made by hand one that the store gave.
func (s *Store) Give(stream StreamID, head Head) Head { return s.origin.give(stream, head) }

// WithLinks gives the head with other links, so that what is appended on top of it has them.
func (h Head) WithLinks(links ...Position) Head {
	h.links = links
	return h
}

// Links gives the head's links.
func (h Head) Links() []Position { return h.links }
