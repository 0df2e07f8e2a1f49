package eventstore

import (
	"context"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// AppendTorn stores, of a transaction that writes this stream and another, the first commit only, as a power cut can
// leave it, and returns the head of an append on top of the remainder.
func (s *Store) AppendTorn(ctx context.Context, stream StreamID, head Head, events ...Event) (Head, error) {
	a, err := s.writer.prepare(ctx, []Write{
		{Stream: stream, Expected: head, Events: events},
		{Stream: StreamID{Category: "other", ID: stream.ID}, Events: events},
	})
	if err != nil {
		return Head{}, err
	}
	answer := s.conn.api.Session().Publish(ctx, a.writes[0], s.conn.cfg.AckTimeout)
	if answer.Class != jsapi.Stored {
		return Head{}, answer.Err
	}
	head.Position = Position(answer.Sequence)
	return s.decoder.origin.give(stream, head), nil
}

// KeepForReaders makes the store keep so many of the newest commits for live readers.
func (s *Store) KeepForReaders(commits int) { s.log.tail.room = Position(commits) }

// EndForReaders ends the scan that live readers share with an error.
func (s *Store) EndForReaders(err error) { s.log.tail.shared.take(nil, err) }

// Give makes a head that was made by hand one that the store gave.
func (s *Store) Give(stream StreamID, head Head) Head { return s.decoder.origin.give(stream, head) }

// WithLinks returns the head with other links, so that what is appended on top of it has them.
func (h Head) WithLinks(links ...Position) Head {
	h.links = links
	return h
}

// Links returns the head's links.
func (h Head) Links() []Position { return h.links }

// AppendFirst stores the first messages of a transaction only, one by one, as a power cut can leave them.
func (s *Store) AppendFirst(ctx context.Context, kept int, writes ...Write) error {
	a, err := s.writer.prepare(ctx, writes)
	if err != nil {
		return err
	}
	for _, w := range a.batch()[:kept] {
		if answer := s.conn.api.Session().Publish(ctx, w, s.conn.cfg.AckTimeout); answer.Class != jsapi.Stored {
			return answer.Err
		}
	}
	return nil
}

// AppendUnguarded stores a transaction whose guards expect nothing, on heads that are taken as they are.
func (s *Store) AppendUnguarded(ctx context.Context, writes ...Write) error {
	a := newAttempt(s.writer, len(writes))
	for i, w := range writes {
		c := a.commits[i]
		*c = Commit{Stream: w.Stream, First: w.Expected.Version + 1, ID: newID(s.conn.cfg.Now()), Time: s.conn.cfg.Now(), decoder: s.decoder,
			Transaction: &Transaction{ID: [16]byte{1}, Index: indexOf(writes, i), Count: len(writes)}}
		var err error
		if a.writes[i], err = s.writer.encodeWrite(&a.rooms[i], &w.Expected, &w); err != nil {
			return err
		}
		a.writes[i].Unconditional, a.writes[i].Guards = w.Guard, ""
	}
	if err := a.checkStreams(); err != nil {
		return err
	}
	return a.publish(ctx).Err
}
