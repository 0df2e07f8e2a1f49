package projection

import (
	"context"
	"fmt"
	"iter"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// GetOption is an option of one Get.
type GetOption func(*getOptions)

type getOptions struct{ at eventstore.Position }

// At makes Get wait until the view has folded the log up to a position, such as that of a command's result: so a client
// reads its own writes.
func At(position eventstore.Position) GetOption { return func(o *getOptions) { o.at = position } }

// Get gives the document under a key. It returns an error that matches ErrNotFound where there is none, and with [At]
// one that matches ErrPositionAhead where the log does not have the position. With At it blocks until the view is there
// or ctx ends.
func (v *View[V]) Get(ctx context.Context, key string, options ...GetOption) (V, error) {
	var o getOptions
	for _, option := range options {
		option(&o)
	}
	get := v.documents.Get
	if o.at > 0 {
		if err := v.WaitFor(ctx, o.at); err != nil {
			return *new(V), err
		}
		get = v.documents.GetLeader // a replica may not have what was waited for
	}
	entry, err := get(ctx, key)
	if err != nil {
		return entry.Value, fmt.Errorf("projection: view %s: %w", v.name, err)
	}
	return entry.Value, nil
}

// List gives the documents whose keys match one of the patterns, or all, least recently changed first. A pattern is a
// key in which a level may be *, and the last one >. See [kv.Bucket.List] for what is guaranteed while the view changes.
func (v *View[V]) List(ctx context.Context, patterns ...string) iter.Seq2[kv.Entry[V], error] {
	return v.documents.List(ctx, patterns...)
}

// Watch gives the documents as List does, then a change that is Synced, and then every change until ctx ends. See
// [kv.Bucket.Watch].
func (v *View[V]) Watch(ctx context.Context, patterns ...string) iter.Seq2[kv.Change[V], error] {
	return v.documents.Watch(ctx, patterns...)
}

// WaitFor blocks until the view has folded the log up to a position, by whichever process runs it. It returns an error
// that matches ErrPositionAhead where the log does not have the position, or the cause of ctx.
func (v *View[V]) WaitFor(ctx context.Context, position eventstore.Position) error {
	if v.progress.get().position >= position {
		return nil
	}
	end, err := v.store.End(ctx)
	if err != nil {
		return fmt.Errorf("projection: view %s: %w", v.name, err)
	}
	if position > end {
		return fmt.Errorf("projection: view %s: %w: %d is asked for, the log ends at %d", v.name, ErrPositionAhead, position, end)
	}
	for {
		now := v.progress.get()
		switch {
		case now.position >= position:
			return nil
		case !now.running:
			return v.waitForOther(ctx, position)
		}
		select {
		case <-now.changed:
		case <-ctx.Done():
			return v.waited(ctx, position)
		}
	}
}

// waitForOther watches the checkpoint in the bucket, which another process moves.
func (v *View[V]) waitForOther(ctx context.Context, position eventstore.Position) error {
	for change, err := range v.checkpoint.Watch(ctx) {
		if err != nil {
			if ctx.Err() != nil {
				return v.waited(ctx, position)
			}
			return fmt.Errorf("projection: view %s: %w", v.name, err)
		}
		if change.Value.Position >= position {
			return nil
		}
	}
	return v.waited(ctx, position)
}

func (v *View[V]) waited(ctx context.Context, position eventstore.Position) error {
	return fmt.Errorf("projection: view %s has not reached position %d: is it running? %w", v.name, position, context.Cause(ctx))
}
