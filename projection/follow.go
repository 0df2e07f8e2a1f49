package projection

import (
	"context"
	"iter"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
)

const (
	// readAhead is how many transactions are read from the log while others are folded and written.
	readAhead = 1024
	// groupsAtOnce is how many transactions are folded at once by what has no other reason to fold fewer. It makes the
	// price of the guard small.
	groupsAtOnce = 64
)

// transactions yields the commits of a log up to a position: all commits of a transaction together, and any other
// commit alone. Position 0 means no bound.
func transactions(log iter.Seq2[*eventstore.Commit, error], upTo eventstore.Position) iter.Seq2[[]*eventstore.Commit, error] {
	return func(yield func([]*eventstore.Commit, error) bool) {
		var group []*eventstore.Commit
		for c, err := range log {
			if err != nil {
				yield(nil, err)
				return
			}
			if upTo > 0 && c.Position > upTo {
				return
			}
			if group = append(group, c); !c.Whole() {
				continue
			}
			if !yield(group, nil) {
				return
			}
			group = nil
		}
	}
}

// batches yields what transactions yields, many at a time.
func batches(log iter.Seq2[*eventstore.Commit, error], upTo eventstore.Position) iter.Seq2[[][]*eventstore.Commit, error] {
	return func(yield func([][]*eventstore.Commit, error) bool) {
		var groups [][]*eventstore.Commit
		for group, err := range transactions(log, upTo) {
			if err != nil {
				yield(nil, err)
				return
			}
			if groups = append(groups, group); len(groups) < groupsAtOnce {
				continue
			}
			if !yield(groups, nil) {
				return
			}
			groups = nil
		}
		if len(groups) > 0 {
			yield(groups, nil)
		}
	}
}

// follower reads transactions beside other work, so that a batch can be gathered for as long as more is there.
type follower struct {
	*runner.Feed[[]*eventstore.Commit]
}

// follow begins to read after a position. The caller stops it.
func follow(ctx context.Context, store *eventstore.Store, after eventstore.Position) follower {
	return follower{runner.Read(ctx, func(ctx context.Context) iter.Seq2[[]*eventstore.Commit, error] {
		return transactions(store.Log(ctx, eventstore.After(after), eventstore.Live()), 0)
	}, readAhead)}
}

// gather appends groups as they come, until there are enough to be folded at once. Once the batch is due, it appends
// what is there already, and waits no more.
func (f follower) gather(ctx context.Context, groups [][]*eventstore.Commit, batch *pace) (_ [][]*eventstore.Commit, due bool, err error) {
	for len(groups) < groupsAtOnce {
		asked := batch.hasCome(groups)
		select {
		case <-batch.due.C:
			return f.ready(groups), true, nil
		default:
		}
		select {
		case group, ok := <-f.Items:
			if !ok {
				return nil, false, f.Err()
			}
			groups = append(groups, group)
		case <-asked:
		case <-batch.due.C:
			return f.ready(groups), true, nil
		case <-ctx.Done():
			return nil, false, context.Cause(ctx)
		}
	}
	return groups, false, nil
}

// ready appends the groups that are there already.
func (f follower) ready(groups [][]*eventstore.Commit) [][]*eventstore.Commit {
	for range len(f.Items) {
		groups = append(groups, <-f.Items)
	}
	return groups
}

// pace says when a batch is due. Under load a batch gathers for an interval. It is due sooner once it has come to a
// position for which a reader of this process waits.
type pace struct {
	progress *progress
	due      *time.Timer
	sooner   time.Time // when the batch is due if a reader waits for it
	written  eventstore.Position
	come     eventstore.Position // where the batch has come to
	hurries  bool                // a reader waits for it
}

// paceBehind returns the pace of a batch after a position. The batch before was written at a time, which is over if
// there was a pause.
func (s *session[V]) paceBehind(before time.Time) *pace {
	cfg := &s.spec.cfg
	return &pace{
		progress: s.progress, due: time.NewTimer(time.Until(before.Add(cfg.Interval))), sooner: before.Add(cfg.hurry()),
		written: s.at.Position,
	}
}

// hasCome takes note of the groups of the batch. The channel is closed when a reader asks for a higher position.
func (p *pace) hasCome(groups [][]*eventstore.Commit) (asked <-chan struct{}) {
	if n := len(groups); n > 0 {
		last := groups[n-1]
		p.come = last[len(last)-1].Position
	}
	wanted, asked := p.progress.wants()
	if !p.hurries && p.written < wanted && wanted <= p.come {
		p.hurries = true
		p.due.Reset(time.Until(p.sooner))
	}
	return asked
}
