package snapshots

import (
	"context"
	"iter"
	"slices"
	"sync"
)

// queue holds the snapshots to be saved, the newest of each aggregate. put never blocks.
type queue struct {
	size  int
	ready *sync.Cond // on mu: a snapshot waits, or the queue is closed

	mu      sync.Mutex // guards the fields below
	waiting map[string]encoder
	order   []string // the ids that wait, oldest first
	closed  bool
	saving  string        // the id of the snapshot that is being saved
	saved   chan struct{} // closed when that snapshot is saved; nil if none is being saved
}

// encoder returns the document of a snapshot. It runs on the goroutine that saves.
type encoder func(ctx context.Context) ([]byte, error)

func newQueue(size int) *queue {
	q := &queue{size: size, waiting: make(map[string]encoder)}
	q.ready = sync.NewCond(&q.mu)
	return q
}

// put queues a snapshot in place of an older one of the same aggregate. It reports false if a snapshot was dropped:
// this one if the queue is closed, else the oldest.
func (q *queue) put(id string, e encoder) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	_, again := q.waiting[id]
	q.waiting[id] = e
	if again {
		return true
	}
	q.order = append(q.order, id)
	q.ready.Signal()
	if len(q.order) <= q.size {
		return true
	}
	delete(q.waiting, q.order[0])
	q.order = q.order[1:]
	return false
}

// drop removes the waiting snapshot of an aggregate. If another one of the aggregate is being saved, drop returns a
// channel that is closed when it is saved, and else nil.
func (q *queue) drop(id string) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.waiting, id)
	q.order = slices.DeleteFunc(q.order, func(other string) bool { return other == id })
	if q.saved == nil || q.saving != id {
		return nil
	}
	return q.saved
}

// all yields the queued snapshots, and blocks for more until the queue is closed. A snapshot counts as saved when
// the loop asks for the next one.
func (q *queue) all() iter.Seq2[string, encoder] {
	return func(yield func(string, encoder) bool) {
		for {
			id, e, ok := q.next()
			if !ok {
				return
			}
			more := yield(id, e)
			q.done()
			if !more {
				return
			}
		}
	}
}

func (q *queue) next() (id string, e encoder, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.order) == 0 {
		if q.closed {
			return "", nil, false
		}
		q.ready.Wait()
	}
	id = q.order[0]
	e = q.waiting[id]
	delete(q.waiting, id)
	q.order = q.order[1:]
	q.saving, q.saved = id, make(chan struct{})
	return id, e, true
}

// done notes that no snapshot is being saved.
func (q *queue) done() {
	q.mu.Lock()
	defer q.mu.Unlock()
	close(q.saved)
	q.saved = nil
}

func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.ready.Broadcast()
}
