package snapshot

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
	"github.com/runnel-go/runnel/kv"
)

const (
	// putTimeout bounds one save with its tries. The next snapshot comes anyway.
	putTimeout = 2 * time.Second
	// getTimeout bounds the look for a snapshot. A log without snapshots is read in that time many times over.
	getTimeout = 500 * time.Millisecond
	// closeTimeout is how long Close goes on saving what waits.
	closeTimeout = 5 * time.Second
)

// Config holds what Open needs beyond its arguments. A nil *Config and the zero Config give the defaults.
type Config struct {
	// FoldVersion is raised whenever Evolve gives another state for the same events. Snapshots of other fold versions are
	// not read. Defaults to 1.
	FoldVersion int
	// Unprobed leaves out of the fingerprint what Evolve and the upcasters make of samples, for those that do not end on
	// values which never occur. Then nothing but the fold version tells that they changed. Defaults to false.
	Unprobed bool
	// Every is how many commits a stream gets before its next snapshot is saved. Defaults to 50.
	Every int
	// Queue is how many snapshots may wait to be saved, in memory. When there are more, the one that waits longest is
	// dropped. Defaults to 1000.
	Queue int
	// Replicas is how many servers keep the bucket. Defaults to 1.
	Replicas int
	// Storage is where they keep it. Defaults to file storage.
	Storage jetstream.StorageType
	// Logger tells of snapshots that could not be saved. Defaults to that of the store.
	Logger *slog.Logger
}

func (c *Config) foldVersion() int {
	if c == nil || c.FoldVersion == 0 {
		return 1
	}
	return c.FoldVersion
}

func (c *Config) unprobed() bool { return c != nil && c.Unprobed }

func (c *Config) every() uint64 {
	if c == nil || c.Every <= 0 {
		return 50
	}
	return uint64(c.Every)
}

func (c *Config) queue() int {
	if c == nil || c.Queue <= 0 {
		return 1000
	}
	return c.Queue
}

func (c *Config) logger(store *eventstore.Store) *slog.Logger {
	if c == nil || c.Logger == nil {
		return store.Logger()
	}
	return c.Logger
}

func (c *Config) bucket(logger *slog.Logger) *kv.Config {
	cfg := &kv.Config{Codec: raw{}, Logger: logger, Timeout: putTimeout}
	if c != nil {
		cfg.Replicas, cfg.Storage = c.Replicas, c.Storage
	}
	return cfg
}

// Cache keeps the snapshots of the aggregates of one category. It is safe for concurrent use.
type Cache struct {
	store    *eventstore.Store
	category string
	cfg      *Config
	logger   *slog.Logger
	bucket   *kv.Bucket[[]byte]

	queue  *queue
	saver  sync.WaitGroup // the goroutine that saves what is queued
	cancel context.CancelFunc

	counters struct {
		restored, missing, ignored, unanswered, saved, dropped, failed atomic.Int64
	}
}

// Counters says how often snapshots were of use, since a Cache was opened.
type Counters struct {
	Restored   int64 // loads that began with a snapshot
	Missing    int64 // loads that found none
	Ignored    int64 // snapshots that were found, but were damaged, of another release, or not of this log
	Unanswered int64 // looks for a snapshot that the bucket did not answer in time
	Saved      int64
	Dropped    int64 // snapshots that were not saved because too many waited, the Cache was closed, or they are off
	Failed     int64 // snapshots that could not be saved
}

// Open gives the snapshots of the streams of a category, and creates their bucket where there is none. It starts a
// goroutine, which Close ends. It returns an error that matches eventstore.ErrInvalidID, or that of opening the bucket.
func Open(ctx context.Context, store *eventstore.Store, category string, cfg *Config) (*Cache, error) {
	if err := eventstore.CheckCategory(category); err != nil {
		return nil, fmt.Errorf("snapshot: open: %w", err)
	}
	logger := cfg.logger(store).With("snapshots", category)
	bucket, err := kv.Open[[]byte](ctx, store.JetStream(), store.Name()+"-"+category+"-snapshots", cfg.bucket(logger))
	if err != nil {
		return nil, fmt.Errorf("snapshot: open %s: %w", category, err)
	}
	saving, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &Cache{
		store: store, category: category, cfg: cfg, logger: logger, bucket: bucket,
		queue: newQueue(cfg.queue()), cancel: cancel,
	}
	c.saver.Go(func() { c.save(saving) })
	return c, nil
}

// Bucket is the name of the NATS KV bucket that holds the snapshots.
func (c *Cache) Bucket() string { return c.bucket.Name() }

// Of reports whether these are the snapshots of a store's category.
func (c *Cache) Of(store *eventstore.Store, category string) bool {
	return c.store == store && c.category == category
}

// Counters gives the cache's counters.
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

// Delete removes the snapshot of an aggregate, as must be done for one whose stream is erased. Delete it after the stream:
// commands that were under way may save another until then. It fails like [kv.Bucket.Delete].
func (c *Cache) Delete(ctx context.Context, id string) error {
	c.queue.drop(id)
	if err := c.bucket.Delete(ctx, id); err != nil {
		return fmt.Errorf("snapshot: delete %s/%s: %w", c.category, id, err)
	}
	return nil
}

// Close saves what waits, for at most 5 seconds, and ends the goroutine. Repositories that use the Cache go on without
// snapshots. It may be called more than once.
func (c *Cache) Close() error {
	c.queue.close()
	late := time.AfterFunc(closeTimeout, c.cancel)
	defer late.Stop()
	c.saver.Wait()
	c.cancel()
	return c.bucket.Close()
}

// save writes what is queued until the queue is closed and empty.
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

// raw passes documents through, so that it is this package that finds out what is wrong with one.
type raw struct{}

var _ kv.Codec = raw{}

func (raw) Name() string                       { return "runnel-snapshot" }
func (raw) Marshal(v any) ([]byte, error)      { return v.([]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = bytes.Clone(data); return nil }
