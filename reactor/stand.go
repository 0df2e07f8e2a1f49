package reactor

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// standBy blocks until this instance is the one that runs:
//
//	checkpoint without a runner ---------------------------------------------------> claim -> verify
//	checkpoint of another -> watch it -> no new one for 2 to 2.5 heartbeats -------> claim -> verify
//	                         ^   |  |                                                  |
//	                         +---+  +-> one without a runner -> claim                  +-> conflict: watch on
//
// The other stops by itself to begin reactions 2 heartbeats after its last write, by its own clock.
func (r *Reactor) standBy(ctx context.Context, id string) (stand, error) {
	changes := runner.Read(ctx, r.checkpoint.Watch, 0)
	defer changes.Stop()
	silence := time.NewTimer(r.silence())
	defer silence.Stop()
	var seen stand
	for {
		var claim bool
		select {
		case change, ok := <-changes.Items:
			switch {
			case !ok:
				return seen, changes.Err()
			case change.Synced:
				continue
			}
			seen = stand{checkpoint: change.Value, revision: change.Revision}
			claim = seen.Runner == "" && !change.Deleted
			silence.Reset(r.silence())
		case <-silence.C:
			claim = seen.revision > 0
			silence.Reset(r.silence())
		}
		if claim {
			at, won, err := r.claim(ctx, id, seen)
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

// claim makes this instance the one that runs, where nobody has written the checkpoint since it was seen. The
// document with the runner's name is written with it: who reads that one has seen all that was written before.
func (r *Reactor) claim(ctx context.Context, id string, seen stand) (at stand, won bool, err error) {
	if err := r.verify(ctx, seen.checkpoint); err != nil {
		return at, false, err
	}
	at = seen
	at.Runner, at.written = id, time.Now()
	batch := r.documents.Batch()
	batch.Put(runnerKey, document{State: stateRunner, Runner: id})
	r.checkpoint.UpdateIn(batch, at.checkpoint, seen.revision)
	at.revision, err = batch.Commit(ctx)
	switch {
	case errors.Is(err, kv.ErrConflict), errors.Is(err, kv.ErrUnavailable):
		return at, false, nil
	case errors.Is(err, kv.ErrUnknownOutcome):
		return r.claimed(ctx, at)
	}
	return at, err == nil, err
}

// claimed finds out what became of a claim without an answer. One that is not stored yet may still come; then nobody
// runs until the others take that for silence.
func (r *Reactor) claimed(ctx context.Context, at stand) (stand, bool, error) {
	now, err := r.checkpoint.GetLeader(ctx)
	won := err == nil && now.Value.Runner == at.Runner
	at.revision = now.Revision
	return at, won, nil
}
