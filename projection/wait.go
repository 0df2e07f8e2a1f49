package projection

import (
	"context"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
)

// WaitFor blocks until the view has folded the log up to a position, by whichever process runs it, and there is
// something to read. A Get of this View that begins afterwards reads nothing older. WaitFor returns an error that
// matches ErrPositionAhead if the log does not have the position, or the cause of ctx.
func (v *View[V]) WaitFor(ctx context.Context, position eventstore.Position) error {
	g, err := v.reader.await(ctx, position)
	if err == nil {
		v.guide.release(g)
	}
	return err
}

// await returns the generation that is read once it has come to a position. The caller releases it.
func (r *reader[V]) await(ctx context.Context, position eventstore.Position) (*served[V], error) {
	checked := false
	for {
		g, changed, err := r.acquireOwn()
		if err != nil {
			return nil, r.failed(err)
		}
		if g != nil && r.reached(g, position) {
			return g, nil
		}
		if !checked {
			if err := r.checkAhead(ctx, position); err != nil {
				if g != nil {
					r.guide.release(g)
				}
				return nil, err
			}
			checked = true
		}
		if g != nil {
			reached, err := r.reach(ctx, g, position)
			if reached {
				return g, nil
			}
			r.guide.release(g)
			if err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, r.waited(ctx, position)
		}
	}
}

// acquireOwn returns the present generation if it is of this fold version, or nil, and what is closed when there is
// another. The caller releases it.
func (r *reader[V]) acquireOwn() (g *served[V], changed <-chan struct{}, err error) {
	if err := r.ended(); err != nil {
		return nil, nil, err
	}
	g, changed, err = r.guide.serving.acquire()
	if g != nil && (err != nil || g.version.FoldVersion != r.foldVersion) {
		r.guide.release(g)
		g = nil
	}
	return g, changed, err
}

func (r *reader[V]) checkAhead(ctx context.Context, position eventstore.Position) error {
	end, err := r.store.End(ctx)
	if err != nil {
		return r.failed(err)
	}
	if position > end {
		return r.failed(fmt.Errorf("%w: %d is asked for, the log ends at %d", ErrPositionAhead, position, end))
	}
	return nil
}

// reached reports whether the runner of this process has come to the position.
func (r *reader[V]) reached(g *served[V], position eventstore.Position) bool {
	now := r.progress.get()
	return now.build == g.version.Build && r.comes(now.at, position)
}

// comes reports whether a checkpoint has come to the position. If so, nothing before it is read any more.
func (r *reader[V]) comes(at checkpoint, position eventstore.Position) bool {
	if at.Position < position {
		return false
	}
	r.seen.raise(at)
	return true
}

// reach blocks until a generation has come to the position, or readers are led elsewhere, which is neither reached nor
// an error.
func (r *reader[V]) reach(ctx context.Context, g *served[V], position eventstore.Position) (reached bool, err error) {
	r.progress.want(position)
	for {
		now := r.progress.get()
		switch {
		case now.build != g.version.Build:
			return r.reachElsewhere(ctx, g, position)
		case r.comes(now.at, position):
			return true, nil
		}
		select {
		case <-now.changed:
		case <-g.until:
			return false, nil
		case <-ctx.Done():
			return false, r.waited(ctx, position)
		}
	}
}

// reachElsewhere waits for the checkpoint in the bucket, which another process moves.
func (r *reader[V]) reachElsewhere(ctx context.Context, g *served[V], position eventstore.Position) (reached bool, err error) {
	for {
		at, changed := g.stands(r.spec)
		if r.comes(at, position) {
			return true, nil
		}
		select {
		case <-changed:
		case <-g.until:
			return false, nil
		case <-ctx.Done():
			return false, r.waited(ctx, position)
		}
	}
}

func (r *reader[V]) waited(ctx context.Context, position eventstore.Position) error {
	return fmt.Errorf("projection: view %s has not reached position %d: is it running? %w", r.name, position, context.Cause(ctx))
}
