package figures

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/bench/internal/common"
	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/raw"
	"github.com/runnel-go/runnel/bench/internal/servers"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

// embedded starts a server that syncs in its own time.
func embedded(ctx context.Context, run *measure.Run) (*servers.Servers, error) {
	return keep(run, func(dir string) (*servers.Servers, error) { return servers.Embedded(ctx, dir, natsrun.SyncNone) })
}

// keep starts servers over a folder of their own, and closes them when the figure is taken.
func keep(run *measure.Run, start func(dir string) (*servers.Servers, error)) (*servers.Servers, error) {
	dir, err := run.TempDir()
	if err != nil {
		return nil, err
	}
	on, err := start(dir)
	if err == nil {
		run.Cleanup(on.Close)
	}
	return on, err
}

func (s Sizes) append(ctx context.Context, run *measure.Run) error {
	topologies := []struct {
		name  string
		start func(dir string) (*servers.Servers, error)
		most  int // events
	}{
		{"embedded", func(dir string) (*servers.Servers, error) { return servers.Embedded(ctx, dir, natsrun.SyncNone) }, 10},
		{"TCP", func(dir string) (*servers.Servers, error) { return servers.TCP(dir, false) }, 10},
		{"three replicas", func(dir string) (*servers.Servers, error) { return servers.Cluster(dir, false) }, 10},
		{"TCP, synced always", func(dir string) (*servers.Servers, error) { return servers.TCP(dir, true) }, 1},
		{"three replicas, synced always", func(dir string) (*servers.Servers, error) { return servers.Cluster(dir, true) }, 1},
	}
	run.Scale.Round /= 2 // for there are many cases
	for _, topology := range topologies {
		if !s.Deep && topology.name != "embedded" && topology.name != "three replicas" {
			continue
		}
		on, err := keep(run, topology.start)
		if err != nil {
			return err
		}
		if err := s.appendOn(ctx, run, on, topology.name, topology.most); err != nil {
			return err
		}
	}
	return nil
}

// appendOn measures appends of up to so many events on one kind of server.
func (s Sizes) appendOn(ctx context.Context, run *measure.Run, on *servers.Servers, name string, most int) error {
	store, err := open(ctx, run, on, "bank")
	if err != nil {
		return err
	}
	if err := raw.Stream(ctx, on.JS, "raw", on.Replicas); err != nil {
		return err
	}
	beside, err := openCommon(ctx, on, "common")
	if err != nil {
		return err
	}
	for _, n := range []int{1, 3, 10} {
		if n > most || !s.Deep && n != 1 {
			continue
		}
		data, err := payload(ctx, on, store, n, streamInUse)
		if err != nil {
			return err
		}
		for _, goroutines := range []int{1, 16, 64} {
			c := measure.Case{
				Name: fmt.Sprintf("%s, %s, %s", name, plural(n, "event"), plural(goroutines, "goroutine")),
				Unit: "appends/s",
				Ways: []measure.Way{
					{Name: ours, Round: appends(ctx, run, store, goroutines, n)},
					{Name: plain, Round: publishes(ctx, run, on, goroutines, data)},
					{Name: usual, Round: commonAppends(run, beside, goroutines, n)},
				},
			}
			if err := run.Case(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

type round = func(context.Context) (measure.Sample, error)

// appends lets each goroutine append to a stream of its own.
func appends(_ context.Context, run *measure.Run, store *eventstore.Store, goroutines, n int) round {
	heads := make([]eventstore.Head, goroutines)
	streams := make([]eventstore.StreamID, goroutines)
	for g := range streams {
		streams[g] = account(rand.Int())
	}
	write := events(n)
	return func(ctx context.Context) (measure.Sample, error) {
		return during(run.Scale.Round, goroutines, func(g int) error {
			commit, err := store.Append(ctx, streams[g], heads[g], write...)
			if err == nil {
				heads[g] = commit.Head()
			}
			return err
		})
	}
}

// publishes lets each goroutine publish on a subject of its own.
func publishes(_ context.Context, run *measure.Run, on *servers.Servers, goroutines int, data []byte) round {
	last := make([]uint64, goroutines)
	subjects := make([]string, goroutines)
	for g := range subjects {
		subjects[g] = fmt.Sprint("raw.account.", rand.Int())
	}
	publish := raw.PublishAsync
	if goroutines == 1 {
		publish = raw.Publish
	}
	return func(ctx context.Context) (measure.Sample, error) {
		return during(run.Scale.Round, goroutines, func(g int) (err error) {
			last[g], err = again(func() (uint64, error) { return publish(ctx, on.JS, subjects[g], last[g], data) })
			return err
		})
	}
}

// again repeats a write, a thousand times at most, if the server says that another write on the same subject is
// in flight. On three replicas it sometimes says so of a write that it has acknowledged. The next try succeeded
// whenever that was seen. Runnel looks into the stream and tries again by itself.
func again(write func() (uint64, error)) (uint64, error) {
	const most = 1000
	for try := 1; ; try++ {
		sequence, err := write()
		var api *jetstream.APIError
		if try == most || !errors.As(err, &api) || api.ErrorCode != jetstream.JSErrCodeStreamWrongLastSequenceConstant {
			return sequence, err
		}
	}
}

// commonAppends lets each goroutine append to a stream of its own.
func commonAppends(run *measure.Run, store *common.Store, goroutines, n int) round {
	last := make([]uint64, goroutines)
	streams := make([]string, goroutines)
	for g := range streams {
		streams[g] = commonAccount(rand.Int())
	}
	write := commonEvents(n)
	return func(ctx context.Context) (measure.Sample, error) {
		return during(run.Scale.Round, goroutines, func(g int) (err error) {
			last[g], err = again(func() (uint64, error) { return store.Append(ctx, streams[g], last[g], write...) })
			return err
		})
	}
}

func (s Sizes) commitSize(ctx context.Context, run *measure.Run) error {
	on, err := embedded(ctx, run)
	if err != nil {
		return err
	}
	store, err := open(ctx, run, on, "bank")
	if err != nil {
		return err
	}
	beside, err := openCommon(ctx, on, "common")
	if err != nil {
		return err
	}
	const one, three = "Runnel, commit of 1", "Runnel, commit of 3"
	return run.Case(ctx, measure.Case{
		Name: "one goroutine, one replica, file storage",
		Unit: "appends/s",
		Ways: []measure.Way{
			{Name: three, Round: appends(ctx, run, store, 1, 3)},
			{Name: one, Round: appends(ctx, run, store, 1, 1)},
			{Name: "atomic batch of 3", Round: commonAppends(run, beside, 1, 3)},
		},
		Bars: []measure.Bar{{Way: three, Against: one, AtLeast: 1 / 1.3}, {Way: three, Against: "atomic batch of 3", AtLeast: 50}},
	})
}

func (s Sizes) durable(ctx context.Context, run *measure.Run) error {
	for _, goroutines := range []int{1, 16, 64} {
		var ways []measure.Way
		for _, mode := range []natsrun.SyncMode{natsrun.SyncGroup, natsrun.SyncAlways, natsrun.SyncNone} {
			on, err := keep(run, func(dir string) (*servers.Servers, error) { return servers.Embedded(ctx, dir, mode) })
			if err != nil {
				return err
			}
			store, err := open(ctx, run, on, "bank")
			if err != nil {
				return err
			}
			ways = append(ways, measure.Way{Name: syncName(mode), Round: appends(ctx, run, store, goroutines, 1)})
		}
		err := run.Case(ctx, measure.Case{
			Name: plural(goroutines, "goroutine"),
			Unit: "appends/s",
			Ways: ways,
			Bars: []measure.Bar{{
				Way: syncName(natsrun.SyncGroup), Against: syncName(natsrun.SyncAlways),
				AtLeast: map[int]float64{1: 0.8, 16: 2.5, 64: 4}[goroutines],
			}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func syncName(mode natsrun.SyncMode) string {
	return map[natsrun.SyncMode]string{natsrun.SyncGroup: "group sync", natsrun.SyncAlways: "SyncAlways", natsrun.SyncNone: "no sync"}[mode]
}

func (s Sizes) streams(ctx context.Context, run *measure.Run) error {
	on, err := embedded(ctx, run)
	if err != nil {
		return err
	}
	store, err := open(ctx, run, on, "bank")
	if err != nil {
		return err
	}
	if err := raw.Stream(ctx, on.JS, "raw", on.Replicas); err != nil {
		return err
	}
	data, err := payload(ctx, on, store, 1, newStream)
	if err != nil {
		return err
	}
	for _, goroutines := range []int{1, 64} {
		publish := raw.PublishAsync
		if goroutines == 1 {
			publish = raw.Publish
		}
		fresh := measure.Case{
			Name: "a new stream each, " + plural(goroutines, "goroutine"),
			Unit: "appends/s",
			Ways: []measure.Way{
				{Name: ours, Round: func(ctx context.Context) (measure.Sample, error) {
					return during(run.Scale.Round, goroutines, func(int) error {
						_, err := store.Append(ctx, account(rand.Int()), eventstore.Head{}, booked)
						return err
					})
				}},
				{Name: plain, Round: func(ctx context.Context) (measure.Sample, error) {
					return during(run.Scale.Round, goroutines, func(int) error {
						_, err := publish(ctx, on.JS, fmt.Sprint("raw.account.", rand.Int()), 0, data)
						return err
					})
				}},
			},
			Bars: []measure.Bar{{Way: ours, Against: plain, AtLeast: 0.8}},
		}
		if err := run.Case(ctx, fresh); err != nil {
			return err
		}
	}
	return s.oldStreams(ctx, run, on, store, data)
}

// oldStreams appends to any of many streams that have been written to long before.
func (s Sizes) oldStreams(ctx context.Context, run *measure.Run, on *servers.Servers, store *eventstore.Store, data []byte) error {
	heads, last := make([]eventstore.Head, s.Old), make([]uint64, s.Old)
	run.Step("writing %d streams", s.Old)
	err := each(s.Old, func(i int) error {
		commit, err := store.Append(ctx, account(i), eventstore.Head{}, booked)
		if err != nil {
			return err
		}
		heads[i] = commit.Head()
		last[i], err = raw.PublishAsync(ctx, on.JS, fmt.Sprint("raw.account.", i), 0, data)
		return err
	})
	if err != nil {
		return err
	}
	return anyOf(ctx, run, thousands(s.Old), func(ctx context.Context) error {
		i := rand.IntN(s.Old)
		commit, err := store.Append(ctx, account(i), heads[i], booked)
		if err == nil {
			heads[i] = commit.Head()
		}
		return err
	}, func(ctx context.Context) (err error) {
		i := rand.IntN(s.Old)
		last[i], err = raw.Publish(ctx, on.JS, fmt.Sprint("raw.account.", i), last[i], data)
		return err
	})
}

// anyOf measures appends to any of so many streams, while their blocks are in memory and when they are not.
func anyOf(ctx context.Context, run *measure.Run, streams string, one, onePlain func(context.Context) error) error {
	count := func(one func(context.Context) error) round {
		return func(ctx context.Context) (measure.Sample, error) {
			return during(run.Scale.Round, 1, func(int) error { return one(ctx) })
		}
	}
	timed := func(one func(context.Context) error) round {
		return func(ctx context.Context) (measure.Sample, error) {
			return timing(run.Scale.Round, func() error { return one(ctx) })
		}
	}
	err := run.Case(ctx, measure.Case{
		Name: "any of " + streams + " streams, 1 goroutine",
		Unit: "appends/s",
		Ways: []measure.Way{{Name: ours, Round: count(one)}, {Name: plain, Round: count(onePlain)}},
	})
	if err != nil {
		return err
	}
	run.Step("waiting for the server to let go of its blocks")
	if err := wait(ctx, blocksKept); err != nil {
		return err
	}
	return run.Case(ctx, measure.Case{
		Name: fmt.Sprintf("any of %s streams, not in use for %s", streams, blocksKept),
		Unit: "ms",
		Ways: []measure.Way{{Name: ours, Round: timed(one)}, {Name: plain, Round: timed(onePlain)}},
	})
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// blocksKept is longer than the server keeps an unused block in memory. Appends do not load it again.
const blocksKept = 15 * time.Second

// thousands writes a number as people read it.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
