package eventstore

import (
	"context"
	"fmt"
	"iter"
	"slices"
)

// eventsDown yields the stream's events from a version down to 1.
func (l *log) eventsDown(ctx context.Context, stream StreamID, o readOptions, yield func(Recorded, error) bool) {
	subject, err := subjectToRead(l.conn.store, stream)
	if err != nil {
		yield(Recorded{}, fmt.Errorf("eventstore: load: %w", err))
		return
	}
	if err := l.reachesSoon(ctx, stream, o.after); err != nil {
		yield(Recorded{}, err)
		return
	}
	load := &load{fetcher: l.fetcher, watch: l.trust, subject: subject, stream: stream, from: 1}
	for c, err := range load.down(ctx, o.leader) {
		if err != nil {
			yield(Recorded{}, err)
			return
		}
		if c.Position <= o.after {
			return
		}
		for i := range c.events {
			event := Recorded{Commit: c, Index: len(c.events) - 1 - i}
			if event.Version() <= o.from && !yield(event, nil) {
				return
			}
		}
	}
}

// down yields all commits of the stream, newest first. It verifies that each ends with the version before the one above
// it. It reads more only when the next commit is pulled:
//
//	newest whole commit -> the commits at its links, all at once -> at the links of the oldest -> ... version 1
//	    -> a link that is missing or leads elsewhere: the rest is read filtered, from version 1 up, and held
func (l *load) down(ctx context.Context, leader bool) iter.Seq2[*Commit, error] {
	return func(yield func(*Commit, error) bool) {
		for oldest := (*Commit)(nil); oldest == nil || oldest.First > 1; {
			end := l.fetcher.conn.cfg.Trace.beginLoad(ctx, l.stream)
			commits, err := l.next(ctx, leader, oldest)
			if end != nil {
				end(historyOf(commits), err)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, c := range commits {
				if !yield(c, nil) {
					return
				}
			}
			if len(commits) == 0 {
				return
			}
			oldest = commits[len(commits)-1]
		}
	}
}

// next returns commits that stand before a commit, or the newest commit if oldest is nil. They come newest first.
func (l *load) next(ctx context.Context, leader bool, oldest *Commit) ([]*Commit, error) {
	if oldest != nil {
		return l.below(ctx, oldest)
	}
	err := l.patiently(ctx, func() (err error) {
		if err := l.watch.trusted(ctx); err != nil {
			return err
		}
		oldest, err = l.newest(ctx, leader)
		return err
	})
	if err != nil || oldest == nil {
		return nil, err
	}
	return []*Commit{oldest}, nil
}

// historyOf returns commits that come newest first as a history.
func historyOf(commits []*Commit) History {
	if len(commits) == 0 {
		return History{}
	}
	commits = slices.Clone(commits)
	slices.Reverse(commits)
	return History{Head: commits[len(commits)-1].Head(), Commits: commits}
}

// newest returns the stream's newest commit, or nil if the stream has none.
func (l *load) newest(ctx context.Context, leader bool) (*Commit, error) {
	l.gets = l.fetcher.conn.api.Gets(l.fetcher.conn.store)
	defer l.gets.Release()
	tail, moved, err := l.last(ctx, leader)
	if moved {
		return l.newest(ctx, true)
	}
	if err != nil || tail == nil {
		return nil, err
	}
	newest, err := l.newestWhole(ctx, tail)
	if err != nil {
		return nil, err
	}
	if newest == nil {
		if again, err := l.confirmCount(ctx, tail, nil, leader); !again || err != nil {
			return nil, err
		}
		return l.newest(ctx, true)
	}
	if newest.Head().end == streamErased {
		return nil, l.erased(newest)
	}
	return newest, nil
}

// below returns commits that stand before a commit which is not the stream's first, newest first and at least one: the
// commits at its links, or else all.
func (l *load) below(ctx context.Context, oldest *Commit) (commits []*Commit, err error) {
	err = l.patiently(ctx, func() (err error) {
		commits, err = l.hop(ctx, oldest, oldest.links)
		return err
	})
	if err != nil || len(commits) > 0 {
		return commits, err
	}
	l.missed(ctx, oldest)
	err = l.patiently(ctx, func() (err error) {
		commits, err = l.filtered(ctx, oldest)
		return err
	})
	if err != nil {
		return nil, err
	}
	return commits[1:], nil
}

func (l *load) patiently(ctx context.Context, read func() error) error {
	return l.fetcher.conn.patiently(ctx, "load "+l.stream.String(), read)
}
