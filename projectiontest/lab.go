package projectiontest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// lab is a server on which each trial has a store of its own.
type lab[V any] struct {
	js      jetstream.JetStream
	doubled jetstream.JetStream // delivers each message of the log twice; nil if no view runs
	events  []eventstore.Event
	rules   []projection.Rule[V]
	cfg     Config
	trials  int
}

// open calls a function with a new store.
func (l *lab[V]) open(ctx context.Context, f func(ctx context.Context, store *eventstore.Store) error) error {
	l.trials++
	store, err := eventstore.Open(ctx, l.js, l.name(), l.events, l.cfg.Store)
	if err != nil {
		return err
	}
	return errors.Join(f(ctx, store), store.Close())
}

// name is the name of the present trial's store.
func (l *lab[V]) name() string { return fmt.Sprintf("check%d", l.trials) }

func appendTo(ctx context.Context, store *eventstore.Store, commit Commit) (eventstore.Position, error) {
	category, id, ok := strings.Cut(commit.Stream, "/")
	if !ok {
		return 0, fmt.Errorf("stream %q: want category/id", commit.Stream)
	}
	stream := eventstore.StreamID{Category: category, ID: id}
	head, err := store.Head(ctx, stream)
	if err != nil {
		return 0, err
	}
	stored, err := store.Append(ctx, stream, head, commit.Events...)
	if err != nil {
		return 0, err
	}
	return stored.Position, nil
}

// straight folds the log of a store once, from start to end, and returns the documents.
func (l *lab[V]) straight(ctx context.Context, store *eventstore.Store) (map[string]V, error) {
	view, err := projection.Open(ctx, store, "straight", 1, nil, l.rules...)
	if err != nil {
		return nil, err
	}
	if err := view.Rebuild(ctx, nil); err != nil {
		return nil, errors.Join(err, view.Close())
	}
	documents, err := l.read(ctx, store, view)
	return documents, errors.Join(err, view.Close())
}

// read waits until a view has folded the whole log, and returns its documents.
func (l *lab[V]) read(ctx context.Context, store *eventstore.Store, view *projection.View[V]) (map[string]V, error) {
	end, err := store.End(ctx)
	if err == nil {
		err = view.WaitFor(ctx, end)
	}
	if err != nil {
		return nil, err
	}
	documents := make(map[string]V)
	for entry, err := range view.List(ctx) {
		if err != nil {
			return nil, err
		}
		documents[entry.Key] = entry.Value
	}
	return documents, nil
}

func sorted[V any](documents map[string]V) []string { return slices.Sorted(maps.Keys(documents)) }

// runner is the running instance of a view, if there is one.
type runner[V any] struct {
	view    *projection.View[V]
	stop    context.CancelFunc
	running sync.WaitGroup
	err     error // once it has ended
}

// start runs an instance, and cancels ctx with the error that ends it.
func (l *lab[V]) start(ctx context.Context, r *runner[V], store *eventstore.Store, failed context.CancelCauseFunc) error {
	view, err := projection.Open(ctx, store, "view", 1, l.cfg.View, l.rules...)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	r.view, r.stop = view, func() { stop() }
	r.running.Go(func() {
		if r.err = view.Run(ctx); r.err != nil {
			failed(r.err)
		}
	})
	return nil
}

// end stops the instance wherever it is, and waits for it.
func (r *runner[V]) end() error {
	if r.view == nil {
		return nil
	}
	r.stop()
	r.running.Wait()
	err := errors.Join(r.err, r.view.Close())
	r.view = nil
	return err
}
