package eventstore

import (
	"context"
	"errors"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// reached reports whether nothing that stands before c is wanted: c holds version from, or the commit before it stands at
// position after or before. That one is looked at, since its link is only a hint.
func (l *load) reached(ctx context.Context, c *Commit) (bool, error) {
	if c.First <= l.from {
		return true, nil
	}
	before, err := l.vouching(ctx, c)
	return before != nil, err
}

// behind gives those of the links, newest first, that lead behind position after.
func (l *load) behind(links []Position) []Position {
	for i, link := range links {
		if link <= l.after {
			return links[:i]
		}
	}
	return links
}

// vouching gives the commit right before c if it stands at position after or before, and nil where it does not or cannot
// be found by c's link.
func (l *load) vouching(ctx context.Context, c *Commit) (*Commit, error) {
	if len(c.links) == 0 || c.links[0] > l.after {
		return nil, nil
	}
	link := c.links[0]
	before, err := l.follow(ctx, link)
	if err != nil || before == nil || before.Last()+1 != c.First {
		return nil, err
	}
	return before, nil
}

// begin gives the position behind which a filtered read begins, and the version that the commits up to there end with: position
// after where the stream's commits on both sides of it fit together, else the log's begin, which needs nobody to vouch.
func (l *load) begin(ctx context.Context) (Position, Version, error) {
	if l.after == 0 {
		return 0, 0, nil
	}
	c, err := l.store.leaderNext(ctx, l.subject, l.after+1)
	switch {
	case errors.Is(err, jsapi.ErrNotFound):
		return 0, 0, nil
	case err != nil:
		return 0, 0, err
	case c.First == 1:
		return l.after, 0, nil
	}
	before, err := l.vouching(ctx, c)
	if err != nil || before == nil {
		return 0, 0, err
	}
	return l.after, before.Last(), nil
}
