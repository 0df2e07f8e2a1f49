package eventstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// span is the part of the log that a read is about.
type span struct {
	after   Position
	upTo    Position // or 0 for no end
	sure    Position // up to where the leader has the log for certain
	empty   bool
	live    bool
	pending bool // the log ended before since; the read begins with the first commit that is stored then
	since   time.Time
}

// spanOf asks the leader what the options leave open.
func (l *log) spanOf(ctx context.Context, o readOptions) (span, error) {
	p := span{after: o.after, live: o.live, since: o.since}
	var end Position
	var err error
	if !o.live || !o.since.IsZero() {
		if end, err = l.trust.awaitEnd(ctx); err != nil {
			return span{}, err
		}
	}
	if o.live || end < o.after {
		if err := l.trust.reaches(ctx, o.after); err != nil {
			return span{}, err
		}
	}
	if !o.live {
		p.upTo, p.sure, p.empty = end, end, end == 0
	}
	if !o.since.IsZero() {
		var begin Position
		if begin, p.pending, err = l.behindTime(ctx, o.since, end); err != nil {
			return span{}, err
		}
		p.after = max(p.after, begin)
	}
	if o.until != nil && (o.live || *o.until < p.upTo) {
		p.upTo, p.empty = *o.until, *o.until == 0
	}
	p.empty = p.empty || p.upTo != 0 && p.upTo <= p.after
	return p, nil
}

// behindTime returns the position after which a read of commits stored at or after a time begins. It reports pending
// if no such commit was stored yet. end is where the log ended before the time was asked for.
func (l *log) behindTime(ctx context.Context, t time.Time, end Position) (after Position, pending bool, err error) {
	// The server counts nanoseconds since 1970 in 64 bits.
	if t.Before(time.Unix(0, 0)) {
		return 0, false, nil
	}
	if last := time.Unix(0, math.MaxInt64); t.After(last) {
		t = last
	}
	err = l.conn.patiently(ctx, fmt.Sprintf("look for %s in %s", t.Format(time.RFC3339Nano), l.conn.store), func() error {
		after, pending, err = l.searchTime(ctx, t, end)
		return err
	})
	return after, pending, err
}

func (l *log) searchTime(ctx context.Context, t time.Time, end Position) (after Position, pending bool, err error) {
	msg, err := l.conn.api.LeaderSince(ctx, l.conn.store, t)
	c, err := l.fetcher.judge(ctx, msg, err)
	switch {
	case errors.Is(err, jsapi.ErrNotFound):
		after, pending = end, true
	case errors.Is(err, ErrForeign):
		after = Position(msg.Sequence) - 1
	case err != nil:
		return 0, false, err
	default:
		after = c.begin() - 1
	}
	if after == 0 {
		return 0, pending, nil
	}
	// The search passes over commits that the server does not find. A hole before the start may hold a commit that was
	// asked for, so the reader must say what the hole is.
	if _, err = l.fetcher.at(ctx, after); errors.Is(err, jsapi.ErrNotFound) {
		return after - 1, pending, nil
	}
	if errors.Is(err, ErrForeign) {
		err = nil
	}
	return after, pending, err
}

// begins reports whether a read that was waiting for its time begins with c.
func (p *span) begins(ctx context.Context, l *log, c *Commit) (bool, error) {
	if !p.pending {
		return true, nil
	}
	after, pending, err := l.behindTime(ctx, p.since, c.Position)
	if err != nil || pending || c.Position <= after {
		return false, err
	}
	p.pending = false
	return true, nil
}
