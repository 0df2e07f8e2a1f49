package aggregate

import (
	"bytes"
	"cmp"
	"context"
	"hash/maphash"
	"slices"

	"github.com/google/uuid"
)

// stripes is how many locks a repository has. Commands on different aggregates wait for each other when they share one.
const stripes = 1024

// locks let the commands on one aggregate run one at a time, because those of one process would else race each other to
// conflicts. They are an economy: what keeps writes apart is the expectation of each append.
type locks struct {
	id   uuid.UUID // orders the locks of different repositories
	seed maphash.Seed
	all  [stripes]lock
}

// lock is held by whoever has put its token in.
type lock struct {
	owner *locks
	index int
	held  chan struct{}
}

func newLocks(id uuid.UUID) *locks {
	l := &locks{id: id, seed: maphash.MakeSeed()}
	for i := range l.all {
		l.all[i] = lock{owner: l, index: i, held: make(chan struct{}, 1)}
	}
	return l
}

func (l *locks) of(id string) *lock {
	return &l.all[maphash.String(l.seed, id)%stripes]
}

// held are locks that were taken.
type held []*lock

// lockAll takes the locks of all operations, always in the same order. It fails with the cause of ctx. The locks stand in room
// where they fit.
func lockAll(ctx context.Context, ops []Operation, room []*lock) (held, error) {
	wanted := room[:0]
	for _, op := range ops {
		wanted = append(wanted, op.lock())
	}
	slices.SortFunc(wanted, func(a, b *lock) int {
		return cmp.Or(bytes.Compare(a.owner.id[:], b.owner.id[:]), cmp.Compare(a.index, b.index))
	})
	wanted = slices.Compact(wanted)
	for i, l := range wanted {
		if err := l.take(ctx); err != nil {
			held(wanted[:i]).unlock()
			return nil, err
		}
	}
	return wanted, nil
}

// take takes one lock. Most are free.
func (l *lock) take(ctx context.Context) error {
	select {
	case l.held <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.held <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// unlock releases the locks.
func (h held) unlock() {
	for _, l := range h {
		<-l.held
	}
}
