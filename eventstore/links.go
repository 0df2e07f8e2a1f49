package eventstore

import (
	"context"
	"errors"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// maxHops is how often a load follows the links of the oldest commit it has before it reads the subject filtered. 64 hops of
// 16 links reach 1,024 commits back. Up to there links win: of a stream of 100 commits among a million, whose commits lie far apart,
// they take 1.7 ms and a filtered read, for which the server searches all that lies between, 27 ms.
const maxHops = 64

// byLinks gives the commits from newest back to the one that holds version from, or to the first behind position after,
// or false where the links do not lead there, or not soon enough.
func (l *load) byLinks(ctx context.Context, newest *Commit) (commits []*Commit, ok bool, err error) {
	if newest.Position <= l.after {
		return nil, true, nil
	}
	if l.asked && len(newest.links) == maxLinks {
		if err := l.waitForFirst(ctx); err != nil || l.count > maxHops*maxLinks {
			return nil, false, err
		}
	}
	commits = []*Commit{newest}
	for range maxHops {
		oldest := commits[len(commits)-1]
		if ok, err := l.reached(ctx, oldest); ok || err != nil {
			return l.trim(commits), ok, err
		}
		// A commit holds one version at least, so more links than versions wanted cannot be needed.
		links := l.behind(oldest.links)
		if want := uint64(oldest.First - l.from); uint64(len(links)) > want {
			links = links[:want]
		}
		hop, err := l.hop(ctx, oldest, links)
		if err != nil || len(hop) == 0 || len(hop) < len(links) {
			return nil, false, err
		}
		commits = append(commits, hop...)
	}
	ok, err = l.reached(ctx, commits[len(commits)-1])
	return l.trim(commits), ok, err
}

// hop gives the commits at links, newest first, as far as each ends with the version before the one that follows it.
//
// Of all but the oldest it gets the data alone, without the subject. That they are commits of the stream is known all the same:
// the oldest is, by its subject, and a commit links to commits of its own stream only, so one whose newest link leads to the
// oldest is of the stream as well, and so on.
func (l *load) hop(ctx context.Context, oldest *Commit, links []Position) ([]*Commit, error) {
	first := l.firstAmong(links)
	gets := l.store.api.Gets(l.store.name)
	defer gets.Release()
	for i, link := range links {
		switch {
		case link == first:
		case i == len(links)-1:
			gets.AskSequence(uint64(link))
		default:
			gets.AskData(uint64(link))
		}
	}
	commits := make([]*Commit, 0, len(links))
	for i, link := range links {
		var c *Commit
		var err error
		if link == first {
			c, err = l.firstAt(ctx, link)
		} else {
			msg, failed := gets.Sequence(ctx, uint64(link))
			c, err = l.linked(ctx, link, links[i+1:], msg, failed)
		}
		if err != nil || c == nil || c.Last()+1 != oldest.First {
			return commits, err
		}
		commits = append(commits, c)
		oldest = c
	}
	return commits, nil
}

// firstAmong gives the link that leads to the stream's first message, which was asked for, or 0. A commit that lists fewer than
// maxLinks lists all that were before it.
func (l *load) firstAmong(links []Position) Position {
	switch {
	case l.told && l.first != nil:
		return l.first.Position
	case l.told || !l.asked || len(links) == 0 || len(links) == maxLinks:
		return 0
	}
	return links[len(links)-1]
}

// firstAt waits for the first message. Where it stands elsewhere, the link is followed.
func (l *load) firstAt(ctx context.Context, link Position) (*Commit, error) {
	if err := l.waitForFirst(ctx); err != nil {
		return nil, err
	}
	if l.first != nil && l.first.Position == link {
		return l.first, nil
	}
	return l.follow(ctx, link)
}

// follow gives the commit at a link, as linked does.
func (l *load) follow(ctx context.Context, link Position) (*Commit, error) {
	msg, err := l.store.api.DirectSequence(ctx, l.store.name, uint64(link))
	return l.linked(ctx, link, nil, msg, err)
}

// linked gives the commit in the message at a link, or asks the leader where a replica did not have it. It gives nil where the
// link leads to no commit of the stream. A message without a subject has to link to the next of the links.
func (l *load) linked(ctx context.Context, link Position, next []Position, msg jsapi.Message, failed error) (*Commit, error) {
	var c *Commit
	var err error
	bare := failed == nil && msg.Subject == ""
	if bare {
		c, err = l.store.commitOf(l.subject, Position(msg.Sequence), msg.Data)
	} else {
		c, err = l.store.parse(msg, failed)
	}
	if bare && err == nil && !leadsTo(c.links, next) {
		return l.follow(ctx, link)
	}
	if ofReplica(err) {
		c, err = l.store.at(ctx, link)
	}
	switch {
	case errors.Is(err, jsapi.ErrNotFound), errors.Is(err, ErrForeign):
		return nil, nil
	case err != nil:
		return nil, err
	case c.Stream != l.stream:
		return nil, nil
	}
	return c, nil
}

// leadsTo reports whether the newest of a commit's links is the next of those that led to the commit.
func leadsTo(links, next []Position) bool {
	return len(links) > 0 && len(next) > 0 && links[0] == next[0]
}

// trim drops what was read beyond the commit that holds version from and beyond position after. Commits are newest first.
func (l *load) trim(commits []*Commit) []*Commit {
	for n := len(commits); n > 0 && (commits[n-1].Last() < l.from || commits[n-1].Position <= l.after); n-- {
		commits = commits[:n-1]
	}
	return commits
}
