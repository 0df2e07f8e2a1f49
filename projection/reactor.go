package projection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/kv"
)

// Errors of NewReactor, of Run and of what is asked about parked streams.
var (
	// ErrInvalidReactor means that the reactor's name cannot be used.
	ErrInvalidReactor = errors.New("invalid reactor")
	// ErrNotParked means that the stream is not parked, or is handled again already.
	ErrNotParked = errors.New("stream not parked")

	// errReplaced says that another runner has taken over.
	errReplaced = errors.New("another runner has taken over")
)

// ReactorConfig holds what NewReactor needs beyond its arguments. A nil *ReactorConfig and the zero one give the defaults.
type ReactorConfig struct {
	// From is the position to begin at when the reactor is made for the first time; 1 is the log's begin. It changes
	// nothing later. Defaults to behind the log's end at that moment: history has no effects unless it is asked for.
	From eventstore.Position
	// Workers is how many events are handled at the same time, each of another stream. Defaults to 16.
	Workers int
	// Window is how many events may have been read from the log and be under way or waiting. When that many wait, no more
	// are read until one is handled. Defaults to 4,096.
	Window int
	// Timeout is how long one reaction may take before its context ends. Defaults to 30 seconds.
	Timeout time.Duration
	// Retries is how often an event that failed is tried again before its stream is parked; below 0 is never. It should be
	// above the failures that open the breakers in use. Defaults to 10.
	Retries int
	// Backoff is the longest wait before the first retry. It doubles with each, and the waits are random below it.
	// Defaults to 100 milliseconds.
	Backoff time.Duration
	// MaxBackoff is the longest wait before any retry. Defaults to 30 seconds.
	MaxBackoff time.Duration
	// Interval is how far writes of the checkpoint are apart at least. What was handled since the last may be handled again
	// after a crash. Defaults to 100 milliseconds.
	Interval time.Duration
	// Heartbeat is how far writes of the checkpoint are apart at most. An instance that sees none for 2 to 2.5 times as
	// long takes over. It must be the same in all instances. Defaults to 2 seconds.
	Heartbeat time.Duration
	// Replicas is how many servers keep the reactor's bucket. Defaults to 1.
	Replicas int
	// Logger tells of failures, parked streams and other instances. Defaults to that of the store.
	Logger *slog.Logger
}

// withDefaults gives a copy in which every field is set.
func (c *ReactorConfig) withDefaults(store *eventstore.Store) ReactorConfig {
	var full ReactorConfig
	if c != nil {
		full = *c
	}
	orDefault(&full.Workers, 16)
	orDefault(&full.Window, 4096)
	orDefault(&full.Timeout, 30*time.Second)
	if full.Retries == 0 {
		full.Retries = 10
	}
	full.Retries = max(full.Retries, 0)
	orDefault(&full.Backoff, 100*time.Millisecond)
	orDefault(&full.MaxBackoff, 30*time.Second)
	orDefault(&full.Interval, 100*time.Millisecond)
	orDefault(&full.Heartbeat, 2*time.Second)
	full.Interval = min(full.Interval, full.Heartbeat)
	if full.Logger == nil {
		full.Logger = store.Logger()
	}
	return full
}

func orDefault[T int | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// Reactor calls reactions for the events of a store, at least once for each and in order for each stream. It is safe for
// concurrent use.
type Reactor struct {
	store      *eventstore.Store
	name       string
	cfg        ReactorConfig
	logger     *slog.Logger
	reactions  map[string]Reaction
	decodes    map[string]bool // the names in the log under which events with a reaction may stand
	documents  *kv.Bucket[reactorDocument]
	checkpoint *kv.Cell[reactorCheckpoint]
	running    atomic.Bool
}

// NewReactor gives the reactor of that name over a store. The first time it is made it is given a checkpoint: it reacts to
// what is appended after NewReactor has returned, or from [ReactorConfig.From] on. It returns an error that matches
// ErrInvalidReactor, ErrInvalidRule or, for a From beyond the log's end, ErrPositionAhead, or that of opening the bucket.
// Close gives back what the reactor holds.
func NewReactor(ctx context.Context, store *eventstore.Store, name string, cfg *ReactorConfig, reactions ...Reaction) (*Reactor, error) {
	if err := eventstore.CheckCategory(name); err != nil {
		return nil, fmt.Errorf("projection: reactor %q: %w: the name has 1 to 64 letters, digits, - or _", name, ErrInvalidReactor)
	}
	byType, decodes, err := reactionsByType(store, reactions)
	if err != nil {
		return nil, fmt.Errorf("projection: reactor %s: %w", name, err)
	}
	full := cfg.withDefaults(store)
	logger := full.Logger.With("reactor", name)
	bucket := fmt.Sprintf("%s-%s-reactor", store.Name(), name)
	// A runner that cannot write for so long begins nothing more anyway.
	timeout := max(2*full.Heartbeat, time.Second)
	documents, err := kv.Open[reactorDocument](ctx, store.JetStream(), bucket, &kv.Config{Replicas: full.Replicas, Timeout: timeout, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("projection: reactor %s: %w", name, err)
	}
	cell, err := kv.NewCell[reactorCheckpoint](documents, "checkpoint")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("projection: reactor %s: %w", name, err), documents.Close())
	}
	r := &Reactor{
		store: store, name: name, cfg: full, logger: logger, reactions: byType, decodes: decodes, documents: documents, checkpoint: cell,
	}
	if err := r.begin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("projection: reactor %s: %w", name, err), documents.Close())
	}
	return r, nil
}

// Bucket is the name of the NATS KV bucket with the reactor's checkpoint and its parked streams.
func (r *Reactor) Bucket() string { return r.documents.Name() }

// Close gives back the subscription for replies. End Run first.
func (r *Reactor) Close() error { return r.documents.Close() }

// Run calls the reactions until ctx ends; then it returns nil. Reactions under way see their context end, and those that
// failed for it are repeated at the next Run. Where another instance runs, Run stands by and takes over when that one ends
// or falls silent.
//
// It returns an error that matches ErrOtherStore or ErrLogRewound when the checkpoint does not fit the log, one that
// matches eventstore.ErrCorrupt where the log is damaged, or what the server refused. Interruptions of the connection are
// waited out. A Reactor runs once at a time.
func (r *Reactor) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return fmt.Errorf("projection: reactor %s: %w", r.name, ErrRunning)
	}
	defer r.running.Store(false)
	ctx, free := whileGood(ctx, r.store)
	defer free()
	for failures := 1; ; failures++ {
		handled, err := r.runOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return r.store.Err()
		case !errors.Is(err, errReplaced) && !interrupted(err):
			return fmt.Errorf("projection: reactor %s: %w", r.name, err)
		}
		if handled {
			failures = 1
		}
		r.logger.WarnContext(ctx, "projection: reactor stands by", "error", err)
		if reactorRestarts.Wait(ctx, failures) != nil {
			return r.store.Err()
		}
	}
}

// reactorRestarts spaces the sessions of a runner whose server is away.
var reactorRestarts = backoff.Policy{Base: 20 * time.Millisecond, Max: 2 * time.Second}

// runOnce waits until this instance is the one that runs, and runs until that ends. It reports whether it came to handle
// anything.
func (r *Reactor) runOnce(ctx context.Context) (handled bool, err error) {
	runner := uuid.NewString()
	room, err := roomIn(ctx, r.documents)
	if err != nil {
		return false, err
	}
	at, err := r.standBy(ctx, runner)
	if err != nil {
		return false, err
	}
	s := newReactorSession(r, runner, at)
	s.room = room
	err = s.run(ctx)
	return s.handled, err
}
