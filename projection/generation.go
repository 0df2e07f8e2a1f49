package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/runnel-go/runnel/kv"
)

// errDamaged says that a build's bucket is not what a runner left there: a power cut tore its last batch, or somebody
// emptied it.
var errDamaged = errors.New("the view's bucket is damaged")

// generation is one build of a view, opened: a bucket with documents, a checkpoint, and what is parked.
type generation[V any] struct {
	version    Version
	documents  *kv.Bucket[V]
	checkpoint *kv.Cell[checkpoint]
	parked     *kv.Cells[Parked]
}

// openGeneration opens the bucket of a build, and makes it where there is none.
func openGeneration[V any](ctx context.Context, v *View[V], version Version) (*generation[V], error) {
	documents, err := kv.Open[V](ctx, v.store.JetStream(), version.Bucket, v.cfg.bucket(v.logger))
	if err != nil {
		return nil, err
	}
	g := &generation[V]{version: version, documents: documents}
	if g.checkpoint, err = kv.NewCell[checkpoint](documents, "checkpoint"); err == nil {
		g.parked, err = kv.NewCells[Parked](documents, "parked")
	}
	if err != nil {
		return nil, errors.Join(err, documents.Close())
	}
	return g, nil
}

// openServed opens a build that readers were led to, or gives errDamaged where it must not be read.
func openServed[V any](ctx context.Context, v *View[V], version Version) (*generation[V], error) {
	g, err := openGeneration(ctx, v, version)
	if err != nil {
		return nil, err
	}
	if err := g.check(ctx); err != nil {
		return nil, errors.Join(err, g.close())
	}
	return g, nil
}

// check gives errDamaged where the last batch of the bucket was torn by a power cut, or the checkpoint that every build
// ends with is gone.
func (g *generation[V]) check(ctx context.Context) error {
	torn, err := g.documents.Torn(ctx)
	if err != nil {
		return err
	}
	if torn != 0 {
		return fmt.Errorf("%w: the batch at revision %d of %s is not whole", errDamaged, torn, g.version.Bucket)
	}
	at, err := g.stand(ctx)
	if err != nil {
		return err
	}
	if at.revision == 0 {
		return fmt.Errorf("%w: %s has no checkpoint", errDamaged, g.version.Bucket)
	}
	return nil
}

func (g *generation[V]) close() error { return g.documents.Close() }

// serving is the generation that readers of this process are led to. Its readers finish on the one they began with.
type serving[V any] struct {
	mu      sync.Mutex // guards the fields below
	current *served[V]
	heard   uint64        // the revision of the catalog that current goes by, or a later one
	err     error         // why it is not kept up to date any more
	changed chan struct{} // closed when one of them changes
}

// served is a generation with its readers.
type served[V any] struct {
	*generation[V]
	until   <-chan struct{} // closed when readers are led elsewhere
	end     func()
	readers int // guarded by serving.mu
	retired bool
}

// moved reports whether readers are led elsewhere.
func (g *served[V]) moved() bool {
	select {
	case <-g.until:
		return true
	default:
		return false
	}
}

// whileServed gives a context that ends with ctx, or with ErrVersionChanged when readers are led elsewhere. The caller ends
// it, which waits for its goroutine.
func (g *served[V]) whileServed(ctx context.Context) (context.Context, func()) {
	reading, cancel := context.WithCancelCause(ctx)
	var waiter sync.WaitGroup
	waiter.Go(func() {
		select {
		case <-g.until:
			cancel(ErrVersionChanged)
		case <-reading.Done():
		}
	})
	return reading, func() {
		cancel(nil)
		waiter.Wait()
	}
}

// acquire gives the present generation, nil where there is none yet. The caller releases it.
func (s *serving[V]) acquire() (g *served[V], changed <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
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

// lead leads readers to a generation, or to none.
func (s *serving[V]) lead(to *generation[V]) error {
	s.mu.Lock()
	old := s.current
	s.current = nil
	if to != nil {
		until := make(chan struct{})
		s.current = &served[V]{generation: to, until: until, end: func() { close(until) }}
	}
	s.changeLocked()
	last := false
	if old != nil {
		old.end()
		old.retired = true
		last = old.readers == 0
	}
	s.mu.Unlock()
	if last {
		return old.close()
	}
	return nil
}

// hear notes that current goes by the catalog as it is at a revision.
func (s *serving[V]) hear(revision uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = revision
	s.changeLocked()
}

// await blocks until current goes by the catalog as it is at a revision or later, and gives why it does not any more.
func (s *serving[V]) await(ctx context.Context, revision uint64) error {
	for {
		s.mu.Lock()
		heard, err := s.heard, s.err
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		switch {
		case heard >= revision:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *serving[V]) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	s.changeLocked()
}

func (s *serving[V]) changeLocked() {
	if s.changed != nil {
		close(s.changed)
	}
	s.changed = make(chan struct{})
}
