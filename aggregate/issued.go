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

// earlier is what the search beyond the window has come to.
type earlier struct {
	searched eventstore.Position // up to where
	found    *snapshot.Key
}

// checkIssued refuses a position that cannot have been there before the command was issued.
func (op *Op[S, E]) checkIssued(ctx context.Context) error {
	issued := op.options.issuedAt
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
// remembered. What comes after the search is remembered, or behind it for the next try to search.
func (op *Op[S, E]) search(ctx context.Context) error {
	if op.options.issuedAt == nil || op.earlier.found != nil {
		return nil
	}
	after := max(*op.options.issuedAt, op.earlier.searched)
	if op.entry.remembers(after, op.repository.cfg.keyWindow()) {
		return nil
	}
	history, err := op.repository.store.Load(ctx, op.streamID(), eventstore.After(after), eventstore.Leader())
	if err != nil {
		return err
	}
	for _, c := range history.Commits {
		if c.Key == op.options.key {
			found := keyOf(c, 0) // its number is not known, and of no interest
			op.earlier.found = &found
			return nil
		}
	}
	op.earlier.searched = history.Head.Position
	return nil
}

// before gives the commit in which the operation was done before.
func (op *Op[S, E]) before() (snapshot.Key, bool) {
	if op.earlier.found != nil {
		return *op.earlier.found, true
	}
	return op.entry.find(op.options.key)
}
