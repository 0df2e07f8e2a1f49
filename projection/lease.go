package projection

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"github.com/runnel-go/runnel/kv"
)

// The lease of a build is a cell of the view's catalog, which also says how far the build is:
//
//	lease -> renew, as the build goes on -> deleted, when it serves
//	                                     -> abandon, when it fails
//	      -> another has it: wait until it is silent, then take it over and sweep what it left

// lease takes the right to build the fold version, or waits until whoever has it is done, and gives errTaken.
func (b *build[V]) lease(ctx context.Context) error {
	v, key := b.view, versionKey(b.view.foldVersion)
	entry, err := v.catalog.building.GetLeader(ctx, key)
	switch {
	case errors.Is(err, kv.ErrNotFound):
	case err != nil:
		return err
	case entry.Value.Runner != v.runner:
		v.logger.InfoContext(ctx, "projection: another instance builds the view, standing by", "build", entry.Value.Build)
		if err := quiet(ctx, v.cfg.standBy(), v.buildingAt(key), func(Building) bool { return false }); err != nil {
			return err
		}
		now, err := v.catalog.building.GetLeader(ctx, key)
		if errors.Is(err, kv.ErrNotFound) {
			return errors.Join(errTaken, kv.ErrUnavailable)
		}
		if err != nil {
			return err
		}
		entry = now
	}
	b.revision = entry.Revision
	if err := b.renew(ctx); err != nil {
		return err
	}
	return b.sweep(ctx)
}

// renew writes the lease, and gives errTaken where somebody else has done so.
func (b *build[V]) renew(ctx context.Context) error {
	v := b.view
	b.beat++
	b.leased = time.Now()
	revision, err := v.catalog.building.Update(ctx, versionKey(v.foldVersion), Building{
		Build: b.id, Bucket: v.catalog.bucketOf(v.foldVersion, b.id), Runner: v.runner, Progress: b.progress, Beat: b.beat,
	}, b.revision)
	if errors.Is(err, kv.ErrConflict) {
		return errors.Join(errTaken, kv.ErrUnavailable, err)
	}
	b.revision = revision
	return err
}

// unlessTaken gives errTaken for the error of a build whose lease has run out: whoever has it now has deleted the bucket.
func (b *build[V]) unlessTaken(ctx context.Context, err error) error {
	if b.generation == nil || errors.Is(err, errTaken) || ctx.Err() != nil {
		return err
	}
	entry, readErr := b.view.catalog.building.GetLeader(ctx, versionKey(b.view.foldVersion))
	if readErr == nil && entry.Revision != b.revision || errors.Is(readErr, kv.ErrNotFound) {
		return errors.Join(errTaken, kv.ErrUnavailable, err)
	}
	return err
}

// sweep deletes what builds of this fold version left that came to nothing. Nobody else builds it now. What has served, and
// so was retired, is for Prune.
func (b *build[V]) sweep(ctx context.Context) error {
	v := b.view
	serving, _, err := v.catalog.version(ctx, versionKey(v.foldVersion))
	if err != nil {
		return err
	}
	prefix := v.catalog.bucketOf(v.foldVersion, "")
	left, err := v.buckets(ctx, func(bucket string) bool {
		return strings.HasPrefix(bucket, prefix) && bucket != serving.Bucket
	})
	if err != nil {
		return err
	}
	var doomed []string
	for _, bucket := range left {
		g, err := openGeneration(ctx, v, Version{Bucket: bucket})
		if err != nil {
			return err
		}
		at, err := g.stand(ctx)
		if err = errors.Join(err, g.close()); err != nil {
			return err
		}
		if at.Retired == "" {
			doomed = append(doomed, bucket)
		}
	}
	return v.deleteBuckets(ctx, doomed)
}

// abandon deletes what the build made. Where that fails, the next build sweeps it.
func (b *build[V]) abandon(ctx context.Context) error {
	if b.generation == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if entry, err := b.view.catalog.building.GetLeader(ctx, versionKey(b.view.foldVersion)); err == nil && entry.Revision == b.revision {
		if err := b.view.catalog.building.Delete(ctx, versionKey(b.view.foldVersion)); err != nil {
			b.view.logger.DebugContext(ctx, "projection: the lease of a build runs out by itself", "error", err)
		}
	}
	return b.generation.close()
}

// buildingAt watches the lease of one fold version.
func (v *View[V]) buildingAt(key string) func(context.Context) iter.Seq2[kv.Change[Building], error] {
	return func(ctx context.Context) iter.Seq2[kv.Change[Building], error] {
		return func(yield func(kv.Change[Building], error) bool) {
			for change, err := range v.catalog.building.Watch(ctx) {
				if err == nil && !change.Synced && change.Key != key {
					continue
				}
				if !yield(change, err) || err != nil {
					return
				}
			}
		}
	}
}
