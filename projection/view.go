package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/defaults"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/internal/token"
	"github.com/runnel-go/runnel/kv"
)

// Config holds what Open needs beyond its arguments. A nil *Config and the zero Config give the defaults. Open refuses
// impossible values, such as negative ones, with ErrInvalidView.
type Config struct {
	// Interval is how far batches are apart under load, and so how late a Watch or a reader in another process may see
	// a change. While a reader in the runner's process waits for a position, they are a fifth of it apart. Defaults to
	// 100 milliseconds.
	Interval time.Duration
	// CacheSize is how many documents a runner keeps in memory to fold into. Defaults to 10,000.
	CacheSize int
	// BuildCacheSize is how many documents a build keeps in memory, beside the keys of the others. Defaults to
	// 1,000,000.
	BuildCacheSize int
	// Park makes a key whose event cannot be folded wait, so that the others go on: see [View.Parked]. Defaults to
	// false: Run stops at the event.
	Park bool
	// FoldTimeout is how long a call of a rule, or of a method of an event or a document, may last. After that it
	// counts as failed, like one that panicked, and its goroutine is left behind. Defaults to 1 minute.
	FoldTimeout time.Duration
	// Heartbeat is how often a runner, or a build, without news writes its checkpoint. Defaults to 1.5 seconds.
	Heartbeat time.Duration
	// StandBy is after how long without a heartbeat another instance takes over. It is at least 5 milliseconds, and
	// should be much longer than a write takes. Defaults to 4 seconds.
	StandBy time.Duration
	// StallAfter is how old the oldest event that is not folded may be before [Status] calls the view stalled. Defaults
	// to 30 seconds.
	StallAfter time.Duration
	// OnBuild is told how a build of this process goes on, a few times a second. It must return soon. Defaults to none.
	OnBuild func(eventstore.Progress)
	// Trace is called as batches and builds begin and end. Defaults to none.
	Trace *Trace
	// Codec encodes the documents. Defaults to kv.JSON.
	Codec kv.Codec
	// Replicas is how many servers keep each bucket that is made for the view. A rebuild keeps as many as the bucket
	// has that it replaces, if that is more. Defaults to as many as keep the store.
	Replicas int
	// MaxBytes is the size in bytes of each bucket that is made for the view. If one is full, its runner or build waits
	// until it is larger, and Logger is told kv.ErrFull: raise the size with nats stream edit, and here for later
	// builds. 0 means no limit or, if the account demands a limit for each stream, an eighth of what the account has
	// left. Defaults to 0.
	MaxBytes int64
	// Logger reports interruptions, builds, parked keys and other runners. Defaults to the store's logger.
	Logger *slog.Logger
}

// withDefaults returns a copy in which every field is set except Trace, Replicas and MaxBytes.
func (c *Config) withDefaults(store *eventstore.Store) (Config, error) {
	full := defaults.Of(c)
	if full.Codec == nil {
		full.Codec = kv.JSON{}
	}
	if full.OnBuild == nil {
		full.OnBuild = func(eventstore.Progress) {}
	}
	if full.Logger == nil {
		full.Logger = eventstore.Inside(inside.Pass{}, store).Logger()
	}
	return full, errors.Join(
		defaults.Set("Interval", &full.Interval, 100*time.Millisecond),
		defaults.Set("CacheSize", &full.CacheSize, 10_000),
		defaults.Set("BuildCacheSize", &full.BuildCacheSize, 1_000_000),
		defaults.Set("FoldTimeout", &full.FoldTimeout, time.Minute),
		defaults.Set("Heartbeat", &full.Heartbeat, 1500*time.Millisecond),
		defaults.SetWithin("StandBy", &full.StandBy, 5*time.Millisecond, 4*time.Second, defaults.Forever),
		defaults.Ordered("Heartbeat", &full.Heartbeat, "StandBy", &full.StandBy),
		defaults.Set("StallAfter", &full.StallAfter, 30*time.Second),
		defaults.Replicas(full.Replicas),
		defaults.NotNegative("MaxBytes", full.MaxBytes),
	)
}

// patience is how long a write waits for its answer. After that, what became of the write is looked up, and a sign of
// life is given again, before another instance takes over.
func (c *Config) patience() time.Duration { return c.StandBy / 2 }

// hurry is how far batches are apart while a reader waits for one.
func (c *Config) hurry() time.Duration { return c.Interval / 5 }

// restarts spaces the tries of a runner whose server is away. The last of them is soon enough to show life within
// StandBy.
func (c *Config) restarts() backoff.Policy {
	return backoff.Policy{Base: runner.Restarts.Base, Max: min(runner.Restarts.Max, c.StandBy/2)}
}

// poll is how often something is looked at that is waited for.
func (c *Config) poll() time.Duration {
	return min(max(c.Heartbeat/6, 10*time.Millisecond), 250*time.Millisecond)
}

// shape returns the shape of the documents. It refuses a type of which their codec would lose something. It returns nil
// for a codec that is not of package kv, because such a codec knows itself what it keeps.
func (c *Config) shape(documents reflect.Type) (*plain.Shape, error) {
	switch c.Codec.(type) {
	case kv.JSON:
		return plain.JSON.Of(documents)
	case kv.Msgpack:
		return plain.Msgpack.Of(documents)
	}
	return nil, nil
}

// View is a read model of documents V. It is safe for concurrent use.
//
// Its parts know only the parts to their right:
//
//	reader, operator -> guide -> tracker -> records
//	worker -> build -> session -> folder    (both: -> buckets -> spec)
type View[V any] struct {
	spec     *spec[V]
	buckets  *buckets[V]
	records  *records
	guide    *guide[V]
	reader   *reader[V]
	worker   *worker[V]
	operator *operator[V]
}

// Open opens the view of that name over a store, at a fold version of 1 or more. Names of store and view have 51
// characters together at most, and names that end in "-sagas" are for sagas. It returns an error that matches
// ErrInvalidView, also if the codec would lose something of V, or ErrInvalidRule, or the error of opening the view's
// buckets. It starts goroutines that follow which version is to be read, until Close.
func Open[V any](ctx context.Context, store *eventstore.Store, name string, foldVersion int, cfg *Config, all ...Rule[V]) (*View[V], error) {
	const room = 64 - len("__v_01234567")
	length := len(store.Name()) + len(name) + len(strconv.Itoa(foldVersion))
	if err := token.CheckName(name); err != nil || foldVersion < 1 || length > room {
		return nil, fmt.Errorf("projection: view %q, fold version %d: %w: "+
			"the name has letters, digits, - or _, and %d characters at most with the store's; the version is 1 or more",
			name, foldVersion, ErrInvalidView, room-len(strconv.Itoa(foldVersion)))
	}
	if err := control.CheckOwner(ctx, name); err != nil {
		return nil, fmt.Errorf("projection: view %q: %w: %w", name, ErrInvalidView, err)
	}
	indexed, err := newRules(store, all)
	if err != nil {
		return nil, fmt.Errorf("projection: view %s: %w", name, err)
	}
	full, err := cfg.withDefaults(store)
	if err != nil {
		return nil, fmt.Errorf("projection: view %s: %w: %w", name, ErrInvalidView, err)
	}
	shape, err := full.shape(reflect.TypeFor[V]())
	if err != nil {
		return nil, fmt.Errorf("projection: view %s: %w: its documents: %w", name, ErrInvalidView, err)
	}
	return open(ctx, &spec[V]{
		store: store, name: name, foldVersion: foldVersion, runner: uuid.NewString(), rules: indexed, cfg: full,
		shape: shape, shared: plain.KeepingOf(reflect.TypeFor[V]()) == plain.DecodedFor,
		logger: full.Logger.With("view", name, "fold", foldVersion), perStream: control.OfSaga(ctx),
	})
}

// open makes the parts of a View, and leads its readers to what serves.
func open[V any](ctx context.Context, of *spec[V]) (*View[V], error) {
	client, err := jsapi.New(ctx, of.store.JetStream())
	if err != nil {
		return nil, of.failed(err)
	}
	records, err := openRecords(ctx, of.store, of.name, of.logger)
	if err != nil {
		return nil, errors.Join(of.failed(err), client.Close())
	}
	buckets, tracker, progress := &buckets[V]{spec: of, client: client}, newTracker(records, of.cfg.StandBy/2), newProgress()
	guide := &guide[V]{spec: of, buckets: buckets, tracker: tracker, serving: serving[V]{changed: make(chan struct{})}}
	v := &View[V]{
		spec: of, buckets: buckets, records: records, guide: guide,
		reader:   &reader[V]{spec: of, buckets: buckets, tracker: tracker, guide: guide, progress: progress},
		worker:   &worker[V]{spec: of, buckets: buckets, records: records, tracker: tracker, progress: progress, budget: newBudget(of.cfg.Heartbeat)},
		operator: &operator[V]{spec: of, buckets: buckets, records: records, guide: guide},
	}
	v.reader.seen.Store(new(checkpoint))
	if err := guide.watch(ctx); err != nil {
		return nil, errors.Join(of.failed(err), v.Close())
	}
	return v, nil
}

// Name is the view's name.
func (v *View[V]) Name() string { return v.spec.name }

// Control is the name of the bucket that says which bucket holds the documents: its key "view.<name>" is a JSON
// document with the name in its field "bucket". It is the same for all views of a store.
func (v *View[V]) Control() string { return v.records.bucket.Name() }

// Bucket is the name of the bucket that is read at present, or "" if there is none.
func (v *View[V]) Bucket() string {
	g, err := v.guide.acquire()
	if err != nil {
		return ""
	}
	defer v.guide.release(g)
	return g.version.Bucket
}

// Buckets names what a backup needs of the view: see [eventstore.ExportConfig]. It is the bucket that is read at
// present, and then the control bucket, in the order in which they must be exported. If readers are led to another
// bucket meanwhile, the backup lacks the bucket that its record names, and the view is built anew there. Buckets
// returns nil if nothing is built yet.
func (v *View[V]) Buckets() []string {
	bucket := v.Bucket()
	if bucket == "" {
		return nil
	}
	return []string{bucket, v.Control()}
}

// Close ends what follows the record and returns the subscriptions for replies. End Run first.
func (v *View[V]) Close() error {
	return errors.Join(v.guide.close(), v.records.close(), v.buckets.client.Close())
}
