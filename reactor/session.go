package reactor

import (
	"container/list"
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// readAhead is how many commits are read from the log while others are handled.
const readAhead = 1024

// session is the time of one instance as the one that runs. One goroutine, the one of run, holds all of its state:
//
//	log --> take --> lanes, one for each stream --> ready --> assignments --> workers --> results --> finish
//	                  ^   |                          ^                                                  |
//	                  |   +-- parked: counted        +------ waits for its retry, or for a breaker <----+ failed
//	                  |                                                                                 |
//	bucket --> note --+-- replay: read from the log again                       the next event <--------+ done
//
// Now and then it writes the checkpoint, before the first event that is not done, in one batch with what changed
// about parked streams. So what the checkpoint passes is done, or in the bucket, and a runner that lost the
// checkpoint writes nothing more. A goroutine of its own waits for the answer of the write, so the session shows life
// while its disk is slow, and handles events.
type session struct {
	reactor *Reactor
	runner  string
	from    checkpoint // when the session began: it says which events are done
	at      stand      // the checkpoint in the bucket
	room    int        // how many documents a batch takes beside the checkpoint
	handled bool       // an event was
	synced  bool       // the watch has given all documents that it found
	claimed bool       // the watch has given the checkpoint as this session has claimed it, or later
	leaving bool       // a runner that handles more has asked this one to stop

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

	dirty     map[*lane]bool                 // whose document is not in the bucket as it should be
	discarded []document                     // records that are not in the bucket yet
	replays   []*lane                        // that wait for their turn to be replayed
	replaying int                            // lanes that are replayed
	passed    map[string]eventstore.Position // passed events of types without a reaction: before the first

	low       eventstore.Position  // what the checkpoint in the bucket was written for
	writing   *writePart           // that was sent and has no answer yet, or nil
	doubts    map[string]time.Time // when writes were sent of which no answer came, by their ids
	nextWrite time.Time            // not before; after a write that failed, and for Config.Interval
	failures  int                  // writes in a row that failed

	assignments chan assignment
	results     chan outcome
	loaded      chan loadedLane
	answers     chan answer
	workers     sync.WaitGroup // workers, loaders and the writer
	timer       *time.Timer
}

// passage is one commit on its way through the session.
type passage struct {
	before logMark // where the checkpoint stands while the commit is not done
	open   int     // its events that are not done
}

func newSession(r *Reactor, id string, at stand) *session {
	return &session{
		reactor: r, runner: id, at: at, from: at.checkpoint,
		underWay: list.New(),
		lanes:    make(map[eventstore.StreamID]*lane), parked: make(map[string]*lane),
		idle: r.cfg.Workers, held: make(map[*Breaker]*hold), dirty: make(map[*lane]bool),
		passed: make(map[string]eventstore.Position), doubts: make(map[string]time.Time),
		// None of these ever blocks its sender: no more are under way than there are workers, and one write.
		assignments: make(chan assignment, r.cfg.Workers),
		results:     make(chan outcome, r.cfg.Workers),
		loaded:      make(chan loadedLane, r.cfg.Workers),
		answers:     make(chan answer, 1),
	}
}

// run handles events until ctx ends, another instance takes over, or something goes wrong. When it returns, its
// goroutines have ended, and the checkpoint says what was done unless another instance has taken over.
func (s *session) run(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	notes := runner.Read(ctx, s.watch, readAhead)
	commits := runner.Read(ctx, s.readAfter(s.frontier), readAhead)
	for range s.reactor.cfg.Workers {
		s.workers.Go(func() { s.work(ctx) })
	}
	s.timer = time.NewTimer(0)
	defer s.timer.Stop()

	var err error
	for err == nil {
		err = s.step(ctx, commits, notes)
	}
	cancel()
	close(s.assignments)
	s.workers.Wait()
	commits.Stop()
	notes.Stop()
	if errors.Is(err, errReplaced) && !errors.Is(err, errAsked) {
		return err
	}
	return errors.Join(err, s.release(ctx))
}

// begin sets where the session reads on: behind the lowest position of its types, which may be below the
// checkpoint's.
func (s *session) begin() error {
	s.behind.position = s.from.lowest(s.from.Types)
	if s.behind.position == s.from.Position && s.from.Position > 0 {
		var err error
		if s.behind.commit, err = uuid.Parse(s.from.Commit); err != nil {
			return errors.Join(ErrInvalid, err)
		}
	}
	s.frontier, s.low = s.behind.position, s.behind.position
	return nil
}

func (s *session) watch(ctx context.Context) iter.Seq2[kv.Change[document], error] {
	r := s.reactor
	return r.documents.Watch(ctx, r.key(parkedPrefix)+".>", r.key(checkpointName))
}

func (s *session) readAfter(position eventstore.Position) func(context.Context) iter.Seq2[*eventstore.Commit, error] {
	return func(ctx context.Context) iter.Seq2[*eventstore.Commit, error] {
		return s.reactor.store.Log(ctx, eventstore.After(position), eventstore.Live())
	}
}

// known reports whether the session knows all that is parked: all that the watch has found, and all up to the claim,
// which a replica may not have at first. The claim alone would not do, because a wish moves the document that it
// changes behind the claim.
func (s *session) known() bool { return s.synced && s.claimed }

// step does what is due and then waits for one thing to happen.
func (s *session) step(ctx context.Context, commits *runner.Feed[*eventstore.Commit], notes *runner.Feed[kv.Change[document]]) error {
	now := time.Now()
	s.wake(now)
	if s.writeDue(now) {
		if err := s.hear(ctx, notes); err != nil {
			return err
		}
		s.write(ctx, s.nextPart(s.runner))
	}
	if s.known() && !s.leaving {
		s.startReplays(ctx)
		s.assign(now)
	}
	if s.left() {
		return errAsked
	}
	s.timer.Reset(s.nextWake(now).Sub(now))
	select {
	case c, ok := <-s.input(commits):
		if !ok {
			return commits.Err()
		}
		s.take(c)
	case change, ok := <-s.news(notes):
		if !ok {
			return notes.Err()
		}
		return s.note(ctx, change)
	case o := <-s.results:
		s.finish(ctx, o)
	case l := <-s.loaded:
		s.replay(ctx, l)
	case a := <-s.answers:
		return s.settle(ctx, a)
	case <-s.timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// input returns the commits to read now, or nil if there is no room for more.
func (s *session) input(commits *runner.Feed[*eventstore.Commit]) <-chan *eventstore.Commit {
	if !s.known() || s.leaving || s.pending >= s.reactor.cfg.Window {
		return nil
	}
	return commits.Items
}

// news returns the changes of documents to read now. While a write has no answer there are none: the session could
// not tell its own write from one of others.
func (s *session) news(notes *runner.Feed[kv.Change[document]]) <-chan kv.Change[document] {
	if s.writing != nil {
		return nil
	}
	return notes.Items
}

// hear takes in what others have written up to now. On a slow disk one write follows the other, and this is the only
// time for it.
func (s *session) hear(ctx context.Context, notes *runner.Feed[kv.Change[document]]) error {
	for {
		select {
		case change, ok := <-notes.Items:
			if !ok {
				return notes.Err()
			}
			if err := s.note(ctx, change); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// left reports whether nothing is under way any more in a session that was asked to stop.
func (s *session) left() bool {
	return s.leaving && s.idle == s.reactor.cfg.Workers && s.writing == nil
}

// take puts the events of one commit that are to be handled into the lane of their stream.
func (s *session) take(c *eventstore.Commit) {
	var p *list.Element
	for event := range c.Events() {
		done, wanted := s.wants(event)
		if !wanted {
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
		s.push(l, task{event: event, done: done, passage: p})
	}
	s.frontier = c.Position
	if c.Whole() {
		s.behind = logMark{c.Position, c.ID}
	}
}

// wants reports whether this session has to handle an event of the log, and how much of it is done.
func (s *session) wants(event eventstore.Recorded) (done int, wanted bool) {
	if !s.reactor.handles(event.Type()) {
		return 0, false
	}
	return s.from.wants(event.Type(), event.Position, event.Index)
}

// pass notes that an event is done, or that its document says that it is not.
func (s *session) pass(t task) {
	if t.passage == nil {
		return // it was read again for a replay; the checkpoint has passed it
	}
	s.pending--
	p := t.passage.Value.(*passage)
	if p.open--; p.open == 0 {
		s.underWay.Remove(t.passage)
	}
}

// mark returns where the checkpoint may stand now.
func (s *session) mark() logMark {
	if first := s.underWay.Front(); first != nil {
		return first.Value.(*passage).before
	}
	return s.behind
}

// assign returns ready lanes to idle workers, for as long as nobody else can have taken over.
func (s *session) assign(now time.Time) {
	until := s.at.written.Add(s.at.For)
	if !now.Before(until) {
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
		s.assignments <- assignment{lane: l, event: l.queue[0].event, done: l.queue[0].done, until: until}
	}
}

// nextWake is when something is due if nothing happens before.
func (s *session) nextWake(now time.Time) time.Time {
	next := s.writeAt()
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
