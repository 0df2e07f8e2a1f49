package reactor

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// changed reports whether the bucket is behind what the session knows.
func (s *session) changed() bool {
	return len(s.dirty) > 0 || len(s.discarded) > 0 || s.mark().position != s.low
}

func (s *session) writeDue(now time.Time) bool {
	return s.writing == nil && !now.Before(s.writeAt())
}

// writeAt is when the next write is due.
func (s *session) writeAt() time.Time {
	at := s.at.written.Add(s.reactor.cfg.Heartbeat)
	switch {
	case s.writing != nil:
		return time.Now().Add(s.reactor.cfg.Heartbeat) // its answer comes first
	case s.changed(), at.Before(s.nextWrite):
		return s.nextWrite
	}
	return at
}

// writePart is one batch: records, then documents of lanes, then the checkpoint.
type writePart struct {
	batch      *kv.Batch[document]
	begun      time.Time
	records    int     // of s.discarded
	lanes      []*lane // whose documents it writes
	clean      []*lane // of which the bucket has nothing, and need not have
	low        eventstore.Position
	checkpoint checkpoint
	more       bool // it could not take all, so the checkpoint must stay
}

// nextPart collects what is to be written. If the id is "", the last part says that nobody runs any more.
func (s *session) nextPart(id string) *writePart {
	r := s.reactor
	p := &writePart{batch: r.documents.Batch(), begun: time.Now(), low: s.low}
	for p.records < len(s.discarded) && p.batch.Len() < s.room {
		record := s.discarded[p.records]
		p.batch.Put(r.discardedKey(record), record)
		p.records++
	}
	for l := range s.dirty {
		if p.batch.Len() == s.room {
			break
		}
		switch key := r.parkedKey(l.stream); {
		case l.document != nil:
			p.batch.Update(key, *l.document, l.revision)
			p.lanes = append(p.lanes, l)
		case l.revision > 0:
			p.batch.Delete(key)
			p.lanes = append(p.lanes, l)
		default:
			p.clean = append(p.clean, l)
		}
		delete(s.dirty, l)
		l.writing = true
	}
	p.more = p.records < len(s.discarded) || len(s.dirty) > 0
	p.checkpoint = s.at.checkpoint
	s.describe(&p.checkpoint)
	if !p.more {
		low := s.mark()
		p.low, p.checkpoint = low.position, p.checkpoint.reached(low)
		if id == "" {
			p.checkpoint = p.checkpoint.stopped(s.frontier, s.open())
		}
	}
	next := p.checkpoint
	p.batch.Update(r.key(checkpointName), document{Checkpoint: &next}, s.at.revision)
	return p
}

// describe fills in what others see of the session.
func (s *session) describe(c *checkpoint) {
	c.Runner, c.For, c.Write = s.runner, s.reactor.lease(), uuid.NewString()
	c.UnderWay, c.Held = s.pending, nil
	if s.known() {
		c.Parked = len(s.parked)
	}
	for breaker, h := range s.held {
		if c.Held == nil {
			c.Held = make(map[string]int)
		}
		c.Held[breaker.name] += len(h.lanes)
		if h.probe != nil {
			c.Held[breaker.name]++
		}
	}
	for name, before := range s.passed {
		if at, apart := c.Since[name]; apart && before < at {
			c.Since = withSince(c.Since, name, before)
		}
	}
}

// open lists the events that were read from the log and are not done, in the log's order.
func (s *session) open() []openEvent {
	var open []openEvent
	for _, l := range s.lanes {
		for _, t := range l.queue {
			if t.passage == nil {
				continue
			}
			open = append(open, openEvent{Position: t.event.Position, Index: t.event.Index, Type: t.event.Type(), Done: t.done})
		}
	}
	slices.SortFunc(open, func(a, b openEvent) int {
		if a.Position != b.Position {
			return int(int64(a.Position) - int64(b.Position))
		}
		return a.Index - b.Index
	})
	return open
}

// answer is what became of a write.
type answer struct {
	part     *writePart
	revision uint64
	err      error
}

// write sends a part. The answer comes on s.answers.
func (s *session) write(ctx context.Context, part *writePart) {
	s.writing = part
	s.workers.Go(func() {
		revision, err := part.batch.Commit(ctx)
		s.answers <- answer{part, revision, err}
	})
}

// settle takes in the answer of a write. Without the server it leaves what was not written to a later write. It
// returns errReplaced if another instance has taken over.
func (s *session) settle(ctx context.Context, a answer) error {
	s.writing = nil
	if a.err == nil {
		s.stored(a.part, a.revision)
		return nil
	}
	s.unwritten(a.part)
	switch {
	case errors.Is(a.err, kv.ErrConflict), errors.Is(a.err, kv.ErrUnknownOutcome), errors.Is(a.err, context.Canceled):
		s.doubts[a.part.checkpoint.Write] = a.part.begun
		return s.resolve(ctx, a.part, a.err)
	case errors.Is(a.err, kv.ErrUnavailable):
		s.writeLater(ctx, a.err)
		return nil
	}
	return fmt.Errorf("write the checkpoint: %w", a.err)
}

// stored notes that a part is in the bucket.
func (s *session) stored(p *writePart, revision uint64) {
	s.at = stand{checkpoint: p.checkpoint, revision: revision, written: p.begun}
	s.reactor.pace.Store(int64(time.Since(p.begun)))
	s.low, s.failures = p.low, 0
	clear(s.doubts)
	s.discarded = s.discarded[p.records:]
	for i, l := range p.lanes {
		l.revision = revision - uint64(len(p.lanes)-i)
		s.written(l)
	}
	for _, l := range p.clean {
		s.written(l)
	}
	s.nextWrite = p.begun.Add(s.reactor.cfg.Interval)
	if p.more {
		s.nextWrite = time.Time{}
	}
}

func (s *session) written(l *lane) {
	l.writing = false
	s.forget(l)
}

// unwritten notes that a part is not in the bucket, as far as is known.
func (s *session) unwritten(p *writePart) {
	for _, l := range slices.Concat(p.lanes, p.clean) {
		l.writing = false
		s.dirty[l] = true
	}
}

// resolve finds out why a part was not stored, or whether it was: the checkpoint in the bucket says whose it is. If
// it is this session's, a wish or an announcement came between, or an answer was lost. Then the session takes in what
// the bucket has, and writes again at once. A write without an answer may still arrive, and then the next one is a
// conflict.
func (s *session) resolve(ctx context.Context, p *writePart, cause error) error {
	now, err := s.reactor.read(ctx)
	switch {
	case errors.Is(err, kv.ErrUnavailable):
		s.writeLater(ctx, err)
		return nil
	case err != nil:
		return fmt.Errorf("read the checkpoint: %w", err)
	case now.Runner != s.runner:
		return fmt.Errorf("%w: %w", errReplaced, cause)
	case now.revision < s.at.revision:
		// A power cut took the bucket's tail. The bucket is as it was at an earlier time, so the session begins again
		// from there.
		return fmt.Errorf("%w: the bucket went backwards: %w", errReplaced, cause)
	}
	s.adopt(now)
	for _, l := range p.lanes {
		err := s.reread(ctx, l)
		if errors.Is(err, kv.ErrUnavailable) {
			s.writeLater(ctx, err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a parked stream: %w", err)
		}
	}
	s.nextWrite = time.Time{}
	return nil
}

// adopt takes in a checkpoint of this session that others have changed, or that a write without an answer has stored.
func (s *session) adopt(now stand) {
	now.written = s.at.written
	if begun, ok := s.doubts[now.Write]; ok {
		now.written = begun
		s.reactor.pace.Store(int64(time.Since(begun)))
		clear(s.doubts)
	}
	s.at = now
	s.leaving = s.leaving || now.Next != ""
}

// reread takes in what the bucket has of a lane.
func (s *session) reread(ctx context.Context, l *lane) error {
	entry, err := s.reactor.documents.GetLeader(ctx, s.reactor.parkedKey(l.stream))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		l.revision = 0
	case err != nil:
		return err
	default:
		l.revision = entry.Revision
		s.wish(ctx, l, entry.Value)
	}
	return nil
}

// writeLater spaces writes while the server is away.
func (s *session) writeLater(ctx context.Context, err error) {
	s.failures++
	wait := runner.Restarts.Delay(s.failures)
	s.nextWrite = time.Now().Add(wait)
	s.reactor.logger.WarnContext(ctx, "reactor: cannot write its checkpoint", "again in", wait, "error", err)
}

// releaseTime bounds the last write of a session. If it fails, the others find out by the silence.
const releaseTime = 5 * time.Second

// release writes what was done up to now and that nobody runs, so that another instance need not wait. The workers
// have ended.
func (s *session) release(ctx context.Context) error {
	close(s.results)
	for o := range s.results {
		s.finish(ctx, o)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if s.writing != nil {
		if err := s.settle(ctx, <-s.answers); err != nil {
			return unlessReplaced(err)
		}
	}
	for s.failures = 0; s.at.Runner != "" && s.failures == 0; {
		s.write(ctx, s.nextPart(""))
		if err := s.settle(ctx, <-s.answers); err != nil {
			return unlessReplaced(err)
		}
	}
	return nil
}

func unlessReplaced(err error) error {
	if errors.Is(err, errReplaced) {
		return nil
	}
	return err
}
