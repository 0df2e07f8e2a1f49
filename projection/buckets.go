package projection

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/kvstream"
	"github.com/runnel-go/runnel/internal/runner"
)

// discard deletes the bucket of a build that can never serve. If it cannot be deleted now, it is left for Prune.
func (v *View[V]) discard(ctx context.Context, bucket string) {
	if err := v.deleteBuckets(ctx, []string{bucket}); err != nil {
		v.logger.WarnContext(ctx, "projection: the bucket of a build is left for Prune", "bucket", bucket, "error", err)
	}
}

// buckets lists the buckets of this view of this store.
func (v *View[V]) buckets(ctx context.Context) (mine []string, err error) {
	streams, err := v.client.StreamNames(ctx, kvstream.Subject("*", ">"))
	if err != nil {
		return nil, runner.Unavailable(err)
	}
	for _, stream := range streams {
		bucket, ok := strings.CutPrefix(stream, kvstream.Name(""))
		if !ok || !strings.HasPrefix(bucket, control.ViewPrefix(v.store.Name(), v.name)) {
			continue
		}
		owned, err := v.belongs(ctx, bucket)
		if err != nil {
			return nil, err
		}
		if owned {
			mine = append(mine, bucket)
		}
	}
	return mine, nil
}

// deleteBuckets deletes buckets of the view. A bucket that is gone already is not an error.
func (v *View[V]) deleteBuckets(ctx context.Context, buckets []string) error {
	for _, name := range buckets {
		if err := v.client.DeleteStream(ctx, kvstream.Name(name)); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return runner.Unavailable(err)
		}
		v.logger.InfoContext(ctx, "projection: bucket deleted", "bucket", name)
	}
	return nil
}

// belongs reports whether a bucket belongs to this view of this store.
func (v *View[V]) belongs(ctx context.Context, bucket string) (bool, error) {
	info, err := v.client.StreamInfo(ctx, kvstream.Name(bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil
	}
	if err != nil {
		return false, runner.Unavailable(err)
	}
	for key, value := range v.metadata() {
		if info.Config.Metadata[key] != value {
			return false, nil
		}
	}
	return true, nil
}
