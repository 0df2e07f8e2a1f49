package aggregate

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/snapshot"
)

// State is what the state type S of an aggregate with events of type E must do: fold one event in and give the new
// state. It must not fail, and must not change what the receiver points to unless S has Clone.
type State[S, E any] interface {
	Evolve(event E) S
}

// Command is a request to an aggregate. Decide gives the events that follow from it, none if there is nothing to do, or an
// error to reject it. It must be pure: it runs again on every try.
type Command[S, E any] interface {
	Decide(state S) ([]E, error)
}

// Config holds what New needs beyond its arguments. A nil *Config and the zero Config give the defaults.
type Config struct {
	// CacheSize is how many states are kept; -1 keeps none. Defaults to 10,000.
	CacheSize int
	// KeyWindow is how many of a stream's last commits are searched for an idempotency key. Defaults to 256.
	KeyWindow int
	// Snapshots spares long streams from being read from their begin. Defaults to none.
	Snapshots *snapshot.Cache
	// MaxTries is how many appends of one command may conflict before it is given up on. Defaults to 20.
	MaxTries int
}

func (c *Config) cacheSize() int {
	if c == nil || c.CacheSize == 0 {
		return 10_000
	}
	return max(c.CacheSize, 0)
}

func (c *Config) keyWindow() uint64 {
	if c == nil || c.KeyWindow <= 0 {
		return 256
	}
	return uint64(c.KeyWindow)
}

func (c *Config) snapshots() *snapshot.Cache {
	if c == nil {
		return nil
	}
	return c.Snapshots
}

func (c *Config) maxTries() int {
	if c == nil || c.MaxTries <= 0 {
		return 20
	}
	return c.MaxTries
}

// Repository runs commands on the aggregates of one category. It is safe for concurrent use.
type Repository[S State[S, E], E eventstore.Event] struct {
	store    *eventstore.Store
	category string
	initial  S
	clone    func(S) S
	cfg      *Config
	cache    *cache[S]
	locks    *locks
	kept     map[reflect.Type]plain.Keeping // how events may be kept beside what was stored

	plainTypes sync.Map // of commands: the types that can be compared

	snapshots *snapshot.States[S] // nil for none
	counters  struct {
		cached, restored, replayed atomic.Int64
	}
}

// Counters says where a repository had states from, since it was made.
type Counters struct {
	Cached   int64 // from the cache
	Restored int64 // from a snapshot, and what came after it
	Replayed int64 // from the log, from the begin of the stream
}

// Counters gives the repository's counters.
func (r *Repository[S, E]) Counters() Counters {
	return Counters{
		Cached: r.counters.cached.Load(), Restored: r.counters.restored.Load(), Replayed: r.counters.replayed.Load(),
	}
}

// New gives the repository of a category of streams, whose name has 1 to 64 letters, digits, - or _. The initial state
// is what the first event of every aggregate is folded into. It returns an error that matches eventstore.ErrInvalidID,
// ErrInvalidState or ErrOtherSnapshots.
func New[S State[S, E], E eventstore.Event](store *eventstore.Store, category string, initial S, cfg *Config) (*Repository[S, E], error) {
	if err := eventstore.CheckCategory(category); err != nil {
		return nil, fmt.Errorf("aggregate: %w", err)
	}
	clone, cacheable, err := cloner(initial)
	if err != nil {
		return nil, fmt.Errorf("aggregate: %s: %w", category, err)
	}
	size := cfg.cacheSize()
	if !cacheable {
		size = 0
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("aggregate: %s: %w", category, err)
	}
	r := &Repository[S, E]{
		store: store, category: category, initial: initial, clone: clone, cfg: cfg,
		cache: newCache[S](size), locks: newLocks(id), kept: make(map[reflect.Type]plain.Keeping),
	}
	for _, prototype := range store.Prototypes() {
		if _, ok := prototype.(E); ok {
			t := reflect.TypeOf(prototype)
			r.kept[t] = plain.KeepingOf(t)
		}
	}
	if snapshots := cfg.snapshots(); snapshots != nil {
		if r.snapshots, err = snapshotsOf(r, snapshots, cacheable); err != nil {
			return nil, fmt.Errorf("aggregate: %s: %w", category, err)
		}
	}
	return r, nil
}

// Result is what a command led to.
type Result[S, E any] struct {
	State    S
	Version  eventstore.Version  // of the stream after the command, or after the first one of a repeated command
	Position eventstore.Position // of the commit; of the stream's newest when no events were decided
	Events   []E                 // what was appended
	Repeated bool                // the command was done before, under the same key; State is the present one
}

// Load gives the state of an aggregate from the leader's newest version. An aggregate without events has the initial
// state and version 0.
func (r *Repository[S, E]) Load(ctx context.Context, id string) (Result[S, E], error) {
	e, cached, err := r.recall(ctx, id, eventstore.Leader())
	if err == nil && cached {
		e, _, err = r.refresh(ctx, id, e)
	}
	if err != nil {
		return Result[S, E]{}, err
	}
	return r.result(e), nil
}

// Do decides a command on the aggregate of that id and appends its events. See the package documentation for what it
// guarantees and returns.
func (r *Repository[S, E]) Do(ctx context.Context, id string, command Command[S, E], options ...Option) (Result[S, E], error) {
	op := r.On(id, command, options...)
	if err := run(ctx, r.store, []Operation{op}); err != nil {
		return Result[S, E]{}, err
	}
	return op.Result(), nil
}

func (r *Repository[S, E]) stream(id string) eventstore.StreamID {
	return eventstore.StreamID{Category: r.category, ID: id}
}

// fold gives the entry with the commits of a history folded in.
func (r *Repository[S, E]) fold(e entry[S], history eventstore.History) (entry[S], error) {
	e.state = r.clone(e.state)
	for _, c := range history.Commits {
		events, err := eventsOf[E](c)
		if err != nil {
			return e, err
		}
		for _, event := range events {
			e.state = e.state.Evolve(event)
		}
		closed, err := closedBy(c)
		if err != nil {
			return e, err
		}
		e.remember(c, closed, r.cfg.keyWindow())
	}
	e.head = history.Head
	return e, nil
}

// eventsOf decodes the events of a commit. The toolkit's own are passed over, unless the aggregate's events include them.
func eventsOf[E eventstore.Event](c *eventstore.Commit) ([]E, error) {
	events := make([]E, 0, c.Len())
	for recorded := range c.Events() {
		decoded, err := recorded.Decode()
		if err != nil {
			return nil, err
		}
		for _, one := range decoded {
			event, ok := one.(E)
			switch {
			case ok:
				events = append(events, event)
			case !recorded.System():
				return nil, fmt.Errorf("aggregate: %s version %d at position %d: %w: %q is a %T: no other category may write it here",
					recorded.Stream, recorded.Version(), recorded.Position, ErrForeignEvent, recorded.Type(), one)
			}
		}
	}
	return events, nil
}

// asStored returns the events of a commit as a load would find them: once for the state, and once for the caller, who may
// change what is given. Most events are plain: they come back as they were decided, and share nothing, so nothing is decoded.
func (r *Repository[S, E]) asStored(c *eventstore.Commit, decided []E) (folded, given []E, err error) {
	keeping := plain.Itself
	if c.Len() != len(decided) {
		keeping = plain.DecodedFor // there are events of the toolkit's own, which E may include
	}
	for _, event := range decided {
		kept, known := r.kept[reflect.TypeOf(event)]
		if !known {
			kept = plain.DecodedFor
		}
		keeping = max(keeping, kept)
	}
	if keeping == plain.Itself {
		return decided, decided, nil
	}
	if folded, err = eventsOf[E](c); err != nil || keeping == plain.Decoded {
		return folded, folded, err
	}
	given, err = eventsOf[E](c)
	return folded, given, err
}

func (r *Repository[S, E]) result(e entry[S]) Result[S, E] {
	return Result[S, E]{State: r.clone(e.state), Version: e.head.Version, Position: e.head.Position}
}
