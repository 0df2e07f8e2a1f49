package reactor

import (
	"container/list"
	"context"
	"errors"
	"iter"
	"strings"
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
//
// Its parts know only those below them: the writer, the parking, the lanes, and the progress in the log.
type session struct {
	reactor *Reactor
	from    checkpoint // when the session began: it says which events are done
	handled bool       // an event was
	writer  *writer
	parking *parking
	lanes   *lanes

	idle        int // workers without an event
	assignments chan assignment
	results     chan outcome
	workers     sync.WaitGroup
	timer       *time.Timer
}

func newSession(r *Reactor, id string, at stand) *session {
	lanes := &lanes{byStream: make(map[eventstore.StreamID]*lane), held: make(map[*Breaker]*hold)}
	// No channel ever blocks its sender: no more are under way than there are workers, and one write.
	parking := &parking{
		reactor: r, lanes: lanes, from: at.checkpoint, parked: make(map[string]*lane),
		left: make(map[string]bool), dirty: make(map[*lane]bool), loaded: make(chan loadedLane, r.cfg.Workers),
	}
	writer := &writer{
		reactor: r, lanes: lanes, parking: parking, runner: id, at: at,
		doubts: make(map[string]time.Time), answers: make(chan answer, 1),
	}
	return &session{
		reactor: r, from: at.checkpoint, lanes: lanes, parking: parking, writer: writer, idle: r.cfg.Workers,
		assignments: make(chan assignment, r.cfg.Workers), results: make(chan outcome, r.cfg.Workers),
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
	commits := runner.Read(ctx, s.read, readAhead)
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
	if !errors.Is(err, errReplaced) {
		err = errors.Join(err, s.drain(ctx))
	}
	s.workers.Wait()
	s.parking.loaders.Wait()
	s.writer.sending.Wait()
	commits.Stop()
	notes.Stop()
	if errors.Is(err, errReplaced) && !errors.Is(err, errAsked) {
		return err
	}
	close(s.results)
	for o := range s.results {
		s.finish(ctx, o)
	}
	released := s.writer.release(ctx)
	if errors.Is(released, errReplaced) {
		return err
	}
	return errors.Join(err, released)
}

// drain shows life until no reaction is under way any more. Without that another instance takes over, and calls them
// beside this one.
func (s *session) drain(ended context.Context) error {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ended))
	defer cancel()
	for s.idle < s.reactor.cfg.Workers {
		now := time.Now()
		if s.writer.writing == nil && !now.Before(s.writer.writeAt()) {
			s.writer.write(ctx, s.writer.nextPart(s.writer.runner))
		}
		s.timer.Reset(s.writer.writeAt().Sub(now))
		select {
		case o := <-s.results:
			s.finish(ended, o)
		case a := <-s.writer.answers:
			if err := s.writer.settle(ctx, a); err != nil {
				return err
			}
		case <-s.timer.C:
		}
	}
	return nil
}

// begin sets where the session reads on: after the lowest position of its types, which may be below the
// checkpoint's.
func (s *session) begin() error {
	behind := logMark{position: s.from.lowest(s.from.Types)}
	if behind.position == s.from.Position && s.from.Position > 0 {
		var err error
		if behind.commit, err = uuid.Parse(s.from.Commit); err != nil {
			return errors.Join(ErrInvalid, err)
		}
	}
	s.lanes.log.behind, s.lanes.log.frontier, s.writer.low = behind, behind.position, behind.position
	return nil
}

func (s *session) watch(ctx context.Context) iter.Seq2[kv.Change[document], error] {
	r := s.reactor
	return r.documents.Watch(ctx, r.key(parkedPrefix)+".>", r.key(discardedPrefix)+".>", r.key(checkpointName))
}

func (s *session) read(ctx context.Context) iter.Seq2[*eventstore.Commit, error] {
	return s.reactor.store.Log(ctx, eventstore.After(s.from.lowest(s.from.Types)), eventstore.Live())
}

// step does what is due and then waits for one thing to happen.
func (s *session) step(ctx context.Context, commits *runner.Feed[*eventstore.Commit], notes *runner.Feed[kv.Change[document]]) error {
	now := time.Now()
	s.lanes.wake(now)
	if s.writer.writing == nil && !now.Before(s.writer.writeAt()) {
		if err := s.hear(ctx, notes); err != nil {
			return err
		}
		s.writer.write(ctx, s.writer.nextPart(s.writer.runner))
	}
	if s.writer.known() && !s.writer.leaving {
		s.parking.begin(ctx)
		s.parking.startReplays(ctx)
		s.assign(now)
	}
	if s.writer.leaving && s.idle == s.reactor.cfg.Workers && s.writer.writing == nil {
		return errAsked // nothing is under way any more
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
	case l := <-s.parking.loaded:
		s.parking.replay(ctx, l, s.writer.at.checkpoint)
	case a := <-s.writer.answers:
		return s.writer.settle(ctx, a)
	case <-s.timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// input returns the commits to read now, or nil if there is no room for more.
func (s *session) input(commits *runner.Feed[*eventstore.Commit]) <-chan *eventstore.Commit {
	if !s.writer.known() || s.writer.leaving || s.lanes.log.pending >= s.reactor.cfg.Window {
		return nil
	}
	return commits.Items
}

// news returns the changes of documents to read now. While a write has no answer there are none: the session could
// not tell its own write from one of others.
func (s *session) news(notes *runner.Feed[kv.Change[document]]) <-chan kv.Change[document] {
	if s.writer.writing != nil {
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

// note takes in what was written: what was there when the session began, and since then what other processes write.
func (s *session) note(ctx context.Context, change kv.Change[document]) error {
	switch {
	case change.Synced:
		s.parking.synced = true
	case change.Key == s.reactor.key(checkpointName):
		return s.writer.note(change)
	case strings.HasPrefix(change.Key, s.reactor.key(discardedPrefix)+"."):
		s.parking.leaveOut(change.Value)
	default:
		s.parking.note(ctx, change)
	}
	return nil
}

// take puts the events of one commit that are to be handled into the lane of their stream.
func (s *session) take(c *eventstore.Commit) {
	var in *list.Element
	for event := range c.Events() {
		done, wanted := s.wants(event)
		if !wanted {
			continue
		}
		l := s.lanes.of(c.Stream)
		if l.document != nil && event.Version() >= l.document.Version {
			s.parking.count(l, event)
			continue
		}
		in = s.lanes.log.add(in)
		l.queue = append(l.queue, task{event: event, done: done, passage: in})
		s.lanes.makeReady(l)
	}
	s.lanes.log.read(c)
}

// wants reports whether this session has to handle an event of the log, and how much of it is done.
func (s *session) wants(event eventstore.Recorded) (done int, wanted bool) {
	if !s.reactor.handles(event.Type()) || s.parking.leavesOut(event) {
		return 0, false
	}
	return s.from.wants(event.Type(), event.Position, event.Index)
}

// assign hands ready lanes to idle workers, for as long as nobody else can have taken over.
func (s *session) assign(now time.Time) {
	until := s.writer.at.written.Add(s.writer.at.For)
	if !now.Before(until) {
		return
	}
	for s.idle > 0 {
		l := s.lanes.next(now)
		if l == nil {
			return
		}
		s.idle--
		s.assignments <- assignment{lane: l, event: l.queue[0].event, done: l.queue[0].done, until: until}
	}
}

// nextWake is when something is due if nothing happens before.
func (s *session) nextWake(now time.Time) time.Time {
	next := s.lanes.wakeBefore(s.writer.writeAt())
	if next.Before(now) {
		return now
	}
	return next
}
