package jsapi

import (
	"sync"
	"sync/atomic"
	"time"
)

// pulse tells all waiting callers that a while has passed. A timer for each wait would cost more, because the
// runtime wakes a thread for each timer that is the next to go off, and nearly all replies come long before.
//
// It beats only while a caller waits. It is safe for concurrent use.
type pulse struct {
	second atomic.Pointer[chan struct{}] // closed at the second beat from now on
	wanted atomic.Bool                   // a caller began to wait since the last beat, so another one must come

	mu      sync.Mutex    // guards the fields below, and stores to the fields above
	first   chan struct{} // closed at the next beat
	beating bool          // the next beat is scheduled
}

// beat is the time from one beat to the next.
const beat = 10 * time.Millisecond

func newPulse() *pulse {
	first, second := make(chan struct{}), make(chan struct{})
	p := &pulse{first: first}
	p.second.Store(&second)
	return p
}

// while returns a channel that is closed when one beat has passed, or up to two.
func (p *pulse) while() <-chan struct{} {
	passed := *p.second.Load()
	if !p.wanted.Load() {
		p.want()
	}
	return passed
}

// want makes the pulse beat once more after the next beat, which is enough for any channel that was taken
// before.
func (p *pulse) want() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wanted.Store(true)
	p.goOn()
}

// strike is one beat.
func (p *pulse) strike() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.first)
	p.first = *p.second.Load()
	second := make(chan struct{})
	p.second.Store(&second)
	p.beating = false
	if p.wanted.Swap(false) {
		p.goOn()
	}
}

// goOn schedules the next beat. The caller holds the lock.
func (p *pulse) goOn() {
	if !p.beating {
		p.beating = true
		time.AfterFunc(beat, p.strike)
	}
}
