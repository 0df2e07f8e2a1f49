package eventstore

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// End returns the position of the log's newest commit, as the stream's leader knows it, or 0 for a log without commits.
// Messages of other programs and remainders of torn transactions after that commit do not count. A damaged message
// does. Interruptions are waited out for Config.ReadTimeout. It returns an error that matches ErrNoPermission,
// ErrUnavailable, ErrRefused, ErrLogRewound or ErrSettings, or the cause of ctx.
func (s *Store) End(ctx context.Context) (end Position, err error) {
	l := s.log
	return patiently(ctx, l.conn, "end of "+l.conn.store, func() (Position, error) {
		end, err := l.trust.end(ctx)
		if err != nil {
			return 0, err
		}
		return l.newest(ctx, end)
	})
}

// passed says that readers pass over all messages after a commit, up to a position.
type passed struct{ commit, upTo Position }

// newest returns the position of the newest commit up to the log's end.
func (l *log) newest(ctx context.Context, end Position) (Position, error) {
	known := l.passed.Load()
	for position := end; position > 0; {
		if known != nil && known.upTo == position {
			return l.passedTo(known.commit, end), nil
		}
		if c := l.seen.newest.Load(); c != nil && c.Position == position && c.Transaction == nil {
			return l.passedTo(position, end), nil
		}
		below, err := l.fetcher.passedAt(ctx, position)
		switch {
		case errors.Is(err, ErrCorrupt):
			return position, nil
		case err != nil:
			return 0, err
		case below == position:
			return l.passedTo(position, end), nil
		}
		position = below
	}
	return l.passedTo(0, end), nil
}

// passedTo remembers that readers pass over everything from the log's end down to a commit, and returns its position.
func (l *log) passedTo(commit, end Position) Position {
	if commit < end {
		l.passed.Store(&passed{commit: commit, upTo: end})
	}
	return commit
}

// passedAt returns a position if a commit stands there, and otherwise a position below. Readers pass over everything
// above that one.
func (f *fetcher) passedAt(ctx context.Context, position Position) (Position, error) {
	c, err := f.place(ctx, position)
	switch {
	case err != nil:
		return 0, err
	case c == nil: // the leader has changed since it said where the log ends
		return 0, errLags
	case c.absent():
		return position - 1, nil
	}
	whole, err := f.whole(ctx, c)
	if err == nil && !whole {
		position = c.begin() - 1
	}
	return position, err
}

// end returns where the log ends, whatever stands there.
func (l *log) end(ctx context.Context) (Position, error) {
	return patiently(ctx, l.conn, "end of "+l.conn.store, func() (Position, error) { return l.trust.end(ctx) })
}

// end asks the leader once where the log ends. It looks at the log if that ends before a commit that was seen, or is
// another log.
func (t *trust) end(ctx context.Context) (Position, error) {
	if err := t.conn.verdict.get(); err != nil {
		return 0, err
	}
	seen := t.seen.highest()
	info, err := t.conn.api.LeaderInfo(ctx, t.conn.store, "", 0)
	fell := err == nil && (Position(info.Last) < seen || info.Metadata[metaIdentity] != t.conn.opened.identity)
	switch {
	case fell, errors.Is(err, jetstream.ErrStreamNotFound):
		if err := t.suspect(ctx); err != nil {
			return 0, err
		}
		return t.conn.end(ctx)
	case err != nil:
		return 0, err
	}
	t.conn.copies.Store(int64(info.Replicas))
	return Position(info.Last), t.conn.onDisk(ctx, Position(info.Last))
}

// awaitEnd is end for readers of the log. They wait out interruptions from their first question on. A question that was
// under way when the connection broke is asked again after Config.AckTimeout.
func (t *trust) awaitEnd(ctx context.Context) (Position, error) {
	deadline := time.Now().Add(t.conn.cfg.ReadTimeout)
	for try := 1; ; try++ {
		asking, cancel := context.WithTimeoutCause(ctx, t.conn.cfg.AckTimeout, jsapi.ErrNoReply)
		end, err := t.end(asking)
		cancel()
		switch {
		case err == nil:
			return end, nil
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case isDamage(err):
			return 0, err
		case jsapi.IsRefusal(err), t.conn.api.Session().Closed():
			return 0, because("end of "+t.conn.store, err)
		case t.conn.api.Session().Connected() != nil, jsapi.Transient(err), time.Now().Before(deadline):
		default:
			return 0, because("end of "+t.conn.store, err)
		}
		if err := t.conn.api.Pause(ctx, rescans, try); err != nil {
			return 0, err
		}
	}
}

// reaches makes sure that the log has a position after which a read is to begin. Otherwise the read would pass over
// commits until the log is as long.
func (t *trust) reaches(ctx context.Context, after Position) error {
	if after == 0 || after <= t.seen.highest() {
		return nil
	}
	deadline := time.Now().Add(leaderLag)
	for try := 1; ; try++ {
		end, err := t.awaitEnd(ctx)
		if err != nil || after <= end {
			return err
		}
		ahead := positionAhead(t.conn.store, after, end)
		if t.conn.copies.Load() < 2 || time.Now().After(deadline) {
			return ahead
		}
		if err := recheck.Wait(ctx, try); err != nil {
			return errors.Join(ahead, err) // a short ReadTimeout ends before the leader's time does
		}
	}
}
