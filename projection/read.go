package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// GetOption is an option of one Get.
type GetOption func(*getOptions)

type getOptions struct{ at eventstore.Position }

// At makes Get wait until the view has folded the log up to a position, such as the position in a command's result, so that a
// client reads its own writes. It waits for this fold version: what an older one has folded does not count.
func At(position eventstore.Position) GetOption { return func(o *getOptions) { o.at = position } }

// Get gives the document under a key. It returns an error that matches ErrNotFound where there is none, ErrNotReady while
// no version of the view is built, and with [At] one that matches ErrPositionAhead where the log does not have the position,
// or ErrParked where the key is parked and so will not come there. With At it blocks until the view is there or ctx ends.
func (v *View[V]) Get(ctx context.Context, key string, options ...GetOption) (V, error) {
	var o getOptions
	for _, option := range options {
		option(&o)
	}
	if o.at > 0 {
		return v.getAt(ctx, key, o.at)
	}
	var entry kv.Entry[V]
	err := v.onCurrent(ctx, func(g *served[V]) (err error) {
		entry, err = g.documents.Get(ctx, key)
		return err
	})
	return entry.Value, err
}

// onCurrent reads from the present generation, and again if readers were led to another meanwhile: what was read on the one
// before may be older than what another reader has read on this one, and the bucket may be gone.
func (v *View[V]) onCurrent(ctx context.Context, read func(*served[V]) error) error {
	for {
		g, err := v.acquire()
		if err != nil {
			return err
		}
		err = read(g)
		good := v.serving.good(g)
		v.release(g)
		switch {
		case !good && ctx.Err() == nil:
		case errors.Is(err, jetstream.ErrStreamNotFound) && ctx.Err() == nil:
			if err := v.gone(ctx, g); err != nil {
				return v.failed(err)
			}
		default:
			return v.failed(err)
		}
	}
}

// gone waits until readers are led away from a generation whose bucket is gone.
func (v *View[V]) gone(ctx context.Context, g *served[V]) error {
	if err := v.confirm(ctx); err != nil {
		return err
	}
	if v.tracker.now().slot(g.version.FoldVersion).Serving == g.version.Bucket {
		return fmt.Errorf("%w: bucket %s was deleted, run the view to have it built anew", ErrNotReady, g.version.Bucket)
	}
	select {
	case <-g.until:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (v *View[V]) getAt(ctx context.Context, key string, position eventstore.Position) (V, error) {
	g, err := v.await(ctx, position)
	if err != nil {
		return *new(V), err
	}
	defer v.release(g)
	// A replica may not have what was waited for. A key that is not parked now has come to the position, whatever becomes of it
	// before its document is read.
	parked, err := g.parked.GetLeader(ctx, key)
	switch {
	case err == nil:
		return *new(V), v.failed(fmt.Errorf("key %q: %w since position %d: %s", key, ErrParked, parked.Value.Position, parked.Value.Error))
	case !errors.Is(err, kv.ErrNotFound):
		return *new(V), v.failed(err)
	}
	entry, err := g.documents.GetLeader(ctx, key)
	return entry.Value, v.failed(err)
}

// GetMany gives the documents under several keys, as they were at one point in time; those that are not there are absent. See
// [kv.Bucket.GetMany]. It fails like [View.Get].
func (v *View[V]) GetMany(ctx context.Context, keys ...string) (map[string]kv.Entry[V], error) {
	var entries map[string]kv.Entry[V]
	err := v.onCurrent(ctx, func(g *served[V]) (err error) {
		entries, err = g.documents.GetMany(ctx, keys...)
		return err
	})
	return entries, err
}

// List gives the documents whose keys match one of the patterns, or all, least recently changed first. A pattern is a
// key in which a level may be *, and the last one >. All are of the version that was read when it began. See
// [kv.Bucket.List] for what is guaranteed while the view changes. It fails like [View.Get].
func (v *View[V]) List(ctx context.Context, patterns ...string) iter.Seq2[kv.Entry[V], error] {
	return func(yield func(kv.Entry[V], error) bool) {
		g, err := v.acquire()
		if err != nil {
			yield(kv.Entry[V]{}, err)
			return
		}
		defer v.release(g)
		for entry, err := range g.documents.List(ctx, patterns...) {
			if !yield(entry, v.failed(err)) {
				return
			}
		}
	}
}

// Watch gives the documents as List does, then a change that is Synced, and then every change until ctx ends. When readers are
// led to another version, it ends with an error that matches ErrVersionChanged: watch again to see the new one from its
// begin. See [kv.Bucket.Watch].
func (v *View[V]) Watch(ctx context.Context, patterns ...string) iter.Seq2[kv.Change[V], error] {
	return func(yield func(kv.Change[V], error) bool) {
		g, err := v.acquire()
		if err != nil {
			yield(kv.Change[V]{}, err)
			return
		}
		defer v.release(g)
		ctx, end := g.whileServed(ctx)
		defer end()
		for change, err := range g.documents.Watch(ctx, patterns...) {
			if !yield(change, v.failed(err)) {
				return
			}
		}
	}
}

// WaitFor blocks until the view has folded the log up to a position, by whichever process runs it, and there is something to
// read. It returns an error that matches ErrPositionAhead where the log does not have the position, or the cause of ctx.
func (v *View[V]) WaitFor(ctx context.Context, position eventstore.Position) error {
	g, err := v.await(ctx, position)
	if err == nil {
		v.release(g)
	}
	return err
}

// await gives the generation that is read once it has come to a position. The caller releases it.
func (v *View[V]) await(ctx context.Context, position eventstore.Position) (*served[V], error) {
	checked := false
	for {
		g, changed, err := v.serving.acquire()
		if err != nil {
			if g != nil {
				v.release(g)
			}
			return nil, v.failed(err)
		}
		if g != nil && g.version.FoldVersion != v.foldVersion {
			v.release(g)
			g = nil
		}
		if g != nil && v.reached(g, position) {
			return g, nil
		}
		if !checked {
			if err := v.checkAhead(ctx, position); err != nil {
				if g != nil {
					v.release(g)
				}
				return nil, err
			}
			checked = true
		}
		if g != nil {
			reached, err := v.reach(ctx, g, position)
			if reached {
				return g, nil
			}
			v.release(g)
			if err != nil {
				return nil, err
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, v.waited(ctx, position)
		}
	}
}

func (v *View[V]) checkAhead(ctx context.Context, position eventstore.Position) error {
	end, err := v.store.End(ctx)
	if err != nil {
		return v.failed(err)
	}
	if position > end {
		return v.failed(fmt.Errorf("%w: %d is asked for, the log ends at %d", ErrPositionAhead, position, end))
	}
	return nil
}

// reached reports whether the runner of this process has come to the position.
func (v *View[V]) reached(g *served[V], position eventstore.Position) bool {
	now := v.progress.get()
	return now.build == g.version.Build && now.position >= position
}

// reach blocks until a generation has come to the position, or readers are led elsewhere, which is neither reached nor an error.
func (v *View[V]) reach(ctx context.Context, g *served[V], position eventstore.Position) (reached bool, err error) {
	for {
		now := v.progress.get()
		switch {
		case now.build != g.version.Build:
			return v.reachElsewhere(ctx, g, position)
		case now.position >= position:
			return true, nil
		}
		select {
		case <-now.changed:
		case <-g.until:
			return false, nil
		case <-ctx.Done():
			return false, v.waited(ctx, position)
		}
	}
}

// reachElsewhere watches the checkpoint in the bucket, which another process moves.
func (v *View[V]) reachElsewhere(ctx context.Context, g *served[V], position eventstore.Position) (reached bool, err error) {
	watching, end := g.whileServed(ctx)
	defer end()
	for change, err := range g.checkpoint.Watch(watching) {
		switch {
		case ctx.Err() != nil:
			return false, v.waited(ctx, position)
		case g.moved():
			return false, nil
		case err != nil:
			return false, v.failed(err)
		case change.Value.Position >= position:
			return true, nil
		}
	}
	return false, nil
}

func (v *View[V]) waited(ctx context.Context, position eventstore.Position) error {
	return fmt.Errorf("projection: view %s has not reached position %d: is it running? %w", v.name, position, context.Cause(ctx))
}
