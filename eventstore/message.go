package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// decoder makes commits of messages, and takes note of them. Commits keep it, to decode their events.
type decoder struct {
	store    string
	origin   *origin
	registry *registry
	seen     *seen
}

// parse returns the commit in a message. If there is no message, it returns the reason as it is. A message that does
// not parse is damage, unless only another program can have published it.
func (d *decoder) parse(msg jsapi.Message, err error) (*Commit, error) {
	if errors.Is(err, jsapi.ErrMalformed) {
		stream, _ := parseSubject(d.store, msg.Subject)
		return nil, &CorruptError{Store: d.store, Stream: stream, Position: Position(msg.Sequence), Err: err, there: true}
	}
	if err != nil {
		return nil, err
	}
	if isForeign(msg.Header, msg.Data) {
		return nil, &foreignError{Store: d.store, Position: Position(msg.Sequence), Subject: msg.Subject, data: msg.Data}
	}
	return d.commitOf(msg.Subject, Position(msg.Sequence), msg.Data)
}

func (d *decoder) commitOf(subject string, position Position, data []byte) (*Commit, error) {
	return d.commitIn(new(room), subject, position, data)
}

// commitIn is commitOf with memory for the commit.
func (d *decoder) commitIn(m *room, subject string, position Position, data []byte) (*Commit, error) {
	stream, err := parseSubject(d.store, subject)
	if err != nil {
		return nil, &CorruptError{Store: d.store, Position: position, Err: err, there: true}
	}
	c, err := m.decode(data, d.registry)
	if err != nil {
		return nil, &CorruptError{Store: d.store, Stream: stream, Position: position, Err: err, there: true}
	}
	c.Stream, c.Position, c.payload, c.decoder = stream, position, data, d
	d.seen.see(c)
	return c, nil
}

// at returns the commit at a position, from the leader.
func (s *Store) at(ctx context.Context, position Position) (*Commit, error) {
	msg, err := s.api.LeaderSequence(ctx, s.name, uint64(position))
	return s.judge(ctx, msg, err)
}

// leaderNext returns the first commit on a subject at or after a position, from the leader.
func (s *Store) leaderNext(ctx context.Context, subject string, from Position) (*Commit, error) {
	for {
		msg, err := s.api.LeaderNext(ctx, s.name, subject, uint64(from))
		c, err := s.judge(ctx, msg, err)
		if !errors.Is(err, ErrForeign) {
			return c, err
		}
		from = Position(msg.Sequence) + 1
	}
}

// At returns the commit at a position, from the leader. It returns an error that matches ErrErased if the commit was
// erased, ErrForeign if another program's message stands there, and ErrCorrupt if the position is missing or damaged
// though the log goes on behind it. It returns nil, nil if the log ends before the position.
//
// Interruptions are waited out for Config.ReadTimeout. It also fails like [Store.End].
func (s *Store) At(ctx context.Context, position Position) (c *Commit, err error) {
	err = s.patiently(ctx, fmt.Sprintf("commit at position %d of %s", position, s.name), func() (err error) {
		if c, err = s.placeAsSeen(ctx, position); err == nil && c != nil && !c.absent() {
			err = s.onDisk(ctx, position)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case c != nil && c.foreign != nil:
		return nil, c.foreign
	case c != nil && c.erased:
		return nil, &ErasedError{Position: position, CommitID: c.ID.String()}
	}
	if c != nil {
		c.unproven = !c.Whole()
	}
	return c, nil
}

// placeAsSeen is place that looks at the log if it lacks a commit that was seen.
func (s *Store) placeAsSeen(ctx context.Context, position Position) (*Commit, error) {
	if err := s.log.verdict.get(); err != nil {
		return nil, err
	}
	c, err := s.place(ctx, position)
	lacks := err == nil && c == nil && position <= s.seen.highest() || errors.Is(err, jetstream.ErrStreamNotFound)
	if !lacks {
		return c, err
	}
	if err := s.suspect(ctx); err != nil {
		return nil, err
	}
	return s.place(ctx, position) // the leader only lagged
}

// place is At, but returns a placeholder for a commit that was erased, and for a message of another program.
func (s *Store) place(ctx context.Context, position Position) (*Commit, error) {
	c, err := s.at(ctx, position)
	if foreign, ok := errors.AsType[*foreignError](err); ok {
		return foreign.placeholder(s.decoder), nil
	}
	if !errors.Is(err, jsapi.ErrNotFound) {
		return c, err
	}
	end, err := s.end(ctx)
	if err != nil || position > end {
		return nil, err
	}
	c, err = s.erasures.placeholder(ctx, s, position)
	if err != nil || c != nil {
		return c, err
	}
	return nil, s.missing(position)
}

// errMissing means that nothing stands at a position.
var errMissing = errors.New("the position is missing, and no erasure is recorded for it")

func (s *Store) missing(position Position) error {
	return &CorruptError{Store: s.name, Position: position, Err: errMissing}
}

// ofReplica reports whether an answer may be true of one replica only. The replica may lag behind or be damaged, so
// that a commit looks like another program's message. The leader knows.
func ofReplica(err error) bool {
	return errors.Is(err, jsapi.ErrNotFound) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrForeign)
}

// whole reports whether the transaction of c is in the log to its end, once that is on disk. On one replica that does
// not sync, a power cut can leave the start of an atomic batch without its end, and the server serves it.
func (s *Store) whole(ctx context.Context, c *Commit) (bool, error) {
	if c.Whole() {
		return true, nil
	}
	end, err := s.decoder.parse(s.api.DirectSequence(ctx, s.name, uint64(c.end())))
	if ofReplica(err) {
		end, err = s.place(ctx, c.end())
	}
	if err != nil || end == nil || end.Transaction == nil || end.Transaction.ID != c.Transaction.ID {
		return false, err
	}
	return true, s.onDisk(ctx, end.Position)
}

// wholeForSure is whole, but waits interruptions out.
func (s *Store) wholeForSure(ctx context.Context, c *Commit) (whole bool, err error) {
	err = s.patiently(ctx, fmt.Sprintf("transaction at position %d of %s", c.Position, s.name), func() (err error) {
		whole, err = s.whole(ctx, c)
		return err
	})
	return whole, err
}

// skipTorn counts and reports a commit that is not part of the log because its transaction is not whole.
func (s *Store) skipTorn(ctx context.Context, c *Commit) {
	s.counters.torn.Add(1)
	s.logger.LogAttrs(ctx, slog.LevelWarn, "commit of a torn transaction skipped",
		slog.String("stream", c.Stream.String()), slog.Uint64("version", uint64(c.First)),
		slog.Uint64("position", uint64(c.Position)), slog.String("transaction", c.Transaction.ID.String()))
}

// leaderInfo returns the state of a JetStream stream from its leader. It waits for a leader and for the connection.
func (s *Store) leaderInfo(ctx context.Context, name string) (info jetstream.StreamInfo, err error) {
	err = s.answered(ctx, func() (err error) {
		info, err = s.api.StreamInfo(ctx, name)
		return err
	})
	return info, err
}

// message returns a message of a JetStream stream from its leader. It waits like leaderInfo.
func (s *Store) message(ctx context.Context, stream string, sequence uint64) (jsapi.Message, error) {
	var msg jsapi.Message
	err := s.answered(ctx, func() error {
		var err error
		msg, err = s.api.LeaderSequence(ctx, stream, sequence)
		return err
	})
	return msg, err
}

// answered asks JetStream until there is an answer or ctx ends. The question must be one that may be asked any number
// of times.
func (s *Store) answered(ctx context.Context, ask func() error) error {
	for try := 1; ; try++ {
		err := ask()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, nats.ErrPermissionViolation):
			return fmt.Errorf("%w: %w", ErrNoPermission, err)
		case !jsapi.Transient(err):
			return err
		}
		if err := s.api.Pause(ctx, rescans, try); err != nil {
			return err
		}
	}
}
