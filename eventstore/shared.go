package eventstore

import (
	"context"
	"sync"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// shared asks the servers one question at a time. All callers that wait for the answer share it, also a failure. Each
// waits no longer than its own context, and the question ends when nobody waits any more.
type shared struct {
	running sync.WaitGroup // goroutines that ask

	mu    sync.Mutex // guards the fields below, and the callers of now
	now   *asking    // under way, or nil
	begun uint64     // how many questions were begun
	ended bool       // no more are begun
}

// asking is one question.
type asking struct {
	number  uint64
	callers int
	cancel  context.CancelFunc
	done    chan struct{}
	err     error // once done is closed
}

// count returns how many questions were begun.
func (s *shared) count() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// join waits for the question that is under way, or asks it. It returns the number of that question and its answer, or
// 0 and the cause of ctx if that ends before.
func (s *shared) join(ctx context.Context, ask func(context.Context) error) (number uint64, err error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	a := s.enter(ctx, ask)
	select {
	case <-a.done:
		return a.number, a.err
	case <-ctx.Done():
		s.leave(a)
		return 0, context.Cause(ctx)
	}
}

func (s *shared) enter(ctx context.Context, ask func(context.Context) error) *asking {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == nil && s.ended {
		none := &asking{callers: 1, cancel: func() {}, done: make(chan struct{}), err: jsapi.ErrClosed}
		close(none.done)
		return none
	}
	if s.now == nil {
		s.begun++
		s.now = &asking{number: s.begun, done: make(chan struct{})}
		ctx, s.now.cancel = context.WithCancel(context.WithoutCancel(ctx))
		asking := s.now
		s.running.Go(func() { s.run(ctx, asking, ask) })
	}
	s.now.callers++
	return s.now
}

func (s *shared) run(ctx context.Context, a *asking, ask func(context.Context) error) {
	defer close(a.done)
	a.err = ask(ctx)
	a.cancel()
	s.forget(a)
}

// end lets nobody ask any more, and waits for the question that is under way.
func (s *shared) end() {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	s.running.Wait()
}

// leave takes a caller away from a question.
func (s *shared) leave(a *asking) {
	s.mu.Lock()
	a.callers--
	last := a.callers == 0
	if last && s.now == a {
		s.now = nil
	}
	s.mu.Unlock()
	if last {
		a.cancel()
	}
}

// forget makes the next caller ask anew.
func (s *shared) forget(a *asking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == a {
		s.now = nil
	}
}
