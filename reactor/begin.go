package reactor

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// read reads the checkpoint from the bucket's leader. It returns kv.ErrNotFound if there is none.
func (r *Reactor) read(ctx context.Context) (stand, error) {
	entry, err := r.documents.GetLeader(ctx, r.key(checkpointName))
	if err != nil {
		return stand{}, err
	}
	return r.standOf(entry)
}

func (r *Reactor) standOf(entry kv.Entry[document]) (stand, error) {
	if entry.Value.Checkpoint == nil {
		return stand{}, fmt.Errorf("%w: key %s of bucket %s is not a checkpoint: %s", ErrInvalid, entry.Key, r.documents.Name(), r.anew())
	}
	return stand{checkpoint: *entry.Value.Checkpoint, revision: entry.Revision}, nil
}

// deleted is the error for a checkpoint that somebody has deleted.
func (r *Reactor) deleted() error {
	return fmt.Errorf("%w: its checkpoint was deleted: restore it; %s", ErrInvalid, r.anew())
}

// anew says how to begin without what the reactor has stored.
func (r *Reactor) anew() string {
	bucket := r.documents.Name()
	return fmt.Sprintf("to begin anew, stop the reactor and run nats stream purge KV_%s --subject='$KV.%s.%s>'", bucket, bucket, r.key(""))
}

// begin stores the first checkpoint if there is none, and announces the reactor's types if there is one.
func (r *Reactor) begin(ctx context.Context) error {
	_, err := r.read(ctx)
	if errors.Is(err, kv.ErrNotFound) {
		err = r.create(ctx)
	}
	if err != nil {
		return err
	}
	return r.announce(ctx)
}

func (r *Reactor) create(ctx context.Context) error {
	_, err := r.documents.GetLeader(ctx, r.key(begunName))
	if err == nil {
		// Another instance may have stored both since the checkpoint was looked for.
		if _, err = r.read(ctx); errors.Is(err, kv.ErrNotFound) {
			return fmt.Errorf("%w: it has run before, and its checkpoint is gone: restore it; %s", ErrInvalid, r.anew())
		}
		return err
	}
	if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	end, err := r.store.End(ctx)
	if err != nil {
		return err
	}
	after := end
	if r.cfg.From > 0 {
		after = r.cfg.From - 1
	}
	// Another program's message may stand after the newest commit, so the log may go on beyond its end.
	reached, err := eventstore.Inside(inside.Pass{}, r.store).Reaches(ctx, uint64(after))
	if err != nil {
		return err
	}
	if !reached {
		return fmt.Errorf("%w: it is to begin at position %d, the log ends at %d", eventstore.ErrPositionAhead, r.cfg.From, end)
	}
	at, err := r.markBefore(ctx, after)
	if err != nil {
		return err
	}
	first := checkpoint{
		Store: r.store.Identity(), Position: at.position, Commit: at.commitID(), Types: r.types, Write: uuid.NewString(),
	}
	batch := r.documents.Batch()
	batch.Create(r.key(begunName), document{State: stateBegun})
	batch.Create(r.key(checkpointName), document{Checkpoint: &first})
	_, err = batch.Commit(ctx)
	if errors.Is(err, kv.ErrConflict) {
		return nil // another instance was first
	}
	return err
}

// markBefore returns the last place at or before a position where a checkpoint may stand: not inside a transaction.
func (r *Reactor) markBefore(ctx context.Context, position eventstore.Position) (logMark, error) {
	for position > 0 {
		c, err := r.store.At(ctx, position)
		switch {
		case errors.Is(err, eventstore.ErrErased), // it is not known whether the commit was inside a transaction
			errors.Is(err, eventstore.ErrForeign):
			position--
		case err != nil:
			return logMark{}, err
		case c == nil:
			return logMark{}, fmt.Errorf("%w: the log ends before position %d", eventstore.ErrLogRewound, position)
		case c.Whole():
			return logMark{position, c.ID}, nil
		default:
			position -= eventstore.Position(c.Transaction.Index) + 1
		}
	}
	return logMark{}, nil
}

// announce writes into the checkpoint which types this release wants from now on. The instance that runs keeps that
// there, so no later event is passed over, however long another release runs.
func (r *Reactor) announce(ctx context.Context) error {
	end, err := r.store.End(ctx)
	if err != nil {
		return err
	}
	return runner.Restarts.Retry(ctx, runner.Unsettled, func() error {
		at, err := r.read(ctx)
		if err != nil {
			return err
		}
		if at.Store != r.store.Identity() {
			return r.verify(ctx, at.checkpoint)
		}
		next, added := at.announce(r.types, end)
		if !added {
			return nil
		}
		id, err := r.idAt(ctx, end)
		if err != nil {
			return err
		}
		next = next.raised(end, id)
		next.Write = uuid.NewString()
		_, err = r.documents.Update(ctx, r.key(checkpointName), document{Checkpoint: &next}, at.revision)
		return err
	})
}

// verify refuses a checkpoint that was not made from this log as it is.
func (r *Reactor) verify(ctx context.Context, at checkpoint) error {
	mark := runner.Mark{Store: at.Store, Position: at.Position, Commit: at.Commit}
	return runner.Verify(ctx, r.store, mark, r.anew())
}

// sound returns what holds of a checkpoint in the log as it is. If the log has lost commits after the checkpoint's
// position, and an operator has accepted that, other commits may have their positions.
func (r *Reactor) sound(ctx context.Context, at checkpoint) (checkpoint, error) {
	if err := r.verify(ctx, at); err != nil || at.Top == nil {
		return at, err
	}
	err := r.verify(ctx, checkpoint{Store: at.Store, Position: at.Top.Position, Commit: at.Top.Commit})
	if !errors.Is(err, eventstore.ErrLogRewound) {
		return at, err
	}
	r.logger.WarnContext(ctx, "reactor: the log has lost commits that were handled: what was handled after the checkpoint is repeated",
		"position", at.Position, "lost", at.Top.Position)
	return at.lowered(), nil
}

// idAt returns the id of the commit at a position, also of an erased one, or "" if there is none.
func (r *Reactor) idAt(ctx context.Context, position eventstore.Position) (string, error) {
	if position == 0 {
		return "", nil
	}
	c, err := r.store.At(ctx, position)
	erased, ok := errors.AsType[*eventstore.ReadError](err)
	switch {
	case ok && errors.Is(err, eventstore.ErrErased):
		return erased.CommitID, nil
	case err != nil || c == nil:
		return "", err
	}
	return c.ID.String(), nil
}
