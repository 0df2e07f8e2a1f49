package aggregate

import (
	"bytes"
	"cmp"
	"context"
	"hash/maphash"
	"slices"

	"github.com/google/uuid"
)

// stripes is how many locks a repository has. Commands on different aggregates that share a lock wait for each other.
const stripes = 1024

// locks let the commands on one aggregate run one at a time, because the commands of one process would otherwise run
// into conflicts with each other. They only save tries. The expected version of each append keeps writes apart.
type locks struct {
	id   uuid.UUID // orders the locks of different repositories
	seed maphash.Seed
	all  [stripes]lock
}

// lock is held while its channel is full.
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

// held are the locks that a command holds.
type held []*lock

// lockAll takes the locks of all operations, always in the same order. It returns the cause of ctx if that ends. It
// appends the locks to memory, as long as they fit.
func lockAll(ctx context.Context, ops []Operation, memory []*lock) (held, error) {
	wanted := memory[:0]
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

// take takes one lock. Most locks are free, so it tries that first.
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
