package figures

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strconv"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/raw"
	"github.com/runnel-go/runnel/bench/internal/servers"
	"github.com/runnel-go/runnel/eventstore"
)

// apart starts a server in a process of its own.
func apart(ctx context.Context, run *measure.Run) (*servers.Process, error) {
	dir, err := run.TempDir()
	if err != nil {
		return nil, err
	}
	p, err := servers.NewProcess(ctx, dir)
	if err == nil {
		run.Cleanup(p.Close)
	}
	return p, err
}

// once makes a way of a value that is known.
func once(name string, value float64) measure.Way {
	return measure.Way{Name: name, Round: func(context.Context) (measure.Sample, error) { return measure.Sample{Value: value}, nil }}
}

func (s Sizes) memory(ctx context.Context, run *measure.Run) error {
	p, err := apart(ctx, run)
	if err != nil {
		return err
	}
	store, err := open(ctx, run, &p.Servers, "bank")
	if err != nil {
		return err
	}
	empty, err := p.Heap()
	if err != nil {
		return err
	}
	run.Step("writing %s streams", thousands(s.Streams))
	if _, err := fill(ctx, store, 0, s.Streams, 1); err != nil {
		return err
	}
	full, err := p.Heap()
	if err != nil {
		return err
	}
	accounts, err := aggregate.New(store, "account", Account{}, &aggregate.Config{CacheSize: s.Streams})
	if err != nil {
		return err
	}
	before := heap()
	if err := each(s.Streams/10, func(i int) error { _, err := accounts.Load(ctx, strconv.Itoa(i)); return err }); err != nil {
		return err
	}
	cached := heap() - before
	runtime.KeepAlive(accounts)
	const mebibyte = 1 << 20
	return run.Case(ctx, measure.Case{
		Name: fmt.Sprintf("for a million, from %s streams and %s aggregates", thousands(s.Streams), thousands(s.Streams/10)),
		Unit: "MiB",
		Ways: []measure.Way{
			once("server, streams", (full-empty)/float64(s.Streams)*1e6/mebibyte),
			once("program, aggregates in its cache", cached/float64(s.Streams/10)*1e6/mebibyte),
		},
	})
}

// heap is what is in use, in bytes.
func heap() float64 {
	runtime.GC()
	runtime.GC() // the first leaves what has a finalizer
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// counted is how often an operation is done to count its allocations.
const counted = 2000

// allocated returns a round that counts the allocations of one operation.
func allocated(per int, f func(ctx context.Context) error) round {
	return func(ctx context.Context) (measure.Sample, error) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := f(ctx)
		runtime.ReadMemStats(&after)
		return measure.Sample{Value: float64(after.Mallocs-before.Mallocs) / float64(per)}, err
	}
}

// times does one thing so many times.
func times(one func(ctx context.Context) error) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		for range counted {
			if err := one(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

func (s Sizes) allocations(ctx context.Context, run *measure.Run) error {
	p, err := apart(ctx, run)
	if err != nil {
		return err
	}
	store, err := open(ctx, run, &p.Servers, "bank")
	if err != nil {
		return err
	}
	if err := raw.Stream(ctx, p.JS, "raw", 1); err != nil {
		return err
	}
	data, err := payload(ctx, &p.Servers, store, 1, streamInUse)
	if err != nil {
		return err
	}
	if err := s.writing(ctx, run, p, store, data); err != nil {
		return err
	}
	return s.reading(ctx, run, p)
}

// writing counts what appends and commands allocate.
func (s Sizes) writing(ctx context.Context, run *measure.Run, p *servers.Process, store *eventstore.Store, data []byte) error {
	accounts, err := aggregate.New(store, "account", Account{}, nil)
	if err != nil {
		return err
	}
	id, last := strconv.Itoa(rand.Int()), uint64(0)
	head, stream := eventstore.Head{}, account(rand.Int())
	return run.Case(ctx, measure.Case{
		Name: "a write of one event",
		Unit: "allocations",
		Ways: []measure.Way{
			{Name: "Runnel, warm command", Round: allocated(counted, times(func(ctx context.Context) error {
				_, err := accounts.Do(ctx, id, Book{1})
				return err
			}))},
			{Name: "Runnel, append", Round: allocated(counted, times(func(ctx context.Context) error {
				commit, err := store.Append(ctx, stream, head, booked)
				if err == nil {
					head = commit.Head()
				}
				return err
			}))},
			{Name: "nats.go, PublishMsg", Round: allocated(counted, times(func(ctx context.Context) (err error) {
				last, err = raw.Publish(ctx, p.JS, "raw.account."+id, last, data)
				return err
			}))},
		},
	})
}

// reading counts what loads and replays allocate.
func (s Sizes) reading(ctx context.Context, run *measure.Run, p *servers.Process) error {
	store, err := open(ctx, run, &p.Servers, "read")
	if err != nil {
		return err
	}
	const streams = counted / 10
	written, err := fill(ctx, store, 0, streams, 10)
	if err != nil {
		return err
	}
	gets, err := raw.NewGets(p.Conn, "read")
	if err != nil {
		return err
	}
	run.Cleanup(gets.Close)
	replay := measure.Case{
		Name: "an event that is replayed, in commits of one",
		Unit: "allocations",
		Ways: []measure.Way{
			{Name: ours, Round: allocated(counted, func(ctx context.Context) error {
				_, err := decodeAll(ctx, store, counted)
				return err
			})},
			{Name: plain, Round: allocated(counted, func(ctx context.Context) error { return raw.Fetch(ctx, p.JS, "read", counted) })},
		},
	}
	if err := run.Case(ctx, replay); err != nil {
		return err
	}
	return run.Case(ctx, measure.Case{
		Name: "a load of ten commits",
		Unit: "allocations",
		Ways: []measure.Way{
			{Name: ours, Round: allocated(streams, func(ctx context.Context) error {
				for i := range streams {
					if _, err := store.Load(ctx, account(i)); err != nil {
						return err
					}
				}
				return nil
			})},
			{Name: plain, Round: allocated(streams, func(context.Context) error {
				for i := range streams {
					if _, err := gets.Last(fmt.Sprint("read.account.", i)); err != nil {
						return err
					}
					if err := gets.Sequences(written.of(i)[:9]); err != nil {
						return err
					}
				}
				return nil
			})},
		},
	})
}
