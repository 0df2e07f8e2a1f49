package snapshot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/defaults"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/snapshots"
)

// Config holds the settings of a Cache. A nil *Config and the zero Config give the defaults. Open refuses
// impossible values, such as negative ones, with eventstore.ErrSettings.
type Config struct {
	// FoldVersion is the version of Evolve and of the upcasters. Raise it whenever they return something else for the
	// same events. Snapshots of other fold versions are not read. Defaults to 1.
	FoldVersion int
	// Every is how many commits a stream gets before its next snapshot is saved. Defaults to 50.
	Every int
	// Queue is how many snapshots may wait in memory to be saved. If there are more, the oldest is dropped. Defaults
	// to 1000.
	Queue int
	// Replicas is how many servers keep the bucket that Open creates. Defaults to as many as keep the store.
	Replicas int
	// Storage is where the servers keep the bucket. Defaults to file storage.
	Storage jetstream.StorageType
	// Logger receives a warning for each snapshot that could not be saved. Defaults to the store's logger.
	Logger *slog.Logger
}

// withDefaults returns a copy in which every field is set except Replicas.
func (c *Config) withDefaults(store *eventstore.Store) (Config, error) {
	full := defaults.Of(c)
	if full.Logger == nil {
		full.Logger = eventstore.Inside(inside.Pass{}, store).Logger()
	}
	return full, errors.Join(
		defaults.Set("FoldVersion", &full.FoldVersion, 1),
		defaults.Set("Every", &full.Every, 50),
		defaults.Set("Queue", &full.Queue, 1000),
		defaults.Replicas(full.Replicas),
		defaults.OneOf("Storage", full.Storage, jetstream.FileStorage, jetstream.MemoryStorage),
	)
}

// Cache keeps the snapshots of the aggregates of one category. It is safe for concurrent use.
type Cache snapshots.Cache // what package aggregate does with it is not for programs

// Counters counts what became of snapshots since a Cache was opened. Field Snapshots of aggregate.Counters has them.
type Counters struct {
	Restored   int64 // loads that began with a snapshot
	Missing    int64 // loads that found no snapshot
	Ignored    int64 // snapshots that were damaged, of another release, or not of this log
	Unanswered int64 // loads for which the bucket did not answer in time
	Saved      int64
	Dropped    int64 // snapshots not saved because the queue was full, the Cache was closed, or snapshots are off
	Failed     int64 // snapshots that could not be saved
}

// Open opens the snapshots of the streams of a category, and creates their bucket if there is none. It starts a
// goroutine, which Close ends. The caller must call Close. Open returns an error that matches eventstore.ErrInvalidID
// for a name that is not a category, eventstore.ErrSettings for an impossible value in cfg, or the error of opening the
// bucket. It blocks until the server has answered or ctx ends.
func Open(ctx context.Context, store *eventstore.Store, category string, cfg *Config) (*Cache, error) {
	full, err := cfg.withDefaults(store)
	if err != nil {
		return nil, fmt.Errorf("snapshot: open %s: %w: %w", category, eventstore.ErrSettings, err)
	}
	cache, err := snapshots.Open(ctx, store, category, snapshots.Config(full))
	if err != nil {
		return nil, fmt.Errorf("snapshot: open %s: %w", category, err)
	}
	return (*Cache)(cache), nil
}

// Delete removes the snapshot of an aggregate, as must be done after its stream is erased. Delete it after the stream:
// until then, commands under way may save another. Delete blocks until a save of the aggregate that is under way in
// this Cache has ended and the server has answered, or ctx ends. It returns the errors of kv.Bucket.Delete, or the
// cause of the end of ctx.
//
// Other processes may have read the state before the erasure, and may save it after Delete has returned. Delete the
// snapshot again when they all know of the erasure, or after they have ended.
func (c *Cache) Delete(ctx context.Context, id string) error {
	if err := (*snapshots.Cache)(c).Delete(ctx, id); err != nil {
		return fmt.Errorf("snapshot: delete %w", err)
	}
	return nil
}

// Close saves the snapshots that wait, for at most 5 seconds, and ends the goroutine. Repositories that use the Cache
// go on without snapshots. Close may be called more than once. It returns the error of closing the bucket.
func (c *Cache) Close() error { return (*snapshots.Cache)(c).Close() }
