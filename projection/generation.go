package projection

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/kvstream"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// errDamaged says that a build's bucket is not what a runner left there: a power cut tore its last batch, or somebody
// emptied it.
var errDamaged = errors.New("the view's bucket is damaged")

// errUnreadable says that a build's bucket cannot be read with Config.Codec, and what to do.
var errUnreadable = errors.New("what serves cannot be read: rebuild the view, or open it with the codec of its bucket")

// unreadable adds errUnreadable to the error of a checkpoint, or of what is parked, that does not decode.
func unreadable(err error) error {
	failed, ok := errors.AsType[*kv.Error](err)
	if !ok || !errors.Is(err, kv.ErrDecode) {
		return err
	}
	if failed.Key == inside.Single().Prefix()+checkpointKey || strings.HasPrefix(failed.Key, inside.Named("parked").Prefix()) {
		return fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return err
}

// generation is one build of a view, opened: a bucket with documents, a checkpoint, and what is parked.
type generation[V any] struct {
	version    Version
	documents  *kv.Bucket[V]
	checkpoint *kv.Bucket[checkpoint] // under checkpointKey
	parked     *kv.Bucket[Parked]
	life       *kv.Bucket[life] // under lifeKey
}

// The keys of a build's checkpoint and of its sign of life, which are kept beside its documents.
const (
	checkpointKey = "checkpoint"
	lifeKey       = "life"
)

// The metadata of a view's bucket says what it belongs to, since names of stores and views may run together.
const (
	metadataStore = "runnel-store" // its identity
	metadataView  = "runnel-view"
)

// bucketGone reports whether an error says that a bucket does not exist, as its opening or its reading say it.
func bucketGone(err error) bool {
	return errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, kv.ErrNoBucket)
}

// open opens the bucket of a build. It returns an error that matches jetstream.ErrStreamNotFound if there is none, or
// errUnreadable if it has another codec.
func (b *buckets[V]) open(ctx context.Context, version Version) (*generation[V], error) {
	g, err := b.generation(ctx, version, &kv.Config{Existing: true})
	if errors.Is(err, kv.ErrSettings) {
		err = fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return g, err
}

// create makes the bucket of a build that is to replace another bucket, or none.
func (b *buckets[V]) create(ctx context.Context, version Version, replaced string) (*generation[V], error) {
	replicas, err := eventstore.Inside(inside.Pass{}, b.store).Replicas(ctx, b.cfg.Replicas)
	if err == nil && replaced != "" {
		var info jetstream.StreamInfo
		if info, err = b.client.StreamInfo(ctx, kvstream.Name(replaced)); errors.Is(err, jetstream.ErrStreamNotFound) {
			err = nil
		}
		replicas = max(replicas, info.Config.Replicas)
	}
	if err != nil {
		return nil, runner.Unavailable(err)
	}
	return b.generation(ctx, version, &kv.Config{Replicas: replicas, MaxBytes: b.cfg.MaxBytes})
}

func (b *buckets[V]) generation(ctx context.Context, version Version, cfg *kv.Config) (*generation[V], error) {
	cfg.Codec, cfg.Logger, cfg.Metadata = b.cfg.Codec, b.logger, b.metadata()
	documents, err := kv.Open[V](ctx, b.store.JetStream(), version.Bucket, cfg)
	if err != nil {
		return nil, err
	}
	g := &generation[V]{version: version, documents: documents}
	if g.checkpoint, err = kv.Beside[checkpoint](documents, inside.Single()); err == nil {
		g.parked, err = kv.Beside[Parked](documents, inside.Named("parked"))
	}
	if err == nil {
		g.life, err = kv.Beside[life](documents, inside.Single())
	}
	if err != nil {
		return nil, errors.Join(err, documents.Close())
	}
	return g, nil
}

// openServed opens a build that readers were led to. It returns errDamaged if the build must not be read, or is gone.
func (b *buckets[V]) openServed(ctx context.Context, version Version) (*generation[V], error) {
	g, err := b.open(ctx, version)
	if err == nil {
		if err = g.check(ctx); err != nil {
			err = errors.Join(err, g.close())
		}
	}
	if bucketGone(err) {
		return nil, fmt.Errorf("%w: there is no bucket %s: %w", errDamaged, version.Bucket, err)
	}
	if err != nil {
		return nil, err
	}
	return g, nil
}

// check returns errDamaged if the last batch of the bucket was torn by a power cut, or if the checkpoint is gone with
// which every build ends.
func (g *generation[V]) check(ctx context.Context) error {
	torn, err := within(g.documents).Torn(ctx)
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

// within returns what a bucket does for this module alone.
func within[T any](bucket *kv.Bucket[T]) inside.Bucket[T] { return kv.Inside(inside.Pass{}, bucket) }

// joined returns the part of a batch that is for the documents of a bucket beside.
func joined[U, V any](batch *kv.Batch[V], beside *kv.Bucket[U]) *kv.Batch[U] {
	return kv.Join(inside.Pass{}, batch, beside)
}

func (g *generation[V]) close() error { return g.documents.Close() }
