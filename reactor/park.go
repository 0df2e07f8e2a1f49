package reactor

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// A parked stream's lane has a document, and no queue but while it is replayed:
//
//	park -> parked -> the document says replay -> startReplays: the log is read -> replay: queue -> complete ... -+
//	          ^  |                                  ^                                |                            |
//	          |  +-- it says discard: record, and --+                                +-- nothing is left: unpark  |
//	          +------------------------------ failed again -------------------------------------------------------+
//
// Events that come from the log meanwhile are counted, because the stream is read again, from the stream's leader,
// until all that were counted have been read.

// loadedLane is what reading a parked stream gave.
type loadedLane struct {
	lane    *lane
	history eventstore.History
	err     error
}

// park makes a lane wait for a decision of people. Its events leave memory; the document has the first.
func (s *session) park(ctx context.Context, l *lane, cause error) {
	event := l.queue[0].event
	document := document{State: stateParked, Attempts: max(l.attempts, 1), First: l.first, Last: time.Now()}.failedAt(event, cause)
	if l.document == nil {
		document.Waiting = len(l.queue)
		document.Until = l.queue[len(l.queue)-1].event.Version()
	} else {
		document.Waiting, document.Until = l.document.Waiting, l.document.Until
		s.replaying--
	}
	s.setDocument(l, document)
	for len(l.queue) > 0 {
		s.pop(l)
	}
	l.queue = nil
	s.reactor.logger.ErrorContext(ctx, "reactor: stream parked: mend what failed, then replay or discard it", "stream", l.stream.String(),
		"version", event.Version(), "position", event.Position, "type", event.Type(), "attempts", document.Attempts, "error", cause)
}

func (s *session) setDocument(l *lane, document *document) {
	l.document = document
	s.parked[s.reactor.parkedKey(l.stream)] = l
	s.dirty[l] = true
}

// count notes an event that comes behind a parked one.
func (s *session) count(l *lane, event eventstore.Recorded) {
	if event.Version() <= l.document.Until {
		return // it is counted, and read again after a crash
	}
	l.document.Waiting++
	l.document.Until = event.Version()
	s.dirty[l] = true
}

// note takes in what was written: what was there when the session began, and since then what other processes write.
func (s *session) note(ctx context.Context, change kv.Change[document]) error {
	switch {
	case change.Synced:
		s.synced = true
	case change.Key == s.reactor.key(checkpointName):
		return s.noteCheckpoint(change)
	default:
		s.noteParked(ctx, change)
	}
	return nil
}

// noteCheckpoint takes in a checkpoint. Others change the one of this session to announce a release, or to ask it to
// stop.
func (s *session) noteCheckpoint(change kv.Change[document]) error {
	if change.Revision < s.at.revision {
		return nil
	}
	if change.Deleted {
		return s.reactor.deleted()
	}
	now, err := s.reactor.standOf(change.Entry)
	if err != nil {
		return err
	}
	if now.Runner != s.runner {
		return errReplaced
	}
	s.claimed = true
	if now.revision > s.at.revision {
		s.adopt(now)
	}
	return nil
}

// noteParked takes in the document of a parked stream.
func (s *session) noteParked(ctx context.Context, change kv.Change[document]) {
	l := s.parked[change.Key]
	switch {
	case l == nil && (change.Deleted || s.known()):
		// This session writes the documents, so it has deleted those that it does not know any more.
	case l == nil:
		l = s.lane(change.Value.stream())
		document := change.Value
		l.document, l.revision = &document, change.Revision
		s.parked[change.Key] = l
		s.act(ctx, l)
	case change.Revision <= l.revision, change.Deleted && l.revision == 0: // it is this session's own, or older
	case change.Deleted:
		s.reactor.logger.WarnContext(ctx, "reactor: the document of a parked stream was deleted: it is put back: use Discard", "key", change.Key)
		l.revision = change.Revision
		s.dirty[l] = true
	default:
		l.revision = change.Revision
		s.wish(ctx, l, change.Value)
	}
}

// wish takes a wish over from the bucket. Nothing else of a document is written by others.
func (s *session) wish(ctx context.Context, l *lane, stored document) {
	if l.document == nil || l.document.State != stateParked || stored.State == stateParked || stored.Version != l.document.Version {
		s.dirty[l] = true // the bucket is behind
		return
	}
	l.document.State = stored.State
	s.act(ctx, l)
}

// act does what a document says is to be done.
func (s *session) act(ctx context.Context, l *lane) {
	d := l.document
	switch d.State {
	case stateReplay:
	case stateDiscard:
		record := *d
		record.State = stateDiscarded
		s.discarded = append(s.discarded, record)
		s.reactor.logger.WarnContext(ctx, "reactor: event discarded", "stream", l.stream.String(), "version", d.Version, "error", d.Error)
		d.State = stateReplay
		s.replayedTo(l, d.Version)
	default:
		return
	}
	s.replays = append(s.replays, l)
}

// replayedTo notes that the version was handled, or discarded.
func (s *session) replayedTo(l *lane, version eventstore.Version) {
	l.document.Version = version + 1
	l.document.Waiting = max(l.document.Waiting-1, 0)
	s.dirty[l] = true
}

// startReplays reads streams that are to be handled again, as many at a time as there are workers.
func (s *session) startReplays(ctx context.Context) {
	for len(s.replays) > 0 && s.replaying < s.reactor.cfg.Workers {
		l := s.replays[0]
		s.replays = s.replays[1:]
		s.replaying++
		from := l.document.Version
		s.workers.Go(func() {
			history, err := s.reactor.store.Load(ctx, l.stream, eventstore.From(from), eventstore.Leader())
			s.loaded <- loadedLane{l, history, err}
		})
	}
}

// replay queues what is to be handled again, or unparks the lane when nothing is left. Events that the log has not
// yielded yet are left to the log.
func (s *session) replay(ctx context.Context, loaded loadedLane) {
	l := loaded.lane
	switch err := loaded.err; {
	case ctx.Err() != nil:
	case errors.Is(err, eventstore.ErrErased):
		s.unpark(ctx, l) // there is nothing left to handle
	case errors.Is(err, eventstore.ErrLogRewound):
		s.replaying-- // the log's reader ends the session with it
	case errors.Is(err, eventstore.ErrUnavailable), err == nil && loaded.history.Head.Version < l.document.Until:
		s.replaying--
		s.replays = append(s.replays, l)
	case err != nil:
		s.replaying--
		l.document.State, l.document.Error, l.document.Last = stateParked, runner.Shortened(err.Error()), time.Now()
		s.dirty[l] = true
	default:
		s.replayCommits(ctx, l, loaded.history.Commits)
	}
}

func (s *session) replayCommits(ctx context.Context, l *lane, commits []*eventstore.Commit) {
	for _, c := range commits {
		if c.Position > s.frontier {
			break
		}
		for event := range c.Events() {
			if event.Version() < l.document.Version {
				continue
			}
			if s.reactor.handles(event.Type()) {
				l.queue = append(l.queue, task{event: event})
			} else {
				s.passBy(event)
			}
		}
	}
	if len(l.queue) == 0 {
		s.unpark(ctx, l)
		return
	}
	s.makeReady(l)
}

// passBy notes that a replay has passed an event of a type to which another release reacts.
func (s *session) passBy(event eventstore.Recorded) {
	at, apart := s.at.Since[event.Type()]
	if before, noted := s.passed[event.Type()]; noted {
		at = min(at, before)
	}
	if apart && event.Position <= at {
		s.passed[event.Type()] = event.Position - 1
	}
}

// unpark makes a lane an ordinary one. Its document is deleted with the next write of the checkpoint.
func (s *session) unpark(ctx context.Context, l *lane) {
	s.replaying--
	delete(s.parked, s.reactor.parkedKey(l.stream))
	l.document = nil
	s.dirty[l] = true
	s.reactor.logger.InfoContext(ctx, "reactor: stream goes on", "stream", l.stream.String())
}
