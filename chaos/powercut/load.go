package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
	"github.com/runnel-go/runnel/projection"
)

const (
	appenders   = 16
	ownAccounts = 4 // of each appender
	movers      = 3
	ownParties  = 20 // of each mover; a transaction writes to all of them
	// pace is the least time between the appends of one appender. Without syncs there would be too many commits
	// to look for.
	pace = 2 * time.Millisecond
)

// load is a store under load.
type load struct {
	runtime *natsrun.Runtime
	store   *eventstore.Store
	view    *projection.View[balance]
	stop    context.CancelCauseFunc // ends the context that it runs in
	workers sync.WaitGroup

	// pause is locked while the load has to rest, and read-locked by each append.
	pause sync.RWMutex

	mu    sync.Mutex // guards acked
	acked []ack
}

// begin starts a server, a store, a view and the load in a data directory. The load ends with ctx, which ends
// with stop or with a failure in the load.
func begin(ctx context.Context, stop context.CancelCauseFunc, dir string, sync natsrun.SyncMode) (_ *load, err error) {
	l := &load{stop: stop}
	if l.runtime, err = natsrun.Open(ctx, config(dir, sync)); err != nil {
		return nil, err
	}
	if l.store, err = openStore(ctx, l.runtime, false); err != nil {
		return nil, errors.Join(err, l.runtime.Close(ctx))
	}
	if l.view, err = openView(ctx, l.store, nil); err != nil {
		return nil, errors.Join(err, l.store.Close(), l.runtime.Close(ctx))
	}
	l.work(ctx, "view", l.view.Run)
	for n := range appenders {
		l.work(ctx, "append", func(ctx context.Context) error { return l.appendTo(ctx, n) })
	}
	for n := range movers {
		l.work(ctx, "transaction", func(ctx context.Context) error { return l.move(ctx, n) })
	}
	return l, nil
}

// work starts a part of the load, whose failure ends the load.
func (l *load) work(ctx context.Context, what string, part func(context.Context) error) {
	l.workers.Go(func() {
		if err := part(ctx); err != nil && ctx.Err() == nil {
			l.stop(fmt.Errorf("load: %s: %w", what, err))
		}
	})
}

func config(dir string, sync natsrun.SyncMode) *natsrun.Config {
	return &natsrun.Config{DataDir: dir, Sync: sync, Logger: slog.New(slog.DiscardHandler)}
}

func openStore(ctx context.Context, runtime *natsrun.Runtime, salvage bool) (*eventstore.Store, error) {
	return eventstore.Open(ctx, runtime.Commands(), storeName, []eventstore.Event{moved{}},
		&eventstore.Config{Reads: runtime.Reads(), Salvage: salvage})
}

// end stops the load, whose context is ctx, after its appends have ended. It returns the failures of the load.
func (l *load) end(ctx context.Context) error {
	l.pause.Lock()
	l.stop(nil)
	l.pause.Unlock()
	l.workers.Wait()
	err := context.Cause(ctx)
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	return errors.Join(err, l.view.Close(), l.store.Close(), l.runtime.Close(context.WithoutCancel(ctx)))
}

func (l *load) note(commits []*eventstore.Commit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range commits {
		l.acked = append(l.acked, ack{id: c.ID, position: c.Position})
	}
}

// acknowledged returns the commits that were acknowledged until now.
func (l *load) acknowledged() []ack {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clip(l.acked)
}

// write is one append of the load, with the knowledge that the next one needs.
func (l *load) write(ctx context.Context, heads []eventstore.Head, writes []eventstore.Write) error {
	l.pause.RLock()
	defer l.pause.RUnlock()
	commits, err := l.store.AppendAll(ctx, writes...)
	if err != nil {
		return err
	}
	l.note(commits)
	for i, c := range commits {
		heads[i] = c.Head()
	}
	return nil
}

func (l *load) appendTo(ctx context.Context, n int) error {
	heads := make([]eventstore.Head, ownAccounts)
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := 0; ; i = (i + 1) % ownAccounts {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := l.write(ctx, heads[i:i+1], []eventstore.Write{{
			Stream: stream(accounts, n*ownAccounts+i), Expected: heads[i], Events: event(rand.Int64N(1000)),
		}}); err != nil {
			return err
		}
	}
}

func event(amount int64) []eventstore.Event {
	return []eventstore.Event{moved{Amount: amount, Text: strings.Repeat("runnel ", 16+rand.IntN(32))}}
}

func (l *load) move(ctx context.Context, n int) error {
	heads := make([]eventstore.Head, ownParties)
	for ctx.Err() == nil {
		if err := l.write(ctx, heads, transaction(n, heads)); err != nil {
			return err
		}
	}
	return nil
}

// transaction moves amounts between the parties of a mover. They add up to zero.
func transaction(n int, heads []eventstore.Head) []eventstore.Write {
	writes := make([]eventstore.Write, len(heads))
	left := int64(0)
	for i, head := range heads {
		amount := 1 + rand.Int64N(1000)
		left += amount
		if i == len(heads)-1 {
			amount -= left
		}
		writes[i] = eventstore.Write{Stream: stream(parties, n*ownParties+i), Expected: head, Events: event(amount)}
	}
	return writes
}
