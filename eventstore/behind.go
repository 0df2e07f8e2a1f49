package eventstore

import (
	"context"
	"errors"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// reached reports whether no commit before c is wanted: c holds the first version that is asked for, or the commit
// before c stands at position after or before it. That commit is looked at, because c's link to it is only a hint.
func (l *load) reached(ctx context.Context, c *Commit) (bool, error) {
	if c.First <= l.from {
		return true, nil
	}
	before, err := l.vouching(ctx, c)
	return before != nil, err
}

// behind returns the links, newest first, that lead beyond position after.
func (l *load) behind(links []Position) []Position {
	for i, link := range links {
		if link <= l.after {
			return links[:i]
		}
	}
	return links
}

// vouching returns the commit right before c if it stands at position after or before it. It returns nil if the commit
// stands elsewhere, or if c's link does not lead to it.
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

// begin returns the position after which a filtered read begins, and the version with which the commits up to there
// end. That is position after, if the stream's commits on both sides of it fit together. Otherwise it is the log's
// start, which needs no such proof.
func (l *load) begin(ctx context.Context) (Position, Version, error) {
	if l.after == 0 {
		return 0, 0, nil
	}
	c, err := l.fetcher.leaderNext(ctx, l.subject, l.after+1)
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
