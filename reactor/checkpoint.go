package reactor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// checkpoint says up to where every event was handled, parked or discarded, and who runs.
type checkpoint struct {
	Store    string              `json:"store"` // its identity
	Position eventstore.Position `json:"position"`
	Commit   string              `json:"commit"`   // the id of the commit there
	Runner   string              `json:"runner"`   // "" for none
	UnderWay int                 `json:"underWay"` // events that were read and not handled yet
	Parked   int                 `json:"parked"`   // streams
	Held     map[string]int      `json:"held,omitempty"`
}

// stand is a checkpoint, the revision it has in the bucket, and a time before it was written.
type stand struct {
	checkpoint
	revision uint64
	written  time.Time
}

// logMark is a place in the log where a checkpoint may stand.
type logMark struct {
	position eventstore.Position
	commit   uuid.UUID
}

func (m logMark) commitID() string {
	if m.position == 0 {
		return ""
	}
	return m.commit.String()
}

// mark gives the place of the checkpoint.
func (c checkpoint) mark() (logMark, error) {
	if c.Position == 0 {
		return logMark{}, nil
	}
	id, err := uuid.Parse(c.Commit)
	if err != nil {
		return logMark{}, fmt.Errorf("the checkpoint's commit %q is none: %w", c.Commit, err)
	}
	return logMark{c.Position, id}, nil
}

// begin stores the first checkpoint where there is none.
func (r *Reactor) begin(ctx context.Context) error {
	_, err := r.checkpoint.GetLeader(ctx)
	if !errors.Is(err, kv.ErrNotFound) {
		return err
	}
	_, err = r.documents.GetLeader(ctx, runnerKey)
	if err == nil {
		return fmt.Errorf("%w: it has run before, and its checkpoint is gone: delete the bucket %s and say where to begin", ErrInvalid, r.Bucket())
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
	if after > end {
		return fmt.Errorf("%w: it is to begin at position %d, the log ends at %d", ErrPositionAhead, r.cfg.From, end)
	}
	at, err := r.markBefore(ctx, after)
	if err != nil {
		return err
	}
	_, err = r.checkpoint.Update(ctx, checkpoint{Store: r.store.Identity(), Position: at.position, Commit: at.commitID()}, 0)
	if errors.Is(err, kv.ErrConflict) {
		return nil // another instance was first
	}
	return err
}

// markBefore gives the last place at or before a position where a checkpoint may stand: not inside a transaction.
func (r *Reactor) markBefore(ctx context.Context, position eventstore.Position) (logMark, error) {
	for position > 0 {
		c, err := r.store.At(ctx, position)
		var erased *eventstore.ErasedError
		switch {
		case errors.As(err, &erased): // whether it was inside a transaction is not known
			position--
		case err != nil:
			return logMark{}, err
		case c == nil:
			return logMark{}, fmt.Errorf("%w: the log ends before position %d", ErrLogRewound, position)
		case c.Whole():
			return logMark{position, c.ID}, nil
		default:
			position -= eventstore.Position(c.Transaction.Index) + 1
		}
	}
	return logMark{}, nil
}

// verify refuses a checkpoint that was not made from this log as it is.
func (r *Reactor) verify(ctx context.Context, at checkpoint) error {
	mark := runner.Mark{Store: at.Store, Position: at.Position, Commit: at.Commit}
	return runner.Verify(ctx, r.store, mark, "delete the bucket "+r.Bucket())
}
