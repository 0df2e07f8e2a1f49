package eventstore

import (
	"context"
	"fmt"
	"iter"
)

// Replay calls f with each event of a part of the log, in the order of their positions. [After], [FromTime] and [Until]
// say which part. [Categories], [Types], and [OfStream] with [From] say which events. Replay ends where the log ended
// when it began. It writes nothing, and touches no view and no checkpoint. Progress counts the events that f was called
// with. Its Position also passes over the others.
//
// If f fails, Replay returns an error that matches the error of f and names the event. Otherwise it fails like
// [Store.All], or like [Store.Stream] with OfStream. The Progress is valid in any case: a replay with
// After(progress.Position) goes on with the first commit that was not replayed whole.
func (s *Store) Replay(ctx context.Context, f func(Recorded) error, options ...ReplayOption) (Progress, error) {
	o := readOptionsOf(options)
	p, err := s.log.spanOf(ctx, o)
	if err != nil {
		return Progress{}, err
	}
	t := newTracker(p.upTo, o.progress)
	t.progress.Begin, t.progress.Position = p.after, p.after
	picker := s.decoder.registry.pickerOf(o)
	for c, err := range s.log.replayed(ctx, p, o) {
		if err != nil {
			return t.done(), err
		}
		events := 0
		for event := range picker.pick(c) {
			if err := f(event); err != nil {
				return t.done(), fmt.Errorf("eventstore: replay: %s version %d at position %d: %q: %w: go on after position %d",
					c.Stream, event.Version(), c.Position, event.Type(), err, c.Position-1)
			}
			events++
		}
		t.passed(c.Position, events)
	}
	t.progress.Position = max(t.progress.Position, p.upTo)
	return t.done(), nil
}

// replayed yields the commits of a part of the log, or of one stream within it.
func (l *log) replayed(ctx context.Context, p span, o readOptions) iter.Seq2[*Commit, error] {
	if o.stream == nil {
		return l.within(ctx, p)
	}
	return func(yield func(*Commit, error) bool) {
		if p.empty {
			return
		}
		// The end of the log is also the leader's.
		history, err := l.load(ctx, *o.stream, readOptions{from: o.from, after: p.after, leader: true})
		if err != nil {
			yield(nil, err)
			return
		}
		for _, c := range history.Commits {
			switch {
			case c.begin() > p.upTo:
				return
			case !yield(c, nil):
				return
			}
		}
	}
}
