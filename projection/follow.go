package projection

import (
	"context"
	"sync"
	"time"

	"github.com/runnel-go/runnel/eventstore"
)

// readAhead is how many commits, or transactions, are read from the log while others are folded and written.
const readAhead = 1024

// follower reads the log on a goroutine of its own, so that a batch can be gathered for as long as more is there.
type follower struct {
	groups chan []*eventstore.Commit // commits; a transaction's commits come together
	err    error                     // why groups was closed; read after
	cancel context.CancelFunc
	reader sync.WaitGroup
}

// follow begins to read behind a position. The caller stops it.
func follow(ctx context.Context, store *eventstore.Store, after eventstore.Position) *follower {
	ctx, cancel := context.WithCancel(ctx)
	f := &follower{groups: make(chan []*eventstore.Commit, readAhead), cancel: cancel}
	f.reader.Go(func() {
		defer close(f.groups)
		f.err = f.read(ctx, store, after)
	})
	return f
}

func (f *follower) read(ctx context.Context, store *eventstore.Store, after eventstore.Position) error {
	var group []*eventstore.Commit
	for c, err := range store.Log(ctx, eventstore.After(after), eventstore.Live()) {
		if err != nil {
			return err
		}
		group = append(group, c)
		if !c.Whole() {
			continue
		}
		select {
		case f.groups <- group:
			group = nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return context.Cause(ctx)
}

// stop ends the reader and waits for it.
func (f *follower) stop() {
	f.cancel()
	f.reader.Wait()
}

// gather appends groups as they come, until there are enough to be folded at once. Once full fires, the batch is
// due: then it appends what is there already, and waits no more.
func (f *follower) gather(ctx context.Context, groups [][]*eventstore.Commit, full <-chan time.Time) (_ [][]*eventstore.Commit, due bool, err error) {
	for len(groups) < groupsAtOnce {
		group, err := f.nextBefore(ctx, full)
		if err != nil {
			return nil, false, err
		}
		if group == nil {
			return append(groups, f.ready()...), true, nil
		}
		groups = append(groups, group)
	}
	return groups, false, nil
}

// nextBefore returns the next group if it comes before full fires, or nil.
func (f *follower) nextBefore(ctx context.Context, full <-chan time.Time) ([]*eventstore.Commit, error) {
	select {
	case <-full:
		return nil, nil
	default:
	}
	select {
	case group, ok := <-f.groups:
		if !ok {
			return nil, f.err
		}
		return group, nil
	case <-full:
		return nil, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ready returns the groups that are there already, without waiting.
func (f *follower) ready() (groups [][]*eventstore.Commit) {
	for len(groups) < readAhead {
		select {
		case group, ok := <-f.groups:
			if !ok {
				return groups // nextBefore says why
			}
			groups = append(groups, group)
		default:
			return groups
		}
	}
	return groups
}
