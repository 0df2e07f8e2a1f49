package saga

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/runnel-go/runnel/eventstore"
)

// The longest random waits that keep runners from taking up one saga at the same moment.
const (
	spreadWork     = 20 * time.Millisecond
	spreadDeadline = 50 * time.Millisecond
)

// agenda has the open sagas in the order in which they are due for a runner: when nobody has claimed them, when the
// claim of another is over, when a try is due, or a deadline passes.
type agenda[S any] struct {
	sagas map[string]*item[S]
	due   queue[S]
}

// item is one saga in the agenda.
type item[S any] struct {
	saga  instance[S] // without head and data where only its status is known
	due   time.Time
	index int    // in the queue, or -1 if it is never due by itself
	left  string // why it cannot be run here, or ""
	told  bool   // somebody was told so
	news  bool   // something was learnt of it since a runner took it up

	heard eventstore.Version // of the newest commit that was not taken in: nothing older is believed
}

func newAgenda[S any]() *agenda[S] { return &agenda[S]{sagas: make(map[string]*item[S])} }

// get returns what is known of a saga.
func (a *agenda[S]) get(id string) (in instance[S], known bool) {
	it, known := a.sagas[id]
	if known {
		in = it.saga
	}
	return in, known
}

// set takes over what a saga is, if that is news. One that has ended stays known until it is forgotten, so that the log
// brings nothing new of it later.
func (a *agenda[S]) set(in instance[S], now time.Time) (news bool) {
	it, known := a.sagas[in.id]
	switch {
	case known && (in.status.Version <= it.saga.status.Version || in.status.Version < it.heard), !known && in.status.State.Final():
		return false
	case !known:
		it = &item[S]{index: -1}
		a.sagas[in.id] = it
	}
	it.saga, it.news = in, true
	a.schedule(it, dueAt(in.status, now))
	return true
}

// leave makes a saga never due before it changes, since it cannot be run here. If it may have changed since it was
// looked at, it is due at once. It reports whether somebody was told.
func (a *agenda[S]) leave(id, reason string, now time.Time) (told bool) {
	it, known := a.sagas[id]
	if !known {
		it = &item[S]{saga: instance[S]{id: id}, index: -1}
		a.sagas[id] = it
	}
	told, it.left, it.told = it.told, reason, true
	if it.news {
		a.look(id, it.heard, now)
	} else {
		a.schedule(it, time.Time{})
	}
	return told
}

// look makes a saga due that has changed, up to a version, without that being taken in. Nothing that was known of it is
// kept, because it may not hold any more.
func (a *agenda[S]) look(id string, heard eventstore.Version, now time.Time) {
	it := a.sagas[id]
	it.saga, it.news, it.heard = instance[S]{id: id}, true, max(it.heard, heard)
	a.schedule(it, now)
}

// again makes a saga due that has changed since a runner took it up, without that being taken in.
func (a *agenda[S]) again(id string, now time.Time) {
	if it, known := a.sagas[id]; known && it.news && it.saga.status.Version == 0 {
		a.schedule(it, now)
	}
}

// fits says that a saga can be run here as it is, however it was before.
func (a *agenda[S]) fits(id string) {
	if it, known := a.sagas[id]; known {
		it.left = ""
	}
}

// left returns why a saga cannot be run here, or "". News of the saga alone does not change that: see fits.
func (a *agenda[S]) left(id string) string {
	if it, known := a.sagas[id]; known {
		return it.left
	}
	return ""
}

// forget takes a saga out.
func (a *agenda[S]) forget(id string) {
	if it, known := a.sagas[id]; known {
		a.schedule(it, time.Time{})
		delete(a.sagas, id)
	}
}

// renew makes a saga due as what it is says.
func (a *agenda[S]) renew(id string, now time.Time) {
	if it, known := a.sagas[id]; known {
		a.schedule(it, dueAt(it.saga.status, now))
	}
}

// dueAt returns when a runner has to look after a saga, or the zero time for never.
func dueAt(s Status, now time.Time) time.Time {
	switch {
	case !s.open():
		return time.Time{}
	case s.State == StateWaiting:
		return s.Current().Deadline.Add(rand.N(spreadDeadline))
	case s.Runner == "" && s.Again.After(now):
		// Both times are by the clock of the runner that failed, which may be ahead of this one.
		wait := min(s.Again.Sub(s.Changed), s.Again.Sub(now))
		return now.Add(max(wait, 0) + rand.N(spreadWork))
	case s.Runner == "":
		return now.Add(rand.N(spreadWork))
	default:
		// The claim is counted from when it was heard of, so no clock is compared with another. That holds for claims
		// of this runner too: if work on one ended early, nobody else may have noticed.
		return now.Add(s.ClaimFor + rand.N(spreadWork))
	}
}

// first returns the saga that is due first.
func (a *agenda[S]) first() (in instance[S], due time.Time, found bool) {
	if len(a.due) == 0 {
		return instance[S]{}, time.Time{}, false
	}
	return a.due[0].saga, a.due[0].due, true
}

// take says that a runner takes a saga up as it is known.
func (a *agenda[S]) take(id string) {
	if it, known := a.sagas[id]; known {
		it.news = false
	}
}

// postpone makes a saga due at another time.
func (a *agenda[S]) postpone(id string, due time.Time) {
	if it, known := a.sagas[id]; known {
		a.schedule(it, due)
	}
}

// schedule puts an item into the queue, or takes it out if the time is zero.
func (a *agenda[S]) schedule(it *item[S], due time.Time) {
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
type queue[S any] []*item[S]

func (q *queue[S]) Len() int           { return len(*q) }
func (q *queue[S]) Less(i, j int) bool { return (*q)[i].due.Before((*q)[j].due) }
func (q *queue[S]) Swap(i, j int) {
	items := *q
	items[i], items[j] = items[j], items[i]
	items[i].index, items[j].index = i, j
}

// Push is for package heap.
func (q *queue[S]) Push(x any) {
	it := x.(*item[S])
	it.index = len(*q)
	*q = append(*q, it)
}

// Pop is for package heap.
func (q *queue[S]) Pop() any {
	last := len(*q) - 1
	it := (*q)[last]
	it.index = -1
	(*q)[last] = nil
	*q = (*q)[:last]
	return it
}
