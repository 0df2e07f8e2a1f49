package projection

import (
	"context"
	"errors"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/kvstream"
	"github.com/runnel-go/runnel/internal/runner"
)

// buckets makes, opens and deletes the buckets of a view, and asks servers about them.
type buckets[V any] struct {
	*spec[V]
	client *jsapi.Client // for what package kv does not do
}

// discard deletes the bucket of a build that can never serve. If it cannot be deleted now, it is left for Prune.
func (b *buckets[V]) discard(ctx context.Context, bucket string) {
	if err := b.remove(ctx, []string{bucket}); err != nil {
		b.logger.WarnContext(ctx, "projection: the bucket of a build is left for Prune", "bucket", bucket, "error", err)
	}
}

// list lists the buckets of this view of this store.
func (b *buckets[V]) list(ctx context.Context) (mine []string, err error) {
	streams, err := b.client.StreamNames(ctx, kvstream.Subject("*", ">"))
	if err != nil {
		return nil, runner.Unavailable(err)
	}
	for _, stream := range streams {
		bucket, ok := strings.CutPrefix(stream, kvstream.Name(""))
		if !ok || !strings.HasPrefix(bucket, control.ViewPrefix(b.store.Name(), b.name)) {
			continue
		}
		owned, err := b.belongs(ctx, bucket)
		if err != nil {
			return nil, err
		}
		if owned {
			mine = append(mine, bucket)
		}
	}
	return mine, nil
}

// remove deletes buckets of the view. A bucket that is gone already is not an error.
func (b *buckets[V]) remove(ctx context.Context, buckets []string) error {
	for _, name := range buckets {
		if err := b.client.DeleteStream(ctx, kvstream.Name(name)); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return runner.Unavailable(err)
		}
		b.logger.InfoContext(ctx, "projection: bucket deleted", "bucket", name)
	}
	return nil
}

// belongs reports whether a bucket belongs to this view of this store.
func (b *buckets[V]) belongs(ctx context.Context, bucket string) (bool, error) {
	info, err := b.client.StreamInfo(ctx, kvstream.Name(bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return false, nil
	}
	if err != nil {
		return false, runner.Unavailable(err)
	}
	for key, value := range b.metadata() {
		if info.Config.Metadata[key] != value {
			return false, nil
		}
	}
	return true, nil
}

// touch writes the checkpoint of what serves without anything else, so that the next write of its runner fails. It
// returns the checkpoint as it is then, or the zero one if the bucket is gone or cannot be read, because nobody can
// fold into such a bucket. It returns an error that matches kv.ErrConflict if the runner was faster.
func (b *buckets[V]) touch(ctx context.Context, serving Version, change func(*checkpoint)) (checkpoint, error) {
	g, err := b.open(ctx, serving)
	if bucketGone(err) || errors.Is(err, errUnreadable) {
		return checkpoint{}, nil
	}
	if err != nil {
		return checkpoint{}, err
	}
	at, err := g.stand(ctx)
	switch {
	case errors.Is(err, errUnreadable):
		err = nil
	case err == nil:
		change(&at.checkpoint)
		at.Write = newBuild()
		_, err = g.checkpoint.Update(ctx, checkpointKey, at.checkpoint, at.revision)
	}
	return at.checkpoint, errors.Join(err, g.close())
}
