package aggregate

import (
	"context"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/snapshots"
)

// issuedAt returns the position in the repository's store after which the command was issued, or nil if it has none.
func (op *Op[S, E]) issuedAt() *eventstore.Position {
	o := op.options
	if o.issuedAt != nil && o.issuedIn != "" && o.issuedIn != op.repository.store.Identity() {
		return new(eventstore.Position) // the start, because no position of this log is known
	}
	return o.issuedAt
}

// checkIssued refuses a position that the log does not have yet: the command was issued after it.
func (op *Op[S, E]) checkIssued(ctx context.Context) error {
	issued := op.issuedAt()
	if issued == nil {
		return nil
	}
	reached, err := eventstore.Inside(inside.Pass{}, op.repository.store).Reaches(ctx, uint64(*issued))
	if err == nil && !reached {
		err = fmt.Errorf("aggregate: %s: issued at position %d: %w: give a position that was in the log before the command was first issued",
			op.streamID(), *issued, eventstore.ErrPositionAhead)
	}
	return err
}

// search reads the commits after the position at which the command was issued, unless all their keys are remembered.
// It runs whenever there are new commits, because there may be more than are remembered.
func (op *Op[S, E]) search(ctx context.Context) error {
	issued := op.issuedAt()
	if issued == nil || op.earlier != nil || op.entry.keys.remembers(*issued) {
		return nil
	}
	for recorded, err := range op.repository.store.Stream(ctx, op.streamID(), eventstore.After(*issued), eventstore.Leader()) {
		if err != nil {
			return err
		}
		if recorded.Index > 0 {
			continue // its commit was searched with the first event
		}
		if err := op.searchIn(recorded.Commit); err != nil {
			return err
		}
	}
	return nil
}

// searchIn looks for the command's key in one commit. The newest commit with the key counts, because it may close it.
func (op *Op[S, E]) searchIn(c *eventstore.Commit) error {
	closed, err := closedBy(c)
	if err != nil {
		return err
	}
	var found snapshots.Key // the commit's number is not known here, and not used
	if c.Key == op.options.key {
		found = keyOf(c, 0)
	}
	for _, key := range closed {
		if key == op.options.key || below(op.options.key, key) {
			found = closedKey(key, c, 0)
		}
	}
	if found.Key != "" {
		op.earlier = &found
	}
	return nil
}

// before returns the earlier use of the command's key, or its closing.
func (op *Op[S, E]) before() (snapshots.Key, bool) {
	if op.earlier != nil {
		return *op.earlier, true
	}
	return op.entry.keys.find(op.options.key)
}
