package runner

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
)

// Mark says at which commit of which log a checkpoint stands. Position 0 is before the first commit.
type Mark struct {
	Store    string // the store's identity
	Position eventstore.Position
	Commit   string // the id of the commit at Position
}

// Verify compares a checkpoint with the log. It returns an error that matches ErrOtherStore if the checkpoint
// is of another store. The error matches eventstore.ErrLogRewound if the log holds another commit there, or
// none. Anew is advice for the error text: how to begin without the checkpoint. An erased commit keeps its id,
// so it is compared like any other.
func Verify(ctx context.Context, store *eventstore.Store, at Mark, anew string) error {
	if at.Store != store.Identity() {
		return fmt.Errorf("%w: it is of %s, the store %s is %s: connect to the other store, or %s",
			ErrOtherStore, at.Store, store.Name(), store.Identity(), anew)
	}
	if at.Position == 0 {
		return nil
	}
	c, err := store.At(ctx, at.Position)
	if err == nil && c == nil && !eventstore.Inside(inside.Pass{}, store).Lacks(ctx, uint64(at.Position)) {
		c, err = store.At(ctx, at.Position) // a new leader of the log has caught up
	}
	erased, ok := errors.AsType[*eventstore.ReadError](err)
	found := ""
	switch {
	case ok && errors.Is(err, eventstore.ErrErased):
		found = erased.CommitID
	case err != nil:
		return Unavailable(err)
	case c != nil:
		found = c.ID.String()
	}
	if found != at.Commit {
		return fmt.Errorf("%w: the checkpoint is at position %d, commit %s, which the log lacks: restore the log, or %s",
			eventstore.ErrLogRewound, at.Position, at.Commit, anew)
	}
	return nil
}
