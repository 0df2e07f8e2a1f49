package projection

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// serving is the generation that readers of this process are led to.
type serving[V any] struct {
	mu      sync.Mutex // guards the fields below
	current *served[V]
	heard   uint64              // the revision of the record that current goes by, or a later one
	floor   eventstore.Position // what serves next must have come to, so that readers do not step back
	held    chan struct{}       // not nil while readers wait for a move to another fold version; closed at its end
	err     error               // why there is nothing to read, if that is not ErrNotReady
	ended   bool                // readers are not led anywhere any more
	changed chan struct{}       // closed when one of them changes
}

// served is a generation with its readers, which finish on the one that they began with.
type served[V any] struct {
	*generation[V]
	until   chan struct{} // closed when readers are led elsewhere
	why     error         // what their watches end with, once until is closed
	readers int           // guarded by serving.mu
	retired bool

	known atomic.Pointer[stand] // the newest checkpoint that a reader has read here, or nil

	follow  sync.Once // begins to follow the checkpoint
	follows sync.WaitGroup
	mu      sync.Mutex // guards the fields below
	at      checkpoint
	changed chan struct{} // closed when at changes
}

// stands returns the checkpoint as it was heard last, and a channel that is closed when that changes. The first call
// begins to follow the checkpoint, until readers are led elsewhere.
func (g *served[V]) stands(of *spec[V]) (checkpoint, <-chan struct{}) {
	g.follow.Do(func() { g.follows.Go(func() { g.followCheckpoint(of) }) })
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.at, g.changed
}

// followCheckpoint watches the checkpoint, which another process moves. It also reads it now and then, since a watch
// may be late.
func (g *served[V]) followCheckpoint(of *spec[V]) {
	ctx, end := g.whileServed(context.Background())
	defer end()
	var watcher sync.WaitGroup
	defer watcher.Wait()
	watcher.Go(func() {
		watch := func(ctx context.Context) iter.Seq2[kv.Change[checkpoint], error] {
			return g.checkpoint.Watch(ctx, checkpointKey)
		}
		keepWatching(ctx, of.logger, "the checkpoint", watch, func(change kv.Change[checkpoint]) { g.heard(change.Value) })
	})
	ask := time.NewTicker(min(of.cfg.Heartbeat, time.Second))
	defer ask.Stop()
	for {
		select {
		case <-ask.C:
		case <-ctx.Done():
			return
		}
		if at, err := g.stand(ctx); err == nil {
			g.heard(at.checkpoint)
		}
	}
}

// know notes that a reader has read a checkpoint.
func (g *served[V]) know(at stand) {
	for now := g.known.Load(); now == nil || now.revision < at.revision; now = g.known.Load() {
		next := at
		if g.known.CompareAndSwap(now, &next) {
			return
		}
	}
}

// last returns the newest checkpoint that a reader has read here, or the zero one.
func (g *served[V]) last() *stand {
	if known := g.known.Load(); known != nil {
		return known
	}
	return &stand{}
}

// rewind takes back that a checkpoint was read if the leader has an older one, because a power cut has taken what came
// after that.
func (g *served[V]) rewind(ctx context.Context, known *stand) {
	if at, err := g.stand(ctx); err == nil && at.revision != 0 && at.revision < known.revision {
		g.known.CompareAndSwap(known, &at)
	}
}

func (g *served[V]) heard(at checkpoint) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at.Position > g.at.Position {
		g.at = at
		close(g.changed)
		g.changed = make(chan struct{})
	}
}

// close waits for what follows the checkpoint, and closes the bucket.
func (g *served[V]) close() error {
	g.follows.Wait()
	return g.generation.close()
}

// whileServed returns a context that ends with ctx, or when readers are led elsewhere: with ErrVersionChanged, or with
// the reason why there is nothing to read. The caller ends it, which waits for its goroutine.
func (g *served[V]) whileServed(ctx context.Context) (context.Context, func()) {
	reading, cancel := context.WithCancelCause(ctx)
	var waiter sync.WaitGroup
	waiter.Go(func() {
		select {
		case <-g.until:
			cancel(g.why)
		case <-reading.Done():
		}
	})
	return reading, func() {
		cancel(nil)
		waiter.Wait()
	}
}

// acquire returns the present generation, or nil if there is none. The caller releases it.
func (s *serving[V]) acquire() (g *served[V], changed <-chan struct{}, err error) {
	s.mu.Lock()
	for s.held != nil {
		held := s.held
		s.mu.Unlock()
		<-held
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	if s.current != nil {
		s.current.readers++
	}
	return s.current, s.changed, s.err
}

func (s *serving[V]) release(g *served[V]) error {
	s.mu.Lock()
	g.readers--
	last := g.retired && g.readers == 0
	s.mu.Unlock()
	if last {
		return g.close()
	}
	return nil
}

// hold makes readers wait until lead or unhold. A read on a generation from which readers are moved is repeated, unless
// it has returned by then.
func (s *serving[V]) hold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = make(chan struct{})
}

func (s *serving[V]) unhold() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unholdLocked()
}

func (s *serving[V]) unholdLocked() {
	if s.held != nil {
		close(s.held)
		s.held = nil
	}
}

// good reports whether what was read on a generation may be returned: readers are not being moved from it.
func (s *serving[V]) good(g *served[V]) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held == nil && s.current == g
}

// lead leads readers to a generation, or to none for a reason.
func (s *serving[V]) lead(to *generation[V], err error) error {
	s.mu.Lock()
	old := s.current
	s.current = nil
	if !s.ended {
		s.err = err
	}
	if to != nil {
		s.current = &served[V]{generation: to, until: make(chan struct{}), why: ErrVersionChanged, changed: make(chan struct{})}
	}
	s.unholdLocked()
	s.changeLocked()
	last := false
	if old != nil {
		if err != nil {
			old.why = err
		}
		close(old.until)
		old.retired = true
		last = old.readers == 0
	}
	s.mu.Unlock()
	if last {
		return old.close()
	}
	return nil
}

// end leads readers to nothing, for good.
func (s *serving[V]) end(err error) error {
	s.mu.Lock()
	if !s.ended {
		s.ended, s.err = true, err
	}
	s.mu.Unlock()
	return s.lead(nil, err)
}

// demand makes readers wait for a generation that has come to a position.
func (s *serving[V]) demand(position eventstore.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.floor = max(s.floor, position)
}

func (s *serving[V]) demanded() eventstore.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.floor
}

// hear notes that current goes by the record as it is at a revision.
func (s *serving[V]) hear(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = revision
	s.changeLocked()
}

// await blocks until current goes by the record as it is at a revision or later, or readers are not led any more.
func (s *serving[V]) await(ctx context.Context, revision uint64) error {
	for {
		s.mu.Lock()
		heard, ended, err, changed := s.heard, s.ended, s.err, s.changed
		s.mu.Unlock()
		switch {
		case heard >= revision:
			return nil
		case ended:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *serving[V]) changeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}
