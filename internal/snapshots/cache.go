package snapshots

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/token"
	"github.com/runnel-go/runnel/kv"
)

const (
	// putTimeout bounds one save with its tries. The next snapshot comes anyway.
	putTimeout = 2 * time.Second
	// getTimeout bounds the wait for a snapshot. A log without snapshots is read in that time many times over.
	getTimeout = 500 * time.Millisecond
	// closeTimeout is how long Close goes on saving.
	closeTimeout = 5 * time.Second
)

// Config has the fields of snapshot.Config. All of them are set.
type Config struct {
	FoldVersion int
	Every       int
	Queue       int
	Replicas    int
	Storage     jetstream.StorageType
	Logger      *slog.Logger
}

// Cache keeps the snapshots of the aggregates of one category.
type Cache struct {
	store    *eventstore.Store
	category string
	cfg      Config
	logger   *slog.Logger
	bucket   *kv.Bucket[[]byte]

	queue  *queue
	saver  sync.WaitGroup // the goroutine that saves what is queued
	cancel context.CancelFunc

	counters struct {
		restored, missing, ignored, unanswered, saved, dropped, failed atomic.Int64
	}
}

// Counters has the fields of snapshot.Counters.
type Counters struct {
	Restored, Missing, Ignored, Unanswered, Saved, Dropped, Failed int64
}

// Open opens the bucket of a category and starts the goroutine that saves.
func Open(ctx context.Context, store *eventstore.Store, category string, cfg Config) (*Cache, error) {
	if err := token.CheckName(category); err != nil {
		return nil, fmt.Errorf("%w: category: %w", eventstore.ErrInvalidID, err)
	}
	logger := cfg.Logger.With("snapshots", category)
	replicas, err := eventstore.Inside(inside.Pass{}, store).Replicas(ctx, cfg.Replicas)
	if err != nil {
		return nil, err
	}
	bucket, err := kv.Open[[]byte](ctx, store.JetStream(), control.SnapshotBucket(store.Name(), category), &kv.Config{
		Codec: raw{}, Logger: logger, Timeout: putTimeout, Replicas: replicas, Storage: cfg.Storage,
	})
	if err != nil {
		return nil, err
	}
	saving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &Cache{
		store: store, category: category, cfg: cfg, logger: logger, bucket: bucket, queue: newQueue(cfg.Queue), cancel: cancel,
	}
	c.saver.Go(func() { c.save(saving) })
	return c, nil
}

// Of reports whether these are the snapshots of a store's category.
func (c *Cache) Of(store *eventstore.Store, category string) bool {
	return c.store == store && c.category == category
}

// Counters returns the counters of the cache.
func (c *Cache) Counters() Counters {
	return Counters{
		Restored:   c.counters.restored.Load(),
		Missing:    c.counters.missing.Load(),
		Ignored:    c.counters.ignored.Load(),
		Unanswered: c.counters.unanswered.Load(),
		Saved:      c.counters.saved.Load(),
		Dropped:    c.counters.dropped.Load(),
		Failed:     c.counters.failed.Load(),
	}
}

// Delete removes the snapshot of an aggregate from the queue and from the bucket. First it waits for a save of the
// aggregate that is under way, because the save would bring the snapshot back.
func (c *Cache) Delete(ctx context.Context, id string) error {
	if saved := c.queue.drop(id); saved != nil {
		select {
		case <-saved:
		case <-ctx.Done():
			return fmt.Errorf("%s: its snapshot is being saved: %w", c.stream(id), context.Cause(ctx))
		}
	}
	if err := c.bucket.Delete(ctx, id); err != nil {
		return fmt.Errorf("%s: %w", c.stream(id), err)
	}
	return nil
}

// Close saves the snapshots that wait, for at most closeTimeout, and ends the goroutine.
func (c *Cache) Close() error {
	c.queue.close()
	late := time.AfterFunc(closeTimeout, c.cancel)
	defer late.Stop()
	c.saver.Wait()
	c.cancel()
	return c.bucket.Close()
}

// save writes the queued snapshots until the queue is closed and empty.
func (c *Cache) save(ctx context.Context) {
	for id, encode := range c.queue.all() {
		data, err := encode(ctx)
		if err == nil {
			_, err = c.bucket.Put(ctx, id, data)
		}
		switch {
		case err == nil:
			c.counters.saved.Add(1)
		case errors.Is(err, errOff):
			c.counters.dropped.Add(1)
		default:
			c.counters.failed.Add(1)
			c.logger.LogAttrs(ctx, slog.LevelWarn, "snapshot not saved", slog.String("id", id), slog.Any("error", err))
		}
	}
}

// ignore counts and logs a snapshot that cannot be used.
func (c *Cache) ignore(ctx context.Context, id string, reason error) {
	c.counters.ignored.Add(1)
	c.logger.LogAttrs(ctx, slog.LevelDebug, "snapshot ignored, reading the log",
		slog.String("id", id), slog.Any("reason", reason))
}

func (c *Cache) stream(id string) eventstore.StreamID {
	return eventstore.StreamID{Category: c.category, ID: id}
}

// raw passes documents through the bucket as they are, because this package finds out what is wrong with one.
type raw struct{}

var _ kv.Codec = raw{}

func (raw) Name() string                       { return "runnel-snapshot" }
func (raw) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
