package reactor

import (
	"container/list"
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// readAhead is how many commits are read from the log while others are handled.
const readAhead = 1024

// session is one instance's time as the one that runs. One goroutine, that of run, holds all of its state:
//
//	log --> take --> lanes, one for each stream --> ready --> assignments --> workers --> results --> finish
//	                  ^   |                          ^                                                  |
//	                  |   +-- parked: counted        +------ waits for its retry, or for a breaker <----+ failed
//	                  |                                                                                 |
//	bucket --> note --+-- replay: read from the log again                       the next event <--------+ done
//
// and now and then write: the checkpoint, before the first event that is not done, in one batch with what changed
// about parked streams. So what the checkpoint passes is done, or in the bucket; and who lost the checkpoint writes
// nothing more.
type session struct {
	reactor *Reactor
	runner  string
	at      stand // the checkpoint in the bucket
	room    int   // how many documents a batch takes beside the checkpoint
	handled bool  // an event was
	known   bool  // all that was parked before

	behind   logMark             // the last place in what was read where a checkpoint may stand
	frontier eventstore.Position // of the last commit read
	underWay *list.List          // of *passage, the commits with events that are not done, in the log's order
	pending  int                 // events in them

	lanes  map[eventstore.StreamID]*lane
	parked map[string]*lane // those with a document in the bucket, or to be, by its key
	ready  []*lane          // whose first event can be handled now
	idle   int              // workers without an event
	retry  retries          // lanes that wait until it is time to try again
	held   map[*Breaker]*hold

	dirty     map[*lane]bool // whose document is not in the bucket as it should be
	discarded []document     // records that are not in the bucket yet
	replays   []*lane        // that wait for their turn to be replayed
	replaying int            // lanes that are replayed

	nextWrite time.Time // not before; after a write that failed, and for Config.Interval
	failures  int       // writes in a row that failed

	assignments chan assignment
	results     chan outcome
	loaded      chan loadedLane
	workers     sync.WaitGroup // workers and loaders
	timer       *time.Timer
}

// passage is one commit on its way through the session.
type passage struct {
	before logMark // where the checkpoint stands while the commit is not done
	open   int     // its events that are not done
}

func newSession(r *Reactor, id string, at stand) *session {
	return &session{
		reactor: r, runner: id, at: at,
		underWay: list.New(),
		lanes:    make(map[eventstore.StreamID]*lane), parked: make(map[string]*lane),
		idle: r.cfg.Workers, held: make(map[*Breaker]*hold), dirty: make(map[*lane]bool),
		// None of the three ever blocks its sender: no more are under way than there are workers.
		assignments: make(chan assignment, r.cfg.Workers),
		results:     make(chan outcome, r.cfg.Workers),
		loaded:      make(chan loadedLane, r.cfg.Workers),
	}
}

// run handles events until ctx ends or something goes wrong. Nothing of it is left behind when it returns, and the
// checkpoint then says what was done, unless another has taken over.
func (s *session) run(ctx context.Context) error {
	var err error
	if s.behind, err = s.at.mark(); err != nil {
		return err
	}
	s.frontier = s.behind.position
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	notes := runner.Read(ctx, s.watch, 0)
	commits := runner.Read(ctx, s.readAfter(s.at.Position), readAhead)
	for range s.reactor.cfg.Workers {
		s.workers.Go(func() { s.work(ctx) })
	}
	s.timer = time.NewTimer(0)
	defer s.timer.Stop()

	err = s.knowParked(ctx, notes)
	for err == nil {
		err = s.step(ctx, commits, notes)
	}
	cancel()
	close(s.assignments)
	s.workers.Wait()
	commits.Stop()
	notes.Stop()
	if errors.Is(err, errReplaced) {
		return err
	}
	return errors.Join(err, s.release(ctx))
}

func (s *session) watch(ctx context.Context) iter.Seq2[kv.Change[document], error] {
	return s.reactor.documents.Watch(ctx, parkedPrefix+".>", runnerKey)
}

func (s *session) readAfter(position eventstore.Position) func(context.Context) iter.Seq2[*eventstore.Commit, error] {
	return func(ctx context.Context) iter.Seq2[*eventstore.Commit, error] {
		return s.reactor.store.Log(ctx, eventstore.After(position), eventstore.Live())
	}
}

// knowParked reads what is parked: all that is there, and up to and with the document that was written when this
// session claimed the checkpoint, which a replica may not have at first. That document alone would not do, since a
// wish moves the one it is written into behind it.
func (s *session) knowParked(ctx context.Context, notes *runner.Feed[kv.Change[document]]) error {
	for synced, claimed := false, false; !synced || !claimed; {
		select {
		case change, ok := <-notes.Items:
			if !ok {
				return notes.Err()
			}
			synced = synced || change.Synced
			if change.Key == runnerKey {
				if change.Revision > s.at.revision {
					return errReplaced
				}
				claimed = change.Value.Runner == s.runner
			}
			s.note(ctx, change)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	s.known = true
	return nil
}

// step does what is due and then waits for one thing to happen.
func (s *session) step(ctx context.Context, commits *runner.Feed[*eventstore.Commit], notes *runner.Feed[kv.Change[document]]) error {
	now := time.Now()
	s.wake(now)
	if s.writeDue(now) {
		if err := s.write(ctx, s.runner); err != nil {
			return err
		}
		now = time.Now()
	}
	s.startReplays(ctx)
	s.assign(now)
	s.timer.Reset(s.nextWake(now).Sub(now))
	input := commits.Items
	if s.pending >= s.reactor.cfg.Window {
		input = nil
	}
	select {
	case c, ok := <-input:
		if !ok {
			return commits.Err()
		}
		s.take(c)
	case o := <-s.results:
		s.finish(ctx, o)
	case change, ok := <-notes.Items:
		if !ok {
			return notes.Err()
		}
		s.note(ctx, change)
	case l := <-s.loaded:
		s.replay(ctx, l)
	case <-s.timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// take puts the events of one commit that have reactions into their stream's lane.
func (s *session) take(c *eventstore.Commit) {
	var p *list.Element
	for event := range c.Events() {
		if !s.reactor.decodes[event.Type()] {
			continue
		}
		l := s.lane(c.Stream)
		if l.document != nil {
			s.count(l, event)
			continue
		}
		if p == nil {
			p = s.underWay.PushBack(&passage{before: s.behind})
		}
		p.Value.(*passage).open++
		s.pending++
		s.push(l, task{event: event, passage: p})
	}
	s.frontier = c.Position
	if c.Whole() {
		s.behind = logMark{c.Position, c.ID}
	}
}

// passed notes that an event is done, or that its document says that it is not.
func (s *session) passed(t task) {
	if t.passage == nil {
		return // it was read again for a replay; the checkpoint has passed it
	}
	s.pending--
	p := t.passage.Value.(*passage)
	if p.open--; p.open == 0 {
		s.underWay.Remove(t.passage)
	}
}

// low is where the checkpoint may stand now.
func (s *session) low() logMark {
	if first := s.underWay.Front(); first != nil {
		return first.Value.(*passage).before
	}
	return s.behind
}

// assign gives ready lanes to idle workers, for as long as nobody else can have taken over.
func (s *session) assign(now time.Time) {
	if now.Sub(s.at.written) >= 2*s.reactor.cfg.Heartbeat {
		return
	}
	for s.idle > 0 && len(s.ready) > 0 {
		l := s.ready[0]
		s.ready = s.ready[1:]
		l.state = laneBusy
		s.idle--
		if l.first.IsZero() {
			l.first = now
		}
		s.assignments <- assignment{lane: l, event: l.queue[0].event, done: l.done}
	}
}

// nextWake is when something is due if nothing happens before.
func (s *session) nextWake(now time.Time) time.Time {
	next := s.at.written.Add(s.reactor.cfg.Heartbeat)
	if s.changed() || next.Before(s.nextWrite) {
		next = s.nextWrite
	}
	if len(s.retry) > 0 && s.retry[0].wakeAt.Before(next) {
		next = s.retry[0].wakeAt
	}
	for _, h := range s.held {
		if h.probe == nil && h.until.Before(next) {
			next = h.until
		}
	}
	if next.Before(now) {
		return now
	}
	return next
}
