package aggregate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/defaults"
	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/internal/snapshots"
	"github.com/runnel-go/runnel/internal/token"
	"github.com/runnel-go/runnel/snapshot"
)

// State is implemented by the state type S of an aggregate with events of type E. Evolve folds one event in and returns
// the new state. It must not fail. It must not change memory that the receiver points to, unless S has a method Clone.
type State[S, E any] interface {
	Evolve(event E) S
}

// Command is a request to an aggregate. Decide returns the events that follow from it, no events if there is nothing to
// do, or an error to reject it. Decide must be pure, because it runs again on every try.
type Command[S, E any] interface {
	Decide(state S) ([]E, error)
}

// Config holds the settings of a Repository. A nil *Config and the zero Config give the defaults. New refuses other
// negative numbers than a CacheSize of -1.
type Config struct {
	// CacheSize is how many states are kept in memory; -1 keeps none. Defaults to 10,000.
	CacheSize int
	// KeyWindow is how many of a stream's last commits are searched for an idempotency key, however old they are.
	// Defaults to 256.
	KeyWindow int
	// KeyAge is for how long a key is found however many commits came since, by the clocks of the programs. Make it at
	// least the time for which a client sends a command again. The keys are kept in memory with the cached states.
	// Defaults to 2 minutes.
	KeyAge time.Duration
	// MaxTries is how many appends of one command may conflict before Do gives up. A transaction has its own: see
	// [TransactConfig]. Defaults to 20.
	MaxTries int
	// Snapshots spares long streams from being read from the start. Defaults to none.
	Snapshots *snapshot.Cache
	// Around is called for each command in place of running it, and runs it by calling do once with ctx or a context
	// made from it. It returns the error of do, or an error of its own to refuse the command. Do and Transact call it
	// on their goroutine; it may run for many commands at once. In a transaction, the Around of each operation's
	// repository wraps the whole transaction, the first operation's outermost. Defaults to none, which costs nothing.
	Around func(ctx context.Context, call Call, do func(ctx context.Context) error) error
}

// withDefaults returns a copy in which every field is set. It refuses wrong numbers.
func (c *Config) withDefaults() (Config, error) {
	full := defaults.Of(c)
	return full, errors.Join(
		defaults.SetOr("CacheSize", &full.CacheSize, -1, 10_000),
		defaults.Set("KeyWindow", &full.KeyWindow, 256),
		defaults.Set("KeyAge", &full.KeyAge, 2*time.Minute),
		defaults.Set("MaxTries", &full.MaxTries, 20),
	)
}

// Call is a command as [Config.Around] sees it.
type Call struct {
	Stream  eventstore.StreamID // of the aggregate
	Command any                 // as it was given to Do or On
}

// Repository runs commands on the aggregates of one category. It is safe for concurrent use.
type Repository[S State[S, E], E eventstore.Event] struct {
	store    *eventstore.Store
	category string
	initial  S
	clone    func(S) S
	cfg      Config
	window   uint64 // of keys
	cache    *cache[S]
	locks    *locks
	kept     map[reflect.Type]plain.Keeping // how events may be kept beside their stored form

	plainTypes sync.Map // the types of commands that were found to be comparable

	snapshots *snapshots.States[S] // nil for none
	counters  struct {
		cached, restored, replayed atomic.Int64
	}
}

// Counters counts the places that a repository took states from since it was made.
type Counters struct {
	Cached    int64             // states from the cache
	Restored  int64             // states from a snapshot and the newer commits
	Replayed  int64             // states from the log alone, from the start of the stream
	Snapshots snapshot.Counters // of Config.Snapshots; repositories that share it share these
}

// Counters returns the repository's counters. It does not block.
func (r *Repository[S, E]) Counters() Counters {
	counters := Counters{
		Cached: r.counters.cached.Load(), Restored: r.counters.restored.Load(), Replayed: r.counters.replayed.Load(),
	}
	if cache := (*snapshots.Cache)(r.cfg.Snapshots); cache != nil {
		counters.Snapshots = snapshot.Counters(cache.Counters())
	}
	return counters
}

// New returns the repository of a category of streams, whose name has 1 to 64 letters, digits, - or _. The first event
// of every aggregate is folded into the initial state. New does not talk to the server, and a Repository need not be
// closed. New returns an error that matches eventstore.ErrInvalidID for a wrong category, or ErrInvalid for a state
// type or a Config that cannot be used.
func New[S State[S, E], E eventstore.Event](store *eventstore.Store, category string, initial S, cfg *Config) (*Repository[S, E], error) {
	if err := token.CheckName(category); err != nil {
		return nil, fmt.Errorf("aggregate: %w: category: %w", eventstore.ErrInvalidID, err)
	}
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("aggregate: %s: %w: %w", category, ErrInvalid, err)
	}
	clone, cacheable, err := cloner(initial)
	if err != nil {
		return nil, fmt.Errorf("aggregate: %s: %w", category, err)
	}
	size := full.CacheSize
	if !cacheable || size < 0 {
		size = 0
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("aggregate: %s: %w", category, err)
	}
	r := &Repository[S, E]{
		store: store, category: category, initial: initial, clone: clone, cfg: full, window: uint64(full.KeyWindow),
		cache: newCache[S](size), locks: newLocks(id), kept: keptTypes[E](store),
	}
	if err := r.openSnapshots(cacheable); err != nil {
		return nil, fmt.Errorf("aggregate: %s: %w", category, err)
	}
	return r, nil
}

// Result is what a command led to.
type Result[S, E any] struct {
	State    S
	Version  eventstore.Version  // of the stream after the command; of a repeated command, after it was first done
	Position eventstore.Position // of the command's commit, or of the stream's newest if it decided no events
	Events   []E                 // the events that were appended
	Repeated bool                // the command was done before, under the same key; State is the present one
}

// Load returns the state of an aggregate at the leader's newest version, with an empty Events. An aggregate without
// events has the initial state and version 0. Load blocks until the servers have answered or ctx ends, and returns the
// errors of eventstore.Store.Load, or one that matches ErrForeignEvent.
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

// Do decides a command on the aggregate of that id and appends its events. It blocks until the outcome is known or ctx
// ends. The package documentation says what Do guarantees and which errors it returns.
func (r *Repository[S, E]) Do(ctx context.Context, id string, command Command[S, E], options ...Option) (Result[S, E], error) {
	op := r.On(id, command, options...)
	if err := runAround(ctx, r.store, []Operation{op}, r.cfg.MaxTries); err != nil {
		return Result[S, E]{}, err
	}
	return op.Result(), nil
}

func (r *Repository[S, E]) stream(id string) eventstore.StreamID {
	return eventstore.StreamID{Category: r.category, ID: id}
}

func (r *Repository[S, E]) result(e entry[S]) Result[S, E] {
	return Result[S, E]{State: r.clone(e.state), Version: e.head.Version, Position: e.head.Position}
}
