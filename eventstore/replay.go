package eventstore

import (
	"context"
	"iter"
)

// OfStream makes [Store.Replay] read one stream only, as its leader holds it.
func OfStream(stream StreamID) ReadOption { return func(o *readOptions) { o.stream = &stream } }

// OnProgress makes [Store.Replay] call a function about four times a second, and once at the end. It is called between two
// events, by the goroutine that replays.
func OnProgress(report func(Progress)) ReadOption {
	return func(o *readOptions) { o.progress = report }
}

// Replay calls f with each event of a part of the log, in the order of their positions: all of it, or what is left by
// [After], [FromTime], [Until], [OfStream] with [From], [Categories] and [Types]. It ends at what was the log's end when it
// began. Nothing is written, no view and no checkpoint is touched. Progress counts the events that f was called with; its
// Position also moves over what was passed over.
//
// When f fails, Replay ends with a [ReplayError]. On other failures it returns what [Store.All], or [Store.Stream] for one
// stream, yields. The Progress is valid in any case: a replay with After(progress.Position) goes on with the first commit
// that f did not take to its end.
func (s *Store) Replay(ctx context.Context, f func(Recorded) error, options ...ReadOption) (Progress, error) {
	o := readOptionsOf(options)
	o.live, o.backwards = false, false
	p, err := s.spanOf(ctx, o)
	if err != nil {
		return Progress{}, err
	}
	t := newTracker(p.upTo, o.progress)
	t.progress.Begin, t.progress.Position = p.after, p.after
	picker := s.pickerOf(o)
	for c, err := range s.replayed(ctx, p, o) {
		if err != nil {
			return t.done(), err
		}
		events := 0
		for event := range picker.pick(c) {
			if err := f(event); err != nil {
				return t.done(), &ReplayError{
					Stream: c.Stream, Version: event.Version(), Position: c.Position, Type: event.Type(), Err: err,
				}
			}
			events++
		}
		t.passed(c.Position, events)
	}
	t.progress.Position = max(t.progress.Position, p.upTo)
	return t.done(), nil
}

// replayed yields the commits of a part of the log, or of those the ones of a single stream.
func (s *Store) replayed(ctx context.Context, p span, o readOptions) iter.Seq2[*Commit, error] {
	if o.stream == nil {
		return s.within(ctx, p)
	}
	return func(yield func(*Commit, error) bool) {
		if p.empty {
			return
		}
		// The end of the log is the leader's too.
		history, err := s.Load(ctx, *o.stream, From(o.from), After(p.after), Leader())
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
