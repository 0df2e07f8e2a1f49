package reactor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// changed reports whether the bucket is behind what the session knows.
func (s *session) changed() bool {
	return len(s.dirty) > 0 || len(s.discarded) > 0 || s.low().position != s.at.Position
}

func (s *session) writeDue(now time.Time) bool {
	return !now.Before(s.nextWrite) && (s.changed() || now.Sub(s.at.written) >= s.reactor.cfg.Heartbeat)
}

// write brings the bucket up to date, on condition that the checkpoint is still this session's. Without the server it
// leaves that to a later write. It returns errReplaced where another instance has taken over.
func (s *session) write(ctx context.Context, id string) error {
	for more := true; more; {
		part := s.nextPart(id)
		more = part.more
		revision, err := part.batch.Commit(ctx)
		switch {
		case err == nil:
			s.stored(part, revision)
		case errors.Is(err, kv.ErrConflict), errors.Is(err, kv.ErrUnknownOutcome):
			return s.resolve(ctx, part, err)
		case errors.Is(err, kv.ErrUnavailable):
			s.writeLater(ctx, err)
			return nil
		default:
			return fmt.Errorf("write the checkpoint: %w", err)
		}
	}
	s.nextWrite = s.at.written.Add(s.reactor.cfg.Interval)
	return nil
}

// writePart is one batch: records, then documents of lanes, then the checkpoint.
type writePart struct {
	batch      *kv.Batch[document]
	begun      time.Time
	records    int     // of s.discarded
	lanes      []*lane // whose documents it writes
	clean      []*lane // of which the bucket has nothing, and need not have
	checkpoint checkpoint
	more       bool // it could not take all, so the checkpoint stays where it is
}

func (s *session) nextPart(id string) *writePart {
	p := &writePart{batch: s.reactor.documents.Batch(), begun: time.Now()}
	for p.records < len(s.discarded) && p.batch.Len() < s.room {
		record := s.discarded[p.records]
		p.batch.Put(discardedKey(record), record)
		p.records++
	}
	for l := range s.dirty {
		if p.batch.Len() == s.room {
			break
		}
		switch key := parkedKey(l.stream); {
		case l.document != nil:
			p.batch.Update(key, *l.document, l.revision)
		case l.revision > 0:
			p.batch.Delete(key)
		default:
			p.clean = append(p.clean, l)
			continue
		}
		p.lanes = append(p.lanes, l)
	}
	p.more = p.records < len(s.discarded) || len(p.lanes)+len(p.clean) < len(s.dirty)
	p.checkpoint = s.nextCheckpoint(id, p.more)
	s.reactor.checkpoint.UpdateIn(p.batch, p.checkpoint, s.at.revision)
	return p
}

func (s *session) nextCheckpoint(id string, stay bool) checkpoint {
	next := s.at.checkpoint
	next.Runner, next.UnderWay, next.Held = id, s.pending, nil
	if s.known {
		next.Parked = len(s.parked)
	}
	for breaker, h := range s.held {
		if next.Held == nil {
			next.Held = make(map[string]int)
		}
		next.Held[breaker.name] += len(h.lanes)
		if h.probe != nil {
			next.Held[breaker.name]++
		}
	}
	if !stay {
		at := s.low()
		next.Position, next.Commit = at.position, at.commitID()
	}
	return next
}

// stored notes that a part is in the bucket.
func (s *session) stored(p *writePart, revision uint64) {
	s.at = stand{checkpoint: p.checkpoint, revision: revision, written: p.begun}
	s.failures = 0
	s.discarded = s.discarded[p.records:]
	for i, l := range p.lanes {
		l.revision = revision - uint64(len(p.lanes)-i)
		delete(s.dirty, l)
		s.settle(l)
	}
	for _, l := range p.clean {
		delete(s.dirty, l)
		s.settle(l)
	}
}

// resolve finds out why a part was not stored, or whether it was: the checkpoint in the bucket says whose it is.
// Where it is this session's, a wish came between, or the answer was lost; what the bucket has is taken in and the
// next write follows at once. One without an answer may yet arrive, and then makes that a conflict.
func (s *session) resolve(ctx context.Context, p *writePart, cause error) error {
	now, err := s.reactor.checkpoint.GetLeader(ctx)
	switch {
	case errors.Is(err, kv.ErrUnavailable):
		s.writeLater(ctx, err)
		return nil
	case err != nil:
		return fmt.Errorf("read the checkpoint: %w", err)
	case now.Value.Runner != s.runner:
		return fmt.Errorf("%w: %w", errReplaced, cause)
	case now.Revision < s.at.revision:
		// A power cut took the bucket's tail. What it has is an earlier whole, so the session begins again from
		// there.
		return fmt.Errorf("%w: the bucket went backwards: %w", errReplaced, cause)
	}
	s.at.checkpoint, s.at.revision = now.Value, now.Revision
	for _, l := range p.lanes {
		entry, err := s.reactor.documents.GetLeader(ctx, parkedKey(l.stream))
		switch {
		case errors.Is(err, kv.ErrNotFound):
			l.revision = 0
		case errors.Is(err, kv.ErrUnavailable):
			s.writeLater(ctx, err)
			return nil
		case err != nil:
			return fmt.Errorf("read a parked stream: %w", err)
		default:
			l.revision = entry.Revision
			s.wish(ctx, l, entry.Value)
		}
	}
	s.nextWrite = time.Time{}
	return nil
}

// writeLater spaces writes while the server is away.
func (s *session) writeLater(ctx context.Context, err error) {
	s.failures++
	wait := runner.Restarts.Delay(s.failures)
	s.nextWrite = time.Now().Add(wait)
	s.reactor.logger.WarnContext(ctx, "reactor: cannot write its checkpoint", "again in", wait, "error", err)
}

// releaseTime bounds the last write of a session. Without it the others find out by the silence.
const releaseTime = 5 * time.Second

// release writes what was done up to now and that nobody runs, so that another instance need not wait.
func (s *session) release(ctx context.Context) error {
	close(s.results)
	for o := range s.results {
		s.finish(ctx, o)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	for s.at.Runner != "" {
		err := s.write(ctx, "")
		switch {
		case errors.Is(err, errReplaced):
			return nil
		case err != nil:
			return err
		case s.failures > 0:
			return nil
		}
	}
	return nil
}
