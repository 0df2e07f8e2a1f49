package aggregate

import (
	"context"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/snapshot"
)

// IssuedAt makes the search for a command's [Key] exact, however many commits came since: the caller names a position of
// the log that it knows was there before it first issued the command, such as that of the commit that led to it, and the
// stream is searched back to there. The commits that [Config.KeyWindow] does not reach are read from the log for it.
//
// A position that the log does not have yet is refused with an error that matches ErrPositionAhead, and one without a key
// with ErrInvalidCommand.
func IssuedAt(position eventstore.Position) Option {
	return func(o *options) { o.issuedAt = &position }
}

// issuedAt returns the position in the repository's store behind which the command was issued, or nil if none was named.
func (op *Op[S, E]) issuedAt() *eventstore.Position {
	o := op.options
	if o.issuedAt != nil && o.issuedIn != "" && o.issuedIn != op.repository.store.Identity() {
		return new(eventstore.Position) // the begin: no position of this log is known
	}
	return o.issuedAt
}

// checkIssued refuses a position that cannot have been there before the command was issued.
func (op *Op[S, E]) checkIssued(ctx context.Context) error {
	issued := op.issuedAt()
	if issued == nil {
		return nil
	}
	if op.options.key == "" {
		return fmt.Errorf("aggregate: %s: %w: IssuedAt needs a Key to look for", op.streamID(), ErrInvalidCommand)
	}
	reached, err := op.repository.store.Reaches(ctx, *issued)
	if err == nil && !reached {
		err = fmt.Errorf("aggregate: %s: issued at position %d: %w: give a position that was in the log before the command was first issued",
			op.streamID(), *issued, ErrPositionAhead)
	}
	return err
}

// search reads the commits behind the position at which the command was issued, unless the keys of all of them are
// remembered. It comes before each try, since a conflict may bring more than is remembered.
func (op *Op[S, E]) search(ctx context.Context) error {
	issued := op.issuedAt()
	if issued == nil || op.earlier != nil || op.entry.remembers(*issued, op.repository.cfg.keyWindow()) {
		return nil
	}
	for recorded, err := range op.repository.store.Stream(ctx, op.streamID(), eventstore.After(*issued), eventstore.Leader()) {
		if err != nil {
			return err
		}
		if recorded.Index > 0 {
			continue // of a commit that was looked at
		}
		if err := op.searchIn(recorded.Commit); err != nil {
			return err
		}
	}
	return nil
}

// searchIn looks for the command's key in one commit. The newest that has it counts, since it may close it.
func (op *Op[S, E]) searchIn(c *eventstore.Commit) error {
	closed, err := closedBy(c)
	if err != nil {
		return err
	}
	key := op.options.key
	found := entry[S]{}
	if c.Key == key {
		found.keys = append(found.keys, keyOf(c, 0)) // its number is not known, and of no interest
	}
	for _, one := range closed {
		found.keys = append(found.keys, closedKey(one, c, 0))
	}
	if k, ok := found.find(key); ok {
		op.earlier = &k
	}
	return nil
}

// before gives the commit in which the operation was done before.
func (op *Op[S, E]) before() (snapshot.Key, bool) {
	if op.earlier != nil {
		return *op.earlier, true
	}
	return op.entry.find(op.options.key)
}
