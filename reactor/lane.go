package reactor

import (
	"cmp"
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

// lanes are the streams of a session, by what can be done for them now.
type lanes struct {
	log      progress
	byStream map[eventstore.StreamID]*lane
	ready    []*lane // whose first event can be handled now
	retry    retries // that wait until it is time to try again
	held     map[*Breaker]*hold
}

// of returns the lane of a stream.
func (q *lanes) of(stream eventstore.StreamID) *lane {
	l := q.byStream[stream]
	if l == nil {
		l = &lane{stream: stream}
		q.byStream[stream] = l
	}
	return l
}

// next returns the lane that has been ready longest, for a worker, or nil.
func (q *lanes) next(now time.Time) *lane {
	if len(q.ready) == 0 {
		return nil
	}
	l := q.ready[0]
	q.ready = q.ready[1:]
	l.state = laneBusy
	if l.first.IsZero() {
		l.first = now
	}
	return l
}

func (q *lanes) makeReady(l *lane) {
	if l.state == laneIdle && len(l.queue) > 0 {
		l.state = laneReady
		q.ready = append(q.ready, l)
	}
}

// pop takes the first event off a lane, because it is done or its document has it.
func (q *lanes) pop(l *lane) task {
	t := l.queue[0]
	l.queue[0] = task{}
	l.queue = l.queue[1:]
	l.attempts, l.first = 0, time.Time{}
	q.log.pass(t)
	return t
}

// tryLater makes a lane wait for a time.
func (q *lanes) tryLater(l *lane, at time.Time) {
	l.state, l.wakeAt = laneRetry, at
	heap.Push(&q.retry, l)
}

// hold is the lanes that wait for a breaker.
type hold struct {
	until time.Time // when one of them is let through
	probe *lane     // that one
	lanes []*lane   // the others, the one to be let through first
}

// holdAt makes a lane wait for a breaker, behind those that wait already. The breaker itself says for how long, because
// an error of it may be old.
func (q *lanes) holdAt(l *lane, breaker *Breaker) {
	h := q.held[breaker]
	if h == nil {
		h = new(hold)
		q.held[breaker] = h
	}
	if h.probe == l {
		h.probe = nil
	}
	l.state = laneHeld
	h.lanes = append(h.lanes, l)
	_, h.until = breaker.refuses()
}

// letThrough ends the wait at the breaker that a lane was let through, since it was not refused there.
func (q *lanes) letThrough(l *lane, refused *Breaker) {
	for breaker, h := range q.held {
		if h.probe != l || breaker == refused {
			continue
		}
		delete(q.held, breaker)
		for _, waiting := range h.lanes {
			waiting.state = laneIdle
			q.makeReady(waiting)
		}
	}
}

// wake makes those ready whose time has come. Of those at a breaker it is one: the others wait for what becomes of
// it.
func (q *lanes) wake(now time.Time) {
	for len(q.retry) > 0 && !q.retry[0].wakeAt.After(now) {
		l := heap.Pop(&q.retry).(*lane)
		l.state = laneIdle
		q.makeReady(l)
	}
	for _, h := range q.held {
		if h.probe != nil || h.until.After(now) {
			continue
		}
		h.probe = h.lanes[0]
		h.lanes = slices.Delete(h.lanes, 0, 1)
		h.probe.state = laneIdle
		q.makeReady(h.probe)
	}
}

// wakeBefore returns when the first wait of a lane ends, if that is before a time, or else that time.
func (q *lanes) wakeBefore(next time.Time) time.Time {
	if len(q.retry) > 0 && q.retry[0].wakeAt.Before(next) {
		next = q.retry[0].wakeAt
	}
	for _, h := range q.held {
		if h.probe == nil && h.until.Before(next) {
			next = h.until
		}
	}
	return next
}

// heldBy returns how many lanes wait for each breaker, or nil if none does.
func (q *lanes) heldBy() (held map[string]int) {
	for breaker, h := range q.held {
		if held == nil {
			held = make(map[string]int)
		}
		held[breaker.name] += len(h.lanes)
		if h.probe != nil {
			held[breaker.name]++
		}
	}
	return held
}

// open lists the events that were read from the log and are not done, in the log's order.
func (q *lanes) open() []openEvent {
	var open []openEvent
	for _, l := range q.byStream {
		for _, t := range l.queue {
			if t.passage == nil {
				continue
			}
			open = append(open, openEvent{Position: t.event.Position, Index: t.event.Index, Type: t.event.Type(), Done: t.done})
		}
	}
	slices.SortFunc(open, func(a, b openEvent) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), cmp.Compare(a.Index, b.Index))
	})
	return open
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
