package reactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/internal/token"
	"github.com/runnel-go/runnel/kv"
)

// Reactor calls reactions for the events of a store, at least once for each and in order for each stream. It is safe
// for concurrent use.
type Reactor struct {
	store     *eventstore.Store
	name      string
	cfg       Config
	logger    *slog.Logger
	reactions map[string]Reaction
	types     []string // the names in the log under which events with a reaction may stand, in order
	documents *kv.Bucket[document]
	running   atomic.Bool
	pace      atomic.Int64 // how long the last write of the checkpoint took, in nanoseconds
}

// Open opens the reactor of a name over a store. A new reactor reacts to what is appended after Open has returned, or
// from [Config.From] on. A reaction that a reactor did not have before reacts to what is appended after Open has
// returned. Open returns an error that matches ErrInvalid if the name or the reactions cannot be used. It returns an
// error that matches eventstore.ErrPositionAhead if From is beyond the log's end, and ErrOtherStore if the checkpoint
// belongs to a store that had the name before. Otherwise it returns the error of asking the servers. The caller must
// call Close.
func Open(ctx context.Context, store *eventstore.Store, name string, cfg *Config, reactions ...Reaction) (*Reactor, error) {
	if err := token.CheckName(name); err != nil {
		return nil, fmt.Errorf("reactor: %q: %w: the name has 1 to 64 letters, digits, - or _", name, ErrInvalid)
	}
	if err := control.CheckOwner(ctx, name); err != nil {
		return nil, fmt.Errorf("reactor: %q: %w: %w", name, ErrInvalid, err)
	}
	r, err := open(ctx, store, name, cfg, reactions)
	if err != nil {
		return nil, fmt.Errorf("reactor: %s: %w", name, err)
	}
	return r, nil
}

func open(ctx context.Context, store *eventstore.Store, name string, cfg *Config, reactions []Reaction) (*Reactor, error) {
	byType, decodes, err := reactionsByType(store, reactions)
	if err != nil {
		return nil, err
	}
	full, err := cfg.withDefaults(store)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	r := &Reactor{
		store: store, name: name, cfg: full, logger: full.Logger.With("reactor", name),
		reactions: byType, types: slices.Sorted(maps.Keys(decodes)),
	}
	// It is the timeout of a write. Nothing waits for a write, so it may be longer than the lease.
	timeout := max(5*full.Heartbeat, 2*time.Second)
	if r.documents, err = runner.OpenControl[document](ctx, store, timeout, r.logger); err != nil {
		return nil, err
	}
	if err := r.begin(ctx); err != nil {
		return nil, errors.Join(err, r.documents.Close())
	}
	return r, nil
}

// handles reports whether the reactor has a reaction to events that stand under a name in the log.
func (r *Reactor) handles(name string) bool {
	_, found := slices.BinarySearch(r.types, name)
	return found
}

// Bucket is the name of the NATS KV bucket with the reactor's checkpoint and its parked streams: the control bucket
// of the store. The keys of the reactor begin with "reactor.", its name and a dot.
func (r *Reactor) Bucket() string { return r.documents.Name() }

// Close ends the subscription for replies. End Run first.
func (r *Reactor) Close() error { return r.documents.Close() }

// Run calls the reactions until ctx ends; then it returns nil. Reactions under way see their context end, and those
// that fail for it are repeated at the next Run. While another instance runs, Run stands by. It takes over when the
// other instance ends, falls silent, or has fewer reactions.
//
// Run returns an error that matches ErrOtherStore or eventstore.ErrLogRewound if the checkpoint does not fit the log,
// one that matches eventstore.ErrCorrupt if the log is damaged, or the refusal of the server. It waits out whatever
// passes: interruptions of the connection, a lost quorum, a server that ends. Run waits for the reactions that it has
// begun, for twice [Config.Timeout] at most. It returns ErrRunning if it is called while it runs.
func (r *Reactor) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return fmt.Errorf("reactor: %s: %w", r.name, ErrRunning)
	}
	defer r.running.Store(false)
	ctx, free := runner.WhileGood(ctx, r.store)
	defer free()
	id := uuid.NewString()
	for failures := 1; ; failures++ {
		handled, err := r.runOnce(ctx, id)
		switch {
		case ctx.Err() != nil:
			return eventstore.Inside(inside.Pass{}, r.store).Err()
		case !errors.Is(err, errReplaced) && !runner.Passing(err):
			return fmt.Errorf("reactor: %s: %w", r.name, err)
		}
		if handled {
			failures = 1
		}
		r.logger.WarnContext(ctx, "reactor: stands by", "error", err)
		if runner.Restarts.Wait(ctx, failures) != nil {
			return eventstore.Inside(inside.Pass{}, r.store).Err()
		}
	}
}

// runOnce waits until this instance is the one that runs, and runs until that ends. It reports whether any event was
// handled.
func (r *Reactor) runOnce(ctx context.Context, id string) (handled bool, err error) {
	room, err := runner.RoomIn(ctx, r.documents)
	if err != nil {
		return false, err
	}
	at, err := r.standBy(ctx, id)
	if err != nil {
		return false, err
	}
	s := newSession(r, id, at)
	s.writer.room = room
	err = s.run(ctx)
	return s.handled, err
}
