package projection

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// reactorCheckpoint says up to where every event was handled, parked or discarded, and who runs.
type reactorCheckpoint struct {
	Store    string              `json:"store"` // its identity
	Position eventstore.Position `json:"position"`
	Commit   string              `json:"commit"`   // the id of the commit there
	Runner   string              `json:"runner"`   // "" for none
	UnderWay int                 `json:"underWay"` // events that were read and not handled yet
	Parked   int                 `json:"parked"`   // streams
	Held     map[string]int      `json:"held,omitempty"`
}

// reactorStand is a checkpoint, the revision it has in the bucket, and a time before it was written.
type reactorStand struct {
	reactorCheckpoint
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
func (c reactorCheckpoint) mark() (logMark, error) {
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
		return fmt.Errorf("%w: it has run before, and its checkpoint is gone: delete the bucket %s and say where to begin", ErrInvalidReactor, r.Bucket())
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
	_, err = r.checkpoint.Update(ctx, reactorCheckpoint{Store: r.store.Identity(), Position: at.position, Commit: at.commitID()}, 0)
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
func (r *Reactor) verify(ctx context.Context, at reactorCheckpoint) error {
	if at.Store != r.store.Identity() {
		return fmt.Errorf("%w: it is of %s, the store %s is %s: delete the bucket %s, or connect to the other store",
			ErrOtherStore, at.Store, r.store.Name(), r.store.Identity(), r.Bucket())
	}
	if at.Position == 0 {
		return nil
	}
	c, err := r.store.At(ctx, at.Position)
	var erased *eventstore.ErasedError
	id := ""
	switch {
	case errors.As(err, &erased):
		id = erased.CommitID
	case err != nil:
		return err
	case c != nil:
		id = c.ID.String()
	}
	if id != at.Commit {
		return fmt.Errorf("%w: the checkpoint is at position %d, commit %s, which the log lacks: restore the log, or delete the bucket %s",
			ErrLogRewound, at.Position, at.Commit, r.Bucket())
	}
	return nil
}

// standBy blocks until this instance is the one that runs:
//
//	checkpoint without a runner ---------------------------------------------------> claim -> verify
//	checkpoint of another -> watch it -> no new one for 2 to 2.5 heartbeats -------> claim -> verify
//	                         ^   |  |                                                  |
//	                         +---+  +-> one without a runner -> claim                  +-> conflict: watch on
//
// The other stops by itself to begin reactions 2 heartbeats after its last write, by its own clock.
func (r *Reactor) standBy(ctx context.Context, runner string) (reactorStand, error) {
	changes := source(ctx, r.checkpoint.Watch, 0)
	defer changes.stop()
	silence := time.NewTimer(r.silence())
	defer silence.Stop()
	var seen reactorStand
	for {
		var claim bool
		select {
		case change, ok := <-changes.items:
			switch {
			case !ok:
				return seen, changes.err
			case change.Synced:
				continue
			}
			seen = reactorStand{reactorCheckpoint: change.Value, revision: change.Revision}
			claim = seen.Runner == "" && !change.Deleted
			silence.Reset(r.silence())
		case <-silence.C:
			claim = seen.revision > 0
			silence.Reset(r.silence())
		}
		if claim {
			at, won, err := r.claim(ctx, runner, seen)
			if err != nil || won {
				return at, err
			}
		}
	}
}

// silence is how long an instance waits for a sign of the one that runs.
func (r *Reactor) silence() time.Duration {
	return 2*r.cfg.Heartbeat + rand.N(r.cfg.Heartbeat/2)
}

// claim makes this instance the one that runs, where nobody has written the checkpoint since it was seen. The document with
// the runner's name is written with it: who reads that one has seen all that was written before.
func (r *Reactor) claim(ctx context.Context, runner string, seen reactorStand) (at reactorStand, won bool, err error) {
	if err := r.verify(ctx, seen.reactorCheckpoint); err != nil {
		return at, false, err
	}
	at = seen
	at.Runner, at.written = runner, time.Now()
	batch := r.documents.Batch()
	batch.Put(runnerKey, reactorDocument{State: stateRunner, Runner: runner})
	r.checkpoint.UpdateIn(batch, at.reactorCheckpoint, seen.revision)
	at.revision, err = batch.Commit(ctx)
	switch {
	case errors.Is(err, kv.ErrConflict), errors.Is(err, kv.ErrUnavailable):
		return at, false, nil
	case errors.Is(err, kv.ErrUnknownOutcome):
		return r.claimed(ctx, at)
	}
	return at, err == nil, err
}

// claimed finds out what became of a claim without an answer. One that is not stored yet may still come; then nobody runs
// until the others take that for silence.
func (r *Reactor) claimed(ctx context.Context, at reactorStand) (reactorStand, bool, error) {
	now, err := r.checkpoint.GetLeader(ctx)
	won := err == nil && now.Value.Runner == at.Runner
	at.revision = now.Revision
	return at, won, nil
}
