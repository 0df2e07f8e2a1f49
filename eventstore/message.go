package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// decoder makes commits of messages, and takes note of them. Commits keep it, to decode their events.
type decoder struct {
	store     string
	origin    *origin
	registry  *registry
	seen      *seen
	opened    *opened
	originals sync.Map // positions of commits that are not copies, though their header does not fit them
}

// parse returns the commit in a message. If there is no message, it returns the reason as it is. A message that does
// not parse is damage, unless only another program can have published it.
func (d *decoder) parse(msg jsapi.Message, err error) (*Commit, error) {
	if errors.Is(err, jsapi.ErrMalformed) {
		stream, _ := parseSubject(d.store, msg.Subject)
		return nil, &ReadError{Store: d.store, Reason: ErrCorrupt, Stream: stream, Position: Position(msg.Sequence), Err: err, there: true}
	}
	if err != nil {
		return nil, err
	}
	if isForeign(msg.Header, msg.Data) {
		return nil, &foreignError{Store: d.store, Position: Position(msg.Sequence), Subject: msg.Subject, data: msg.Data}
	}
	return d.commitIn(new(room), msg.Subject, Position(msg.Sequence), msg.Header, msg.Data)
}

// commitOf returns the commit in a payload that is known to be one.
func (d *decoder) commitOf(subject string, position Position, data []byte) (*Commit, error) {
	c, err := d.decode(new(room), subject, position, data)
	if err == nil {
		d.seen.see(c)
	}
	return c, err
}

// commitIn returns the commit in a message, in memory for it. It refuses a copy of a commit.
func (d *decoder) commitIn(m *room, subject string, position Position, header nats.Header, data []byte) (*Commit, error) {
	c, err := d.decode(m, subject, position, data)
	switch {
	case err != nil:
		return nil, err
	case !d.fits(header, c):
		return nil, &ReadError{Store: d.store, Reason: ErrCorrupt, Stream: c.Stream, Position: position, Err: errCopied, there: true}
	}
	d.seen.see(c)
	return c, nil
}

func (d *decoder) decode(m *room, subject string, position Position, data []byte) (*Commit, error) {
	stream, err := parseSubject(d.store, subject)
	if err != nil {
		return nil, &ReadError{Store: d.store, Reason: ErrCorrupt, Position: position, Err: err, there: true}
	}
	c, err := m.decode(data, d.registry)
	if err != nil {
		return nil, &ReadError{Store: d.store, Reason: ErrCorrupt, Stream: stream, Position: position, Err: err, there: true}
	}
	c.Stream, c.Position, c.payload, c.decoder = stream, position, data, d
	return c, nil
}

// fetcher reads what the servers have: commits, streams and the log. It passes over what is not part of the log: erased
// commits, torn transactions and the messages of other programs. It does not know whether the log is still the one that
// Open found.
type fetcher struct {
	conn     *conn
	decoder  *decoder
	erasures erasures
	foreign  foreign
	counters struct{ linkMisses, refetched, torn, foreign atomic.Int64 } // see Counters
}

// at returns the commit at a position, from the leader.
func (f *fetcher) at(ctx context.Context, position Position) (*Commit, error) {
	msg, err := f.conn.api.LeaderSequence(ctx, f.conn.store, uint64(position))
	return f.judge(ctx, msg, err)
}

// leaderNext returns the first commit on a subject at or after a position, from the leader.
func (f *fetcher) leaderNext(ctx context.Context, subject string, from Position) (*Commit, error) {
	for {
		msg, err := f.conn.api.LeaderNext(ctx, f.conn.store, subject, uint64(from))
		c, err := f.judge(ctx, msg, err)
		if !errors.Is(err, ErrForeign) {
			return c, err
		}
		from = Position(msg.Sequence) + 1
	}
}

// At returns the commit at a position, from the leader. It returns an error that matches ErrErased if the commit was
// erased, ErrForeign if another program's message stands there, and ErrCorrupt if the position is missing or damaged
// though the log goes on after it. It returns nil, nil if the log ends before the position. Positions begin at 1; the
// error of position 0 matches ErrRefused.
//
// Interruptions are waited out for Config.ReadTimeout. It also fails like [Store.End].
func (s *Store) At(ctx context.Context, position Position) (c *Commit, err error) {
	if position == 0 {
		return nil, fmt.Errorf("eventstore: commit at position 0 of %s: %w: positions begin at 1", s.Name(), ErrRefused)
	}
	return s.log.at(ctx, position)
}

// at is At.
func (l *log) at(ctx context.Context, position Position) (c *Commit, err error) {
	err = l.conn.patiently(ctx, fmt.Sprintf("commit at position %d of %s", position, l.conn.store), func() (err error) {
		if c, err = l.placeAsSeen(ctx, position); err == nil && c != nil && !c.absent() {
			err = l.conn.onDisk(ctx, position)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case c != nil && c.foreign != nil:
		return nil, c.foreign
	case c != nil && c.erased:
		return nil, &ReadError{Store: l.fetcher.conn.store, Position: position, CommitID: c.ID.String(), Reason: ErrErased}
	}
	if c != nil {
		c.unproven = !c.Whole()
	}
	return c, nil
}

// placeAsSeen is place that looks at the log if it lacks a commit that was seen.
func (l *log) placeAsSeen(ctx context.Context, position Position) (*Commit, error) {
	if err := l.conn.verdict.get(); err != nil {
		return nil, err
	}
	c, err := l.fetcher.place(ctx, position)
	lacks := err == nil && c == nil && position <= l.seen.highest() || errors.Is(err, jetstream.ErrStreamNotFound)
	if !lacks {
		return c, err
	}
	if err := l.trust.suspect(ctx); err != nil {
		return nil, err
	}
	return l.fetcher.place(ctx, position) // the leader only lagged
}

// place is At, but returns a placeholder for a commit that was erased, and for a message of another program.
func (f *fetcher) place(ctx context.Context, position Position) (*Commit, error) {
	c, err := f.orForeign(f.at(ctx, position))
	if !errors.Is(err, jsapi.ErrNotFound) {
		return c, err
	}
	end, err := f.conn.end(ctx)
	if err != nil || position > end {
		return nil, err
	}
	c, err = f.erasures.placeholder(ctx, f, position)
	if err != nil || c != nil {
		return c, err
	}
	return f.orForeign(f.atLast(ctx, position))
}

// orForeign returns a placeholder in place of the error for a message of another program.
func (f *fetcher) orForeign(c *Commit, err error) (*Commit, error) {
	if foreign, ok := errors.AsType[*foreignError](err); ok {
		return foreign.placeholder(f.decoder), nil
	}
	return c, err
}

// atLast is at for a position that the leader lacked before it said that its log goes as far. It may have applied the
// position between the two questions. Otherwise the position is missing.
func (f *fetcher) atLast(ctx context.Context, position Position) (*Commit, error) {
	c, err := f.at(ctx, position)
	if errors.Is(err, jsapi.ErrNotFound) {
		err = f.missing(position)
	}
	return c, err
}

// atBefore is at for a position before a message that any replica has. If the leader lags, that passes.
func (f *fetcher) atBefore(ctx context.Context, position Position) (*Commit, error) {
	c, err := f.at(ctx, position)
	if !errors.Is(err, jsapi.ErrNotFound) {
		return c, err
	}
	if err := f.reaches(ctx, position); err != nil {
		return nil, err
	}
	return f.atLast(ctx, position)
}

// errMissing means that nothing stands at a position.
var errMissing = errors.New("the position is missing, and no erasure is recorded for it")

func (f *fetcher) missing(position Position) error {
	return &ReadError{Store: f.conn.store, Reason: ErrCorrupt, Position: position, Err: errMissing}
}

// ofReplica reports whether an answer may be true of one replica only. The replica may lag behind or be damaged, so
// that a commit looks like another program's message, or it may be silent. The leader knows.
func ofReplica(err error) bool {
	return errors.Is(err, jsapi.ErrNotFound) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrForeign) || errors.Is(err, jsapi.ErrReplicaSilent)
}

// whole reports whether the transaction of c is in the log to its end, once that is on disk. On one replica that does
// not sync, a power cut can leave the start of an atomic batch without its end, and the server serves it.
func (f *fetcher) whole(ctx context.Context, c *Commit) (bool, error) {
	if c.Whole() {
		return true, nil
	}
	end, err := f.decoder.parse(f.conn.api.DirectSequence(ctx, f.conn.store, uint64(c.end())))
	if ofReplica(err) {
		end, err = f.place(ctx, c.end())
	}
	if err == nil && end == nil {
		end, err = f.placeLater(ctx, c)
	}
	if err != nil || end == nil || end.Transaction == nil || end.Transaction.ID != c.Transaction.ID {
		return false, err
	}
	return true, f.conn.onDisk(ctx, end.Position)
}

// errLags says that the leader has not applied yet what a replica has. That passes.
var errLags = fmt.Errorf("%w: the leader has not applied yet what a replica has", jsapi.ErrNoReply)

// reaches returns errLags if the leader's log ends before a position at which another replica has a message.
func (f *fetcher) reaches(ctx context.Context, position Position) error {
	end, err := f.conn.end(ctx)
	if err == nil && end < position {
		err = errLags
	}
	return err
}

// placeLater is place for the end of the transaction of c, after the leader's log ended before it. The leader may lag
// behind the replica that has c, or may have been asked for its end while it applied the transaction. It does not
// answer a get meanwhile. Another leader may answer each question, so that the log must reach c afterwards as well.
func (f *fetcher) placeLater(ctx context.Context, c *Commit) (*Commit, error) {
	if err := f.reaches(ctx, c.Position); err != nil {
		return nil, err
	}
	end, err := f.place(ctx, c.end())
	if err != nil || end != nil {
		return end, err
	}
	return nil, f.reaches(ctx, c.Position)
}

// wholeForSure is whole, but waits interruptions out.
func (f *fetcher) wholeForSure(ctx context.Context, c *Commit) (whole bool, err error) {
	what := fmt.Sprintf("transaction at position %d of %s", c.Position, f.conn.store)
	return patiently(ctx, f.conn, what, func() (bool, error) { return f.whole(ctx, c) })
}

// skipTorn counts and reports a commit that is not part of the log because its transaction is not whole.
func (f *fetcher) skipTorn(ctx context.Context, c *Commit) {
	f.counters.torn.Add(1)
	f.conn.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "commit of a torn transaction skipped",
		slog.String("stream", c.Stream.String()), slog.Uint64("version", uint64(c.First)),
		slog.Uint64("position", uint64(c.Position)), slog.String("transaction", c.Transaction.ID.String()))
}
