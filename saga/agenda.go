package saga

import (
	"container/heap"
	"math/rand/v2"
	"time"
)

// The longest random waits that keep runners from taking up one saga at the same moment.
const (
	spreadWork     = 20 * time.Millisecond
	spreadDeadline = 50 * time.Millisecond
)

// agenda has the open sagas in the order in which they are due for a runner: when nobody has claimed them, when the
// claim of another is over, when a try is due, or a deadline passes.
type agenda struct {
	sagas map[string]*item
	due   queue
}

// item is one saga in the agenda.
type item struct {
	status Status
	due    time.Time
	index  int // in the queue, or -1 where it is never due by itself
}

func newAgenda() *agenda { return &agenda{sagas: make(map[string]*item)} }

// status gives what is known of a saga.
func (a *agenda) status(id string) (s Status, known bool) {
	it, known := a.sagas[id]
	if known {
		s = it.status
	}
	return s, known
}

// set takes over what a saga is, if that is news. One that has ended stays known until it is forgotten, so that what the log
// says of it later is no news.
func (a *agenda) set(s Status, now time.Time) (news bool) {
	it, known := a.sagas[s.ID]
	switch {
	case known && s.Version <= it.status.Version || !known && s.State.Final():
		return false
	case !known:
		it = &item{index: -1}
		a.sagas[s.ID] = it
	}
	it.status = s
	a.schedule(it, dueAt(s, now))
	return true
}

// forget takes a saga out.
func (a *agenda) forget(id string) {
	if it, known := a.sagas[id]; known {
		a.schedule(it, time.Time{})
		delete(a.sagas, id)
	}
}

// renew makes a saga due as what it is says.
func (a *agenda) renew(id string, now time.Time) {
	if it, known := a.sagas[id]; known {
		a.schedule(it, dueAt(it.status, now))
	}
}

// dueAt gives when a runner has to look after a saga, or the zero time.
func dueAt(s Status, now time.Time) time.Time {
	switch {
	case !s.open():
		return time.Time{}
	case s.State == StateWaiting:
		return s.Current().Deadline.Add(rand.N(spreadDeadline))
	case s.Runner == "" && s.Again.After(now):
		return s.Again.Add(rand.N(spreadWork))
	case s.Runner == "":
		return now.Add(rand.N(spreadWork))
	default:
		// The claim is counted from when it was heard of, so no clock is compared with another. That holds for claims
		// of this runner too: where work on one ended early, nobody else may have noticed.
		return now.Add(s.ClaimFor + rand.N(spreadWork))
	}
}

// first gives the saga that is due first.
func (a *agenda) first() (s Status, due time.Time, found bool) {
	if len(a.due) == 0 {
		return Status{}, time.Time{}, false
	}
	return a.due[0].status, a.due[0].due, true
}

// postpone makes a saga due at another time.
func (a *agenda) postpone(id string, due time.Time) {
	if it, known := a.sagas[id]; known {
		a.schedule(it, due)
	}
}

// schedule puts an item into the queue, or takes it out where the time is zero.
func (a *agenda) schedule(it *item, due time.Time) {
	it.due = due
	switch {
	case due.IsZero() && it.index >= 0:
		heap.Remove(&a.due, it.index)
	case due.IsZero():
	case it.index >= 0:
		heap.Fix(&a.due, it.index)
	default:
		heap.Push(&a.due, it)
	}
}

// queue is a heap of items, the one that is due first on top.
type queue []*item

func (q *queue) Len() int           { return len(*q) }
func (q *queue) Less(i, j int) bool { return (*q)[i].due.Before((*q)[j].due) }
func (q *queue) Swap(i, j int) {
	items := *q
	items[i], items[j] = items[j], items[i]
	items[i].index, items[j].index = i, j
}

// Push is for package heap.
func (q *queue) Push(x any) {
	it := x.(*item)
	it.index = len(*q)
	*q = append(*q, it)
}

// Pop is for package heap.
func (q *queue) Pop() any {
	last := len(*q) - 1
	it := (*q)[last]
	it.index = -1
	(*q)[last] = nil
	*q = (*q)[:last]
	return it
}
