package reactor

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// standBy blocks until this instance is the one that runs:
//
//	nobody runs, and the last runner handled no other types ------------------> claim -> verify
//	another runs -> watch the checkpoint -> no write for long enough ---------> claim -> verify
//	                 ^  |                                                         |
//	                 |  +-> it handles less than this one -> ask it to stop       +-> conflict: watch on
//	                 +--------------------------------------------+
//
// An instance that handles less than the last runner does not claim at once, because the newer release may be about
// to start again.
func (r *Reactor) standBy(ctx context.Context, id string) (stand, error) {
	watch := func(ctx context.Context) iter.Seq2[kv.Change[document], error] {
		return r.documents.Watch(ctx, r.key(checkpointName))
	}
	news := runner.Read(ctx, watch, 0)
	defer news.Stop()
	var seen stand
	silence := time.NewTimer(r.silence(seen))
	defer silence.Stop()
	for {
		var claim bool
		select {
		case change, ok := <-news.Items:
			switch {
			case !ok:
				return seen, news.Err()
			case change.Synced:
				continue
			case change.Deleted:
				return seen, r.deleted()
			}
			var err error
			if seen, err = r.standOf(change.Entry); err != nil {
				return seen, err
			}
			claim = seen.free(id, r.types)
			silence.Reset(r.silence(seen))
		case <-silence.C:
			claim = seen.revision > 0
			silence.Reset(r.silence(seen))
		}
		if claim {
			at, won, err := r.claim(ctx, id, seen)
			if err != nil || won {
				return at, err
			}
		} else if err := r.ask(ctx, id, seen); err != nil {
			return seen, err
		}
	}
}

// free reports whether a runner may claim the checkpoint at once: it has run last itself, or nobody runs and no
// release that handles more is about to.
func (c checkpoint) free(id string, types []string) bool {
	if c.Runner == "" {
		return (c.Next == "" || c.Next == id) && c.handlesAll(types)
	}
	return c.Runner == id
}

// silence is how long an instance waits for the next write of the one that runs. The one that runs says how long that
// must be, because its disk may be slow. The disk of this one may be slow as well.
func (r *Reactor) silence(seen stand) time.Duration {
	wait := max(seen.For, r.lease())
	return wait + rand.N(wait/4+1)
}

// longestLease bounds what a slow disk does to the time after which others take over.
const longestLease = time.Minute

// lease is how long others must wait for the next write of this instance.
func (r *Reactor) lease() time.Duration {
	return max(2*r.cfg.Heartbeat, min(4*time.Duration(r.pace.Load()), longestLease))
}

// ask asks the one that runs to stop, if this instance handles more than that one does.
func (r *Reactor) ask(ctx context.Context, id string, seen stand) error {
	if seen.revision == 0 || seen.Runner == "" || seen.Next != "" || !seen.handlesMore(r.types) {
		return nil
	}
	next := seen.checkpoint
	next.Next, next.Write = id, uuid.NewString()
	_, err := r.documents.Update(ctx, r.key(checkpointName), document{Checkpoint: &next}, seen.revision)
	if errors.Is(err, kv.ErrConflict) || errors.Is(err, kv.ErrUnknownOutcome) {
		return nil // it is seen what became of it
	}
	if err == nil {
		r.logger.InfoContext(ctx, "reactor: asked an instance that handles less to stop", "types", seen.Types)
	}
	return err
}

// claim makes this instance the one that runs, if nobody has written the checkpoint since it was seen.
func (r *Reactor) claim(ctx context.Context, id string, seen stand) (at stand, won bool, err error) {
	sound, err := r.sound(ctx, seen.checkpoint)
	if err != nil {
		return at, false, err
	}
	at = stand{checkpoint: sound.takenBy(r.types), written: time.Now()}
	at.Runner, at.Next, at.Write, at.For = id, "", uuid.NewString(), r.lease()
	at.revision, err = r.documents.Update(ctx, r.key(checkpointName), document{Checkpoint: &at.checkpoint}, seen.revision)
	r.pace.Store(int64(time.Since(at.written)))
	switch {
	case errors.Is(err, kv.ErrConflict), errors.Is(err, kv.ErrUnavailable):
		return at, false, nil
	case errors.Is(err, kv.ErrUnknownOutcome):
		return r.claimed(ctx, at)
	}
	return at, err == nil, err
}

// claimed finds out what became of a claim without an answer. A claim that is not stored yet may still be stored
// later. Then nobody runs until the others take that for silence.
func (r *Reactor) claimed(ctx context.Context, at stand) (stand, bool, error) {
	now, err := r.read(ctx)
	won := err == nil && now.Write == at.Write
	at.revision = now.revision
	return at, won, nil
}
