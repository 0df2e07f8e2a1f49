package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// Config holds what NewView needs beyond its arguments. A nil *Config and the zero Config give the defaults.
type Config struct {
	// Interval is how far batches are apart under load. Defaults to 20 milliseconds.
	Interval time.Duration
	// CacheSize is how many documents a runner keeps in memory to fold into. Defaults to 10,000.
	CacheSize int
	// Codec encodes the documents. Defaults to kv.JSON.
	Codec kv.Codec
	// Replicas is how many servers keep the view's bucket. Defaults to 1.
	Replicas int
	// Logger tells of interruptions and of other runners. Defaults to that of the store.
	Logger *slog.Logger
}

func (c *Config) interval() time.Duration {
	if c == nil || c.Interval <= 0 {
		return 20 * time.Millisecond
	}
	return c.Interval
}

func (c *Config) cacheSize() int {
	if c == nil || c.CacheSize <= 0 {
		return 10_000
	}
	return c.CacheSize
}

func (c *Config) logger(store *eventstore.Store) *slog.Logger {
	if c == nil || c.Logger == nil {
		return store.Logger()
	}
	return c.Logger
}

func (c *Config) bucket(logger *slog.Logger) *kv.Config {
	cfg := &kv.Config{Logger: logger}
	if c != nil {
		cfg.Codec, cfg.Replicas = c.Codec, c.Replicas
	}
	return cfg
}

// View is a read model of documents V. It is safe for concurrent use.
type View[V any] struct {
	store      *eventstore.Store
	name       string
	rules      map[string]Rule[V]
	decodes    map[string]bool // the names in the log under which events of the rules may stand
	cfg        *Config
	logger     *slog.Logger
	documents  *kv.Bucket[V]
	checkpoint *kv.Cell[checkpoint]
	progress   progress
	running    atomic.Bool
	torn       atomic.Int64
}

// NewView gives the view of that name over a store, at a fold version of 1 or more, and creates its bucket where there is
// none. A bucket that a power cut left half of a batch in is cleared; see the package documentation. NewView returns an
// error that matches ErrInvalidView or ErrInvalidRule, or that of opening the bucket. Close gives back what the view holds.
func NewView[V any](ctx context.Context, store *eventstore.Store, name string, foldVersion int, cfg *Config, rules ...Rule[V]) (*View[V], error) {
	if err := eventstore.CheckCategory(name); err != nil || foldVersion < 1 {
		return nil, fmt.Errorf("projection: view %q, fold version %d: %w: the name has 1 to 64 letters, digits, - or _, the version is 1 or more",
			name, foldVersion, ErrInvalidView)
	}
	byType, err := rulesByType(store, rules)
	if err != nil {
		return nil, fmt.Errorf("projection: view %s: %w", name, err)
	}
	logger := cfg.logger(store).With("view", name)
	bucket := fmt.Sprintf("%s-%s-v%d", store.Name(), name, foldVersion)
	documents, err := kv.Open[V](ctx, store.JetStream(), bucket, cfg.bucket(logger))
	if err != nil {
		return nil, fmt.Errorf("projection: view %s: %w", name, err)
	}
	cell, err := kv.NewCell[checkpoint](documents, "checkpoint")
	if err != nil {
		return nil, fmt.Errorf("projection: view %s: %w", name, err)
	}
	v := &View[V]{
		store: store, name: name, rules: byType, decodes: storedNames(store, byType), cfg: cfg, logger: logger,
		documents: documents, checkpoint: cell,
	}
	// Readers may come before Run does.
	if err := v.mend(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("projection: view %s: %w", name, err), documents.Close())
	}
	return v, nil
}

// Bucket is the name of the NATS KV bucket that holds the documents.
func (v *View[V]) Bucket() string { return v.documents.Name() }

// Close gives back the subscription for replies. End Run first.
func (v *View[V]) Close() error { return v.documents.Close() }
