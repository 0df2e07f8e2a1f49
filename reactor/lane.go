package reactor

import (
	"container/heap"
	"container/list"
	"slices"
	"time"

	"github.com/runnel-go/runnel/eventstore"
)

// lane is one stream in a session: its events that wait, of which the first is handled, and its document if it is
// parked.
type lane struct {
	stream eventstore.StreamID
	queue  []task
	state  laneState

	// Of the first event in the queue:
	attempts int       // that failed
	first    time.Time // when it was tried first
	wakeAt   time.Time // when it is tried again, in laneRetry

	document *document // as it should be in the bucket; nil for a stream that is not parked
	revision uint64    // of what is in the bucket, 0 for nothing
	writing  bool      // a write that has no answer yet is about it
}

// task is one event that waits in a lane.
type task struct {
	event   eventstore.Recorded
	done    int           // how many of the events that it decodes to were handled
	passage *list.Element // nil in a replay
}

type laneState uint8

const (
	laneIdle  laneState = iota // nothing can be done for it
	laneReady                  // in ready
	laneBusy                   // at a worker
	laneRetry                  // in retry
	laneHeld                   // at a breaker
)

func (s *session) lane(stream eventstore.StreamID) *lane {
	l := s.lanes[stream]
	if l == nil {
		l = &lane{stream: stream}
		s.lanes[stream] = l
	}
	return l
}

// forget drops a lane about which there is nothing to know.
func (s *session) forget(l *lane) {
	if l.state == laneIdle && len(l.queue) == 0 && l.document == nil && !s.dirty[l] && !l.writing {
		delete(s.lanes, l.stream)
	}
}

func (s *session) push(l *lane, t task) {
	l.queue = append(l.queue, t)
	s.makeReady(l)
}

func (s *session) makeReady(l *lane) {
	if l.state == laneIdle && len(l.queue) > 0 {
		l.state = laneReady
		s.ready = append(s.ready, l)
	}
}

// pop takes the first event off a lane, because it is done or its document has it.
func (s *session) pop(l *lane) task {
	t := l.queue[0]
	l.queue[0] = task{}
	l.queue = l.queue[1:]
	l.attempts, l.first = 0, time.Time{}
	s.pass(t)
	return t
}

// tryLater makes a lane wait for a time.
func (s *session) tryLater(l *lane, at time.Time) {
	l.state, l.wakeAt = laneRetry, at
	heap.Push(&s.retry, l)
}

// hold is the lanes that wait for a breaker.
type hold struct {
	until time.Time // when one of them is let through
	probe *lane     // that one
	lanes []*lane   // the others, the one to be let through first
}

// holdAt makes a lane wait for a breaker, behind those that wait already.
func (s *session) holdAt(l *lane, open *OpenError) {
	h := s.held[open.breaker]
	if h == nil {
		h = new(hold)
		s.held[open.breaker] = h
	}
	if h.probe == l {
		h.probe = nil
	}
	l.state = laneHeld
	h.lanes = append(h.lanes, l)
	h.until = open.Until
}

// letThrough ends the wait at the breaker that a lane was let through, since it was not refused there.
func (s *session) letThrough(l *lane, refused *Breaker) {
	for breaker, h := range s.held {
		if h.probe != l || breaker == refused {
			continue
		}
		delete(s.held, breaker)
		for _, waiting := range h.lanes {
			waiting.state = laneIdle
			s.makeReady(waiting)
		}
	}
}

// wake makes those ready whose time has come. Of those at a breaker it is one: the others wait for what becomes of
// it.
func (s *session) wake(now time.Time) {
	for len(s.retry) > 0 && !s.retry[0].wakeAt.After(now) {
		l := heap.Pop(&s.retry).(*lane)
		l.state = laneIdle
		s.makeReady(l)
	}
	for _, h := range s.held {
		if h.probe != nil || h.until.After(now) {
			continue
		}
		h.probe = h.lanes[0]
		h.lanes = slices.Delete(h.lanes, 0, 1)
		h.probe.state = laneIdle
		s.makeReady(h.probe)
	}
}

// retries is a heap of lanes by the time at which they are tried again.
type retries []*lane

func (r *retries) Len() int           { return len(*r) }
func (r *retries) Less(i, j int) bool { return (*r)[i].wakeAt.Before((*r)[j].wakeAt) }
func (r *retries) Swap(i, j int)      { (*r)[i], (*r)[j] = (*r)[j], (*r)[i] }

// Push appends a lane.
func (r *retries) Push(x any) { *r = append(*r, x.(*lane)) }

// Pop removes the last lane.
func (r *retries) Pop() any {
	last := (*r)[len(*r)-1]
	*r = (*r)[:len(*r)-1]
	return last
}
