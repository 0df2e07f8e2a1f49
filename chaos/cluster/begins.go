package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// Begins are measured on three servers, with a view of so many documents and so many programs side by side.
const (
	beginsDocuments = 200
	beginsPrograms  = 8
	beginsBound     = time.Second
)

// stored is the only event of the log that is measured.
type stored struct{ N int }

func (stored) EventType() string { return "stored" }

// begins measures how long the first steps of a program take on a healthy cluster. A list or a watch lasts until all
// documents have come. A start lasts until store and view are open and a document was read.
type begins struct {
	cluster *cluster
	mu      sync.Mutex // guards took
	took    map[string][]time.Duration
}

// measureBegins makes n of them, and returns errWrong if one took longer than beginsBound.
func measureBegins(ctx context.Context, out io.Writer, dir string, p programs, n int) (err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	b := &begins{took: make(map[string][]time.Duration)}
	if b.cluster, err = startCluster(ctx, dir, p.natsd, 3, ""); err != nil {
		return err
	}
	defer b.cluster.close()
	view, done, err := b.open(ctx)
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	running.Go(func() { err = errors.Join(err, view.Run(ctx)) })
	failed := errors.Join(b.fill(ctx, view), b.all(ctx, n))
	stop()
	running.Wait()
	if err := errors.Join(failed, err, done()); err != nil {
		return err
	}
	return b.tell(out)
}

// open opens a connection, the store and the view.
func (b *begins) open(ctx context.Context) (view *projection.View[stored], done func() error, err error) {
	var urls []string
	for _, n := range b.cluster.nodes {
		urls = append(urls, "nats://"+n.client)
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.ReconnectBufSize(-1))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	quiet := slog.New(slog.DiscardHandler)
	store, err := eventstore.Open(ctx, js, "begins", []eventstore.Event{stored{}}, &eventstore.Config{Logger: quiet})
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	key := func(e stored) string { return strconv.Itoa(e.N) }
	view, err = projection.Open(ctx, store, "all", 1, &projection.Config{Logger: quiet},
		projection.On(func(_, e stored) stored { return e }).By(key))
	if err != nil {
		err = errors.Join(err, store.Close())
		nc.Close()
		return nil, nil, err
	}
	return view, func() error {
		err := errors.Join(view.Close(), store.Close())
		nc.Close()
		return err
	}, nil
}

// fill makes the documents, and waits until the view has them.
func (b *begins) fill(ctx context.Context, view *projection.View[stored]) error {
	js, err := jetstream.New(b.cluster.admin)
	if err != nil {
		return err
	}
	store, err := eventstore.Open(ctx, js, "begins", []eventstore.Event{stored{}}, nil)
	if err != nil {
		return err
	}
	var last eventstore.Position
	for n := range beginsDocuments {
		c, err := store.Append(ctx, eventstore.StreamID{Category: "one", ID: strconv.Itoa(n)}, eventstore.Head{}, stored{n})
		if err != nil {
			return errors.Join(err, store.Close())
		}
		last = c.Position
	}
	return errors.Join(view.WaitFor(ctx, last), store.Close())
}

// all makes n begins, a third of each kind.
func (b *begins) all(ctx context.Context, n int) error {
	var next atomic.Int64
	errs := make([]error, beginsPrograms)
	var programs sync.WaitGroup
	for i := range beginsPrograms {
		programs.Go(func() {
			view, done, err := b.open(ctx)
			if err != nil {
				errs[i] = err
				return
			}
			for err == nil {
				at := int(next.Add(1))
				if at > n {
					break
				}
				switch at % 3 {
				case 0:
					err = b.time("list", func() error { return list(ctx, view) })
				case 1:
					err = b.time("watch", func() error { return watch(ctx, view) })
				default:
					err = b.start(ctx)
				}
			}
			errs[i] = errors.Join(err, done())
		})
	}
	programs.Wait()
	return errors.Join(errs...)
}

// time notes how long something takes.
func (b *begins) time(kind string, do func() error) error {
	begin := time.Now()
	err := do()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.took[kind] = append(b.took[kind], time.Since(begin))
	return err
}

func (b *begins) start(ctx context.Context) error {
	var done func() error
	err := b.time("start", func() (err error) {
		var view *projection.View[stored]
		if view, done, err = b.open(ctx); err == nil {
			_, err = view.Get(ctx, "7")
		}
		return err
	})
	if done != nil {
		err = errors.Join(err, done())
	}
	return err
}

func list(ctx context.Context, view *projection.View[stored]) error {
	found := 0
	for _, err := range view.List(ctx) {
		if err != nil {
			return err
		}
		found++
	}
	return allOf("list", found)
}

func watch(ctx context.Context, view *projection.View[stored]) error {
	found := 0
	for change, err := range view.Watch(ctx) {
		if err != nil {
			return err
		}
		if change.Synced {
			break
		}
		found++
	}
	return allOf("watch", found)
}

func allOf(kind string, found int) error {
	if found != beginsDocuments {
		return fmt.Errorf("a %s had %d of %d documents", kind, found, beginsDocuments)
	}
	return nil
}

// tell prints a line for each kind.
func (b *begins) tell(out io.Writer) error {
	late := 0
	for _, kind := range []string{"list", "watch", "start"} {
		took := b.took[kind]
		if len(took) == 0 {
			continue
		}
		slices.Sort(took)
		within, _ := slices.BinarySearch(took, beginsBound)
		over := len(took) - within
		late += over
		_, _ = fmt.Fprintf(out, "%s: %d, median %s, 99 of 100 within %s, longest %s, over %s: %d\n", kind, len(took),
			brief(took[len(took)/2]), brief(took[len(took)*99/100]), brief(took[len(took)-1]), beginsBound, over)
	}
	if late > 0 {
		return errWrong
	}
	return nil
}
