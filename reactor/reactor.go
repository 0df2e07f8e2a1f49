package reactor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// Reactor calls reactions for the events of a store, at least once for each and in order for each stream. It is safe
// for concurrent use.
type Reactor struct {
	store      *eventstore.Store
	name       string
	cfg        Config
	logger     *slog.Logger
	reactions  map[string]Reaction
	decodes    map[string]bool // the names in the log under which events with a reaction may stand
	documents  *kv.Bucket[document]
	checkpoint *kv.Cell[checkpoint]
	running    atomic.Bool
}

// Open opens the reactor of a name over a store, and makes its checkpoint if it has none. A new reactor reacts to
// what is appended after Open has returned, or from [Config.From] on. Open returns an error that matches ErrInvalid
// for a name or reactions that cannot be used, one that matches ErrPositionAhead for a From beyond the log's end, or
// the error of opening the bucket. The caller must call Close.
func Open(ctx context.Context, store *eventstore.Store, name string, cfg *Config, reactions ...Reaction) (*Reactor, error) {
	if err := eventstore.CheckCategory(name); err != nil {
		return nil, fmt.Errorf("reactor: %q: %w: the name has 1 to 64 letters, digits, - or _", name, ErrInvalid)
	}
	byType, decodes, err := reactionsByType(store, reactions)
	if err != nil {
		return nil, fmt.Errorf("reactor: %s: %w", name, err)
	}
	full := cfg.withDefaults(store)
	logger := full.Logger.With("reactor", name)
	bucket := fmt.Sprintf("%s-%s-reactor", store.Name(), name)
	// A runner that cannot write for so long begins nothing more anyway.
	timeout := max(2*full.Heartbeat, time.Second)
	documents, err := kv.Open[document](ctx, store.JetStream(), bucket, &kv.Config{Replicas: full.Replicas, Timeout: timeout, Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("reactor: %s: %w", name, err)
	}
	cell, err := kv.NewCell[checkpoint](documents, "checkpoint")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reactor: %s: %w", name, err), documents.Close())
	}
	r := &Reactor{
		store: store, name: name, cfg: full, logger: logger, reactions: byType, decodes: decodes, documents: documents, checkpoint: cell,
	}
	if err := r.begin(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("reactor: %s: %w", name, err), documents.Close())
	}
	return r, nil
}

// Bucket is the name of the NATS KV bucket with the reactor's checkpoint and its parked streams.
func (r *Reactor) Bucket() string { return r.documents.Name() }

// Close ends the subscription for replies. End Run first.
func (r *Reactor) Close() error { return r.documents.Close() }

// Run calls the reactions until ctx ends; then it returns nil. Reactions under way see their context end, and those
// that failed for it are repeated at the next Run. Where another instance runs, Run stands by and takes over when
// that one ends or falls silent.
//
// It returns an error that matches ErrOtherStore or ErrLogRewound when the checkpoint does not fit the log, one that
// matches eventstore.ErrCorrupt where the log is damaged, or what the server refused. Interruptions of the connection
// are waited out. A Reactor runs once at a time.
func (r *Reactor) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return fmt.Errorf("reactor: %s: %w", r.name, ErrRunning)
	}
	defer r.running.Store(false)
	ctx, free := runner.WhileGood(ctx, r.store)
	defer free()
	for failures := 1; ; failures++ {
		handled, err := r.runOnce(ctx)
		switch {
		case ctx.Err() != nil:
			return r.store.Err()
		case !errors.Is(err, errReplaced) && !runner.Passing(err):
			return fmt.Errorf("reactor: %s: %w", r.name, err)
		}
		if handled {
			failures = 1
		}
		r.logger.WarnContext(ctx, "reactor: stands by", "error", err)
		if runner.Restarts.Wait(ctx, failures) != nil {
			return r.store.Err()
		}
	}
}

// runOnce waits until this instance is the one that runs, and runs until that ends. It reports whether it came to
// handle anything.
func (r *Reactor) runOnce(ctx context.Context) (handled bool, err error) {
	id := uuid.NewString()
	room, err := runner.RoomIn(ctx, r.documents)
	if err != nil {
		return false, err
	}
	at, err := r.standBy(ctx, id)
	if err != nil {
		return false, err
	}
	s := newSession(r, id, at)
	s.room = room
	err = s.run(ctx)
	return s.handled, err
}
