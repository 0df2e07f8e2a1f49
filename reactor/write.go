package reactor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// One write is under way at a time:
//
//	nextPart -> write -> answer -> settle -> stored ------------------------------> the next one, when it is due
//	                                 |-----> the server is away ------------------> again, after a wait
//	                                 +-----> conflict, or no answer -> resolve --> stored, again, or replaced

// writer writes the checkpoint of a session, and with it what has changed about parked streams.
type writer struct {
	reactor *Reactor
	lanes   *lanes
	parking *parking
	runner  string
	room    int   // how many documents a batch takes beside the checkpoint
	at      stand // the checkpoint in the bucket
	claimed bool  // the watch has given the checkpoint as this session has claimed it, or later
	leaving bool  // a runner that handles more has asked this one to stop

	low       eventstore.Position  // what the checkpoint in the bucket was written for
	writing   *writePart           // that was sent and has no answer yet, or nil
	doubts    map[string]time.Time // when writes were sent of which no answer came, by their ids
	nextWrite time.Time            // not before; after a write that failed, and for Config.Interval
	failures  int                  // writes in a row that failed
	answers   chan answer
	sending   sync.WaitGroup // the goroutine that sends to answers
}

// known reports whether the session knows all that is parked: all that the watch has found, and all up to the claim,
// which a replica may not have at first. The claim alone would not do, because a wish moves the document that it
// changes after the claim.
func (w *writer) known() bool { return w.parking.synced && w.claimed }

// note takes in a checkpoint that the watch has found. Others change the one of this session to announce a release, or
// to ask it to stop.
func (w *writer) note(change kv.Change[document]) error {
	if change.Revision < w.at.revision {
		return nil
	}
	if change.Deleted {
		return w.reactor.deleted()
	}
	now, err := w.reactor.standOf(change.Entry)
	if err != nil {
		return err
	}
	if now.Runner != w.runner {
		return errReplaced
	}
	w.claimed = true
	if now.revision > w.at.revision {
		w.adopt(now)
	}
	return nil
}

// writeAt is when the next write is due.
func (w *writer) writeAt() time.Time {
	at := w.at.written.Add(w.reactor.cfg.Heartbeat)
	changed := len(w.parking.dirty) > 0 || len(w.parking.discarded) > 0 || w.lanes.log.mark().position != w.low
	switch {
	case w.writing != nil:
		return time.Now().Add(w.reactor.cfg.Heartbeat) // its answer comes first
	case changed, at.Before(w.nextWrite):
		return w.nextWrite
	}
	return at
}

// writePart is one batch: records, then documents of lanes, then the checkpoint.
type writePart struct {
	batch      *kv.Batch[document]
	begun      time.Time
	records    int     // of parking.discarded
	lanes      []*lane // whose documents it writes
	clean      []*lane // of which the bucket has nothing, and need not have
	low        eventstore.Position
	checkpoint checkpoint
	more       bool // it could not take all, so the checkpoint must stay
}

// nextPart collects what is to be written. If the id is "", the last part says that nobody runs any more.
func (w *writer) nextPart(id string) *writePart {
	r := w.reactor
	p := &writePart{batch: r.documents.Batch(), begun: time.Now(), low: w.low}
	w.parking.fill(p, w.room)
	p.checkpoint = w.at.checkpoint
	w.describe(&p.checkpoint)
	if !p.more {
		low := w.lanes.log.mark()
		p.low, p.checkpoint = low.position, p.checkpoint.reached(low)
		if id == "" {
			p.checkpoint = p.checkpoint.stopped(logMark{w.lanes.log.frontier, w.lanes.log.last}, w.lanes.open())
		}
	}
	next := p.checkpoint
	p.batch.Update(r.key(checkpointName), document{Checkpoint: &next}, w.at.revision)
	return p
}

// describe fills in what others see of the session.
func (w *writer) describe(c *checkpoint) {
	c.Runner, c.For, c.Write = w.runner, w.reactor.lease(), uuid.NewString()
	c.UnderWay, c.Held = w.lanes.log.pending, w.lanes.heldBy()
	if w.known() {
		c.Parked = len(w.parking.parked)
	}
	if len(w.parking.passed) > 0 {
		*c = c.without(w.parking.passed)
	}
}

// answer is what became of a write.
type answer struct {
	part     *writePart
	revision uint64
	err      error
}

// write sends a part. The answer comes on w.answers.
func (w *writer) write(ctx context.Context, part *writePart) {
	w.writing = part
	w.sending.Go(func() {
		revision, err := part.batch.Commit(ctx)
		w.answers <- answer{part, revision, err}
	})
}

// settle takes in the answer of a write. Without the server it leaves what was not written to a later write. It
// returns errReplaced if another instance has taken over.
func (w *writer) settle(ctx context.Context, a answer) error {
	w.writing = nil
	if a.err == nil {
		w.stored(a.part, a.revision)
		return nil
	}
	w.parking.unwritten(a.part)
	switch {
	case errors.Is(a.err, kv.ErrConflict), errors.Is(a.err, kv.ErrUnknownOutcome), errors.Is(a.err, context.Canceled):
		w.doubts[a.part.checkpoint.Write] = a.part.begun
		return w.resolve(ctx, a.part, a.err)
	case away(a.err):
		w.writeLater(ctx, a.err)
		return nil
	}
	return fmt.Errorf("write the checkpoint: %w", a.err)
}

// stored notes that a part is in the bucket.
func (w *writer) stored(p *writePart, revision uint64) {
	w.at = stand{checkpoint: p.checkpoint, revision: revision, written: p.begun}
	w.reactor.pace.Store(int64(time.Since(p.begun)))
	w.low, w.failures = p.low, 0
	clear(w.doubts)
	w.parking.stored(p, revision)
	w.nextWrite = p.begun.Add(w.reactor.cfg.Interval)
	if p.more {
		w.nextWrite = time.Time{}
	}
}

// resolve finds out why a part was not stored, or whether it was: the checkpoint in the bucket says whose it is. If
// it is this session's, a wish or an announcement came between, or an answer was lost. Then the session takes in what
// the bucket has, and writes again at once. A write without an answer may still arrive, and then the next one is a
// conflict.
func (w *writer) resolve(ctx context.Context, p *writePart, cause error) error {
	now, err := w.reactor.read(ctx)
	switch {
	case away(err):
		w.writeLater(ctx, err)
		return nil
	case err != nil:
		return fmt.Errorf("read the checkpoint: %w", err)
	case now.Runner != w.runner:
		return fmt.Errorf("%w: %w", errReplaced, cause)
	case now.revision < w.at.revision:
		// A power cut took the bucket's tail. The bucket is as it was at an earlier time, so the session begins again
		// from there.
		return fmt.Errorf("%w: the bucket went backwards: %w", errReplaced, cause)
	}
	w.adopt(now)
	for _, l := range p.lanes {
		err := w.parking.reread(ctx, l)
		if away(err) {
			w.writeLater(ctx, err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a parked stream: %w", err)
		}
	}
	w.nextWrite = time.Time{}
	return nil
}

// adopt takes in a checkpoint of this session that others have changed, or that a write without an answer has stored.
func (w *writer) adopt(now stand) {
	now.written = w.at.written
	if begun, ok := w.doubts[now.Write]; ok {
		now.written = begun
		w.reactor.pace.Store(int64(time.Since(begun)))
		clear(w.doubts)
	}
	w.at = now
	w.leaving = w.leaving || now.Next != ""
}

// away reports whether the server is away for a while, and not closed to this reactor by its owner.
func away(err error) bool { return errors.Is(err, kv.ErrUnavailable) && runner.Passing(err) }

// writeLater spaces writes while the server is away.
func (w *writer) writeLater(ctx context.Context, err error) {
	w.failures++
	wait := runner.Restarts.Delay(w.failures)
	w.nextWrite = time.Now().Add(wait)
	w.reactor.logger.WarnContext(ctx, "reactor: cannot write its checkpoint", "again in", wait, "error", err)
}

// releaseTime bounds the last write of a session. If it fails, the others find out by the silence.
const releaseTime = 5 * time.Second

// release writes what was done up to now and that nobody runs, so that another instance need not wait.
func (w *writer) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if w.writing != nil {
		if err := w.settle(ctx, <-w.answers); err != nil {
			return err
		}
	}
	for w.failures = 0; w.at.Runner != "" && w.failures == 0; {
		w.write(ctx, w.nextPart(""))
		if err := w.settle(ctx, <-w.answers); err != nil {
			return err
		}
	}
	return nil
}
