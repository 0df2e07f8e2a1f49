package reactor

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// A parked stream's lane has a document, and a queue while it is replayed:
//
//	park -> parked -> the document says replay -> startReplays: the log is read -> replay: queue -> complete ... -+
//	          ^  |                                  ^                                |                            |
//	          |  +-- it says discard: record, and --+                                +-- nothing is left: unpark  |
//	          +------------------------------ failed again -------------------------------------------------------+
//
// Events that come from the log meanwhile are counted, because the stream is read again, from the stream's leader,
// until all that were counted have been read. Events before the parked one are handled meanwhile: another release has
// parked the stream, or a crash made the session read them again. A replay waits for them.

// parking is the parked lanes of a session, and the documents that the bucket lacks of them.
type parking struct {
	reactor *Reactor
	lanes   *lanes
	from    checkpoint       // as in the session
	begun   bool             // the session knows all documents, and does what they say
	synced  bool             // the watch has given all documents that it found
	parked  map[string]*lane // those with a document in the bucket, or to be, by its key
	left    map[string]bool  // the ids of the events that were discarded, also by earlier runners
	passed  []openEvent      // that replays have passed, of types without a reaction

	dirty     map[*lane]bool // whose document is not in the bucket as it should be
	discarded []document     // records that are not in the bucket yet

	replays   []*lane             // that wait for their turn to be replayed
	replaying int                 // lanes that are replayed
	notBefore eventstore.Position // no replay begins before the log is read up to here
	loaded    chan loadedLane
	loaders   sync.WaitGroup // goroutines that send to loaded
}

// loadedLane is what reading a parked stream gave.
type loadedLane struct {
	lane    *lane
	from    eventstore.Version
	history eventstore.History
	err     error
}

// park makes a lane wait for a decision of people. Its events leave memory; the document has the first.
func (p *parking) park(ctx context.Context, l *lane, cause error) {
	event := l.queue[0].event
	document := document{State: stateParked, Attempts: max(l.attempts, 1), First: l.first, Last: time.Now()}.failedAt(event, cause)
	switch {
	case l.document == nil:
		document.Waiting = len(l.queue)
		document.Until = l.queue[len(l.queue)-1].event.Version()
	case l.queue[0].passage == nil: // it is replayed
		document.Waiting, document.Until = l.document.Waiting, l.document.Until
		p.replaying--
	default: // the event comes before the one for which the stream is parked
		document.Waiting, document.Until = l.document.Waiting+len(l.queue), l.document.Until
		p.replays = slices.DeleteFunc(p.replays, func(other *lane) bool { return other == l })
	}
	l.document = document
	p.parked[p.reactor.parkedKey(l.stream)] = l
	p.dirty[l] = true
	for len(l.queue) > 0 {
		p.lanes.pop(l)
	}
	l.queue = nil
	p.reactor.logger.ErrorContext(ctx, "reactor: stream parked: mend what failed, then replay or discard it", "stream", l.stream.String(),
		"version", event.Version(), "position", event.Position, "type", event.Type(), "attempts", document.Attempts, "error", cause)
}

// count notes an event that comes after a parked one.
func (p *parking) count(l *lane, event eventstore.Recorded) {
	if event.Version() <= l.document.Until {
		return // it is counted, and read again after a crash
	}
	l.document.Waiting++
	l.document.Until = event.Version()
	p.dirty[l] = true
}

// learn takes in a document that was written before this session began, by whomever. A replica that lags may have older
// ones first.
func (p *parking) learn(change kv.Change[document]) {
	l := p.parked[change.Key]
	switch {
	case l != nil && change.Revision <= l.revision, l == nil && change.Deleted:
	case change.Deleted:
		delete(p.parked, change.Key)
		l.document, l.revision = nil, 0
		p.forget(l)
	default:
		l = p.lanes.of(change.Value.stream())
		document := change.Value
		l.document, l.revision = &document, change.Revision
		p.parked[change.Key] = l
	}
}

// begin does what the documents say, once all of them are known.
func (p *parking) begin(ctx context.Context) {
	if p.begun {
		return
	}
	p.begun = true
	for _, l := range p.parked {
		p.act(ctx, l)
	}
}

// note takes in the document of a parked stream. Once all of them are known, only this session writes new ones.
func (p *parking) note(ctx context.Context, change kv.Change[document]) {
	l := p.parked[change.Key]
	switch {
	case !p.begun:
		p.learn(change)
	case l == nil:
		// This session writes the documents, so it has deleted those that it does not know any more.
	case change.Revision <= l.revision, change.Deleted && l.revision == 0: // it is this session's own, or older
	case change.Deleted:
		p.reactor.logger.WarnContext(ctx, "reactor: the document of a parked stream was deleted: it is put back: use Discard", "key", change.Key)
		l.revision = change.Revision
		p.dirty[l] = true
	default:
		l.revision = change.Revision
		p.wish(ctx, l, change.Value)
	}
}

// wish takes a wish over from the bucket. Nothing else of a document is written by others.
func (p *parking) wish(ctx context.Context, l *lane, stored document) {
	if l.document == nil || l.document.State != stateParked || stored.State == stateParked || stored.Version != l.document.Version {
		p.dirty[l] = true // the bucket is behind
		return
	}
	l.document.State = stored.State
	p.act(ctx, l)
}

// act does what a document says is to be done.
func (p *parking) act(ctx context.Context, l *lane) {
	d := l.document
	switch d.State {
	case stateReplay:
	case stateDiscard:
		record := *d
		record.State = stateDiscarded
		p.discarded = append(p.discarded, record)
		p.leaveOut(record)
		p.reactor.logger.WarnContext(ctx, "reactor: event discarded", "stream", l.stream.String(), "version", d.Version, "error", d.Error)
		d.State = stateReplay
		p.replayedTo(l, d.Version)
	default:
		return
	}
	p.replays = append(p.replays, l)
}

// leaveOut notes the record of an event that was discarded. A crash, or a replay, may have the session read the event
// again.
func (p *parking) leaveOut(record document) {
	if record.EventID != "" {
		p.left[record.EventID] = true
	}
}

// leavesOut reports whether an event was discarded.
func (p *parking) leavesOut(event eventstore.Recorded) bool {
	return len(p.left) > 0 && p.left[event.EventID()]
}

// replayedTo notes that the version was handled, or discarded.
func (p *parking) replayedTo(l *lane, version eventstore.Version) {
	l.document.Version = version + 1
	l.document.Waiting = max(l.document.Waiting-1, 0)
	p.dirty[l] = true
}

// replayed goes on with a replay after the version was handled.
func (p *parking) replayed(l *lane, version eventstore.Version) {
	p.replayedTo(l, version)
	p.lanes.makeReady(l)
	if len(l.queue) == 0 {
		p.replays = append(p.replays, l) // there may be more since
		p.replaying--
	}
}

// startReplays reads streams that are to be handled again, as many at a time as there are workers.
func (p *parking) startReplays(ctx context.Context) {
	if p.lanes.log.frontier < p.notBefore {
		return
	}
	for range p.replays {
		if p.replaying == p.reactor.cfg.Workers {
			return
		}
		l := p.replays[0]
		p.replays = p.replays[1:]
		if len(l.queue) > 0 {
			p.replays = append(p.replays, l)
			continue
		}
		p.replaying++
		from := l.document.Version
		p.loaders.Go(func() {
			history, err := p.reactor.store.Load(ctx, l.stream, eventstore.From(from), eventstore.Leader())
			p.loaded <- loadedLane{l, from, history, err}
		})
	}
}

// replay queues what is to be handled again, or unparks the lane when nothing is left. Events that the log has not
// yielded yet are left to the log. Events to which another release reacts, as the checkpoint says, are noted.
func (p *parking) replay(ctx context.Context, loaded loadedLane, at checkpoint) {
	l := loaded.lane
	switch err := loaded.err; {
	case ctx.Err() != nil:
	case l.document.State != stateReplay: // it is parked at an earlier event since
		p.replaying--
	case len(l.queue) > 0, l.document.Version != loaded.from: // the log has yielded an earlier event since
		p.putOff(l)
	case errors.Is(err, eventstore.ErrErased):
		p.unpark(ctx, l) // there is nothing left to handle
	case errors.Is(err, eventstore.ErrLogRewound):
		p.replaying-- // the log's reader ends the session with it
	case errors.Is(err, eventstore.ErrUnavailable), err == nil && loaded.history.Head.Version < l.document.Until,
		err == nil && p.tooEarly(l, loaded.history.Commits):
		p.putOff(l)
	case err != nil:
		p.replaying--
		l.document.State, l.document.Error, l.document.Last = stateParked, runner.Shortened(err.Error(), runner.MaxText), time.Now()
		p.dirty[l] = true
	default:
		p.replayCommits(ctx, l, loaded.history.Commits, at)
	}
}

// putOff makes a lane wait for its turn once more.
func (p *parking) putOff(l *lane) {
	p.replaying--
	if !slices.Contains(p.replays, l) {
		p.replays = append(p.replays, l)
	}
}

// tooEarly reports whether the log is read on before the lane is replayed. A replay leaves to the log what comes after
// the frontier. But the log passes over events there that were done when the session began, and a lane was parked then.
func (p *parking) tooEarly(l *lane, commits []*eventstore.Commit) bool {
	for _, c := range commits {
		if c.Position <= max(p.lanes.log.frontier, p.notBefore) {
			continue
		}
		for event := range c.Events() {
			_, wanted := p.from.wants(event.Type(), event.Position, event.Index)
			if !wanted && event.Version() >= l.document.Version && p.reactor.handles(event.Type()) {
				p.notBefore = c.Position
			}
		}
	}
	return p.notBefore > p.lanes.log.frontier
}

func (p *parking) replayCommits(ctx context.Context, l *lane, commits []*eventstore.Commit, at checkpoint) {
	for _, c := range commits {
		if c.Position > p.lanes.log.frontier {
			break
		}
		for event := range c.Events() {
			if event.Version() < l.document.Version || p.leavesOut(event) {
				continue
			}
			if p.reactor.handles(event.Type()) {
				l.queue = append(l.queue, task{event: event})
			} else {
				p.passBy(event, at)
			}
		}
	}
	if len(l.queue) == 0 {
		p.unpark(ctx, l)
		return
	}
	p.lanes.makeReady(l)
}

// passBy notes that a replay has passed an event of a type to which another release reacts.
func (p *parking) passBy(event eventstore.Recorded, at checkpoint) {
	passed := openEvent{Position: event.Position, Index: event.Index, Type: event.Type()}
	isBefore := func(other openEvent) bool { return other.Type == passed.Type && other.Position <= passed.Position }
	if _, apart := at.Since[passed.Type]; apart && (slices.ContainsFunc(at.Stops, passed.within) || !slices.ContainsFunc(p.passed, isBefore)) {
		p.passed = append(p.passed, passed)
	}
}

// unpark makes a lane an ordinary one. Its document is deleted with the next write of the checkpoint.
func (p *parking) unpark(ctx context.Context, l *lane) {
	p.replaying--
	delete(p.parked, p.reactor.parkedKey(l.stream))
	l.document = nil
	p.dirty[l] = true
	p.reactor.logger.InfoContext(ctx, "reactor: stream goes on", "stream", l.stream.String())
}

// forget drops a lane about which there is nothing to know.
func (p *parking) forget(l *lane) {
	if l.state == laneIdle && len(l.queue) == 0 && l.document == nil && !p.dirty[l] && !l.writing {
		delete(p.lanes.byStream, l.stream)
	}
}

// fill puts what the bucket lacks into a part, as far as there is room.
func (p *parking) fill(part *writePart, room int) {
	r := p.reactor
	for part.records < len(p.discarded) && part.batch.Len() < room {
		record := p.discarded[part.records]
		part.batch.Put(r.discardedKey(record), record)
		part.records++
	}
	for l := range p.dirty {
		if part.batch.Len() == room {
			break
		}
		switch key := r.parkedKey(l.stream); {
		case l.document != nil:
			part.batch.Update(key, *l.document, l.revision)
			part.lanes = append(part.lanes, l)
		case l.revision > 0:
			part.batch.Delete(key)
			part.lanes = append(part.lanes, l)
		default:
			part.clean = append(part.clean, l)
		}
		delete(p.dirty, l)
		l.writing = true
	}
	part.more = part.records < len(p.discarded) || len(p.dirty) > 0
}

// stored notes that a part is in the bucket, with the checkpoint at a revision.
func (p *parking) stored(part *writePart, revision uint64) {
	p.discarded = p.discarded[part.records:]
	for i, l := range part.lanes {
		l.revision = revision - uint64(len(part.lanes)-i)
	}
	for _, l := range slices.Concat(part.lanes, part.clean) {
		l.writing = false
		p.forget(l)
	}
}

// unwritten notes that a part is not in the bucket, as far as is known.
func (p *parking) unwritten(part *writePart) {
	for _, l := range slices.Concat(part.lanes, part.clean) {
		l.writing = false
		p.dirty[l] = true
	}
}

// reread takes in what the bucket has of a lane.
func (p *parking) reread(ctx context.Context, l *lane) error {
	entry, err := p.reactor.documents.GetLeader(ctx, p.reactor.parkedKey(l.stream))
	switch {
	case errors.Is(err, kv.ErrNotFound):
		l.revision = 0
	case err != nil:
		return err
	default:
		l.revision = entry.Revision
		p.wish(ctx, l, entry.Value)
	}
	return nil
}
