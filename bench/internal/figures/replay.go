package figures

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/bench/internal/common"
	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/raw"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

func (s Sizes) replay(ctx context.Context, run *measure.Run) error {
	on, err := embedded(ctx, run)
	if err != nil {
		return err
	}
	c := measure.Case{Name: "events in order", Unit: "events/s"}
	for _, size := range []int{1, 10} {
		run.Step("writing %s events in commits of %d", thousands(s.Replay), size)
		store, err := open(ctx, run, on, fmt.Sprintf("by-%d", size))
		if err != nil {
			return err
		}
		if err := write(ctx, store, s.Replay/size, size); err != nil {
			return err
		}
		c.Ways = append(c.Ways,
			measure.Way{Name: fmt.Sprintf("%s, commits of %d", ours, size), Round: func(ctx context.Context) (measure.Sample, error) {
				return decodeAll(ctx, store, s.Replay)
			}},
			measure.Way{Name: fmt.Sprintf("%s, commits of %d", plain, size), Round: func(ctx context.Context) (measure.Sample, error) {
				return measure.Sample{Count: s.Replay}, raw.Fetch(ctx, on.JS, store.Name(), s.Replay/size)
			}})
	}
	beside, err := openCommon(ctx, on, "common")
	if err != nil {
		return err
	}
	run.Step("writing %s events in the common way", thousands(s.Replay))
	if err := fillCommon(ctx, beside, s.Replay/10); err != nil {
		return err
	}
	c.Ways = append(c.Ways, measure.Way{Name: usual, Round: func(ctx context.Context) (measure.Sample, error) {
		return measure.Sample{Count: s.Replay}, beside.All(ctx, func(common.Recorded) error { return nil })
	}})
	c.Bars = []measure.Bar{
		{Way: c.Ways[0].Name, Against: c.Ways[1].Name, AtLeast: 0.7},
		{Way: c.Ways[2].Name, Against: c.Ways[0].Name, AtLeast: 5},
	}
	return run.Case(ctx, c)
}

// write appends commits of so many events to a tenth as many streams, round-robin.
func write(ctx context.Context, store *eventstore.Store, commits, size int) error {
	heads := make([]eventstore.Head, commits/10)
	for range 10 {
		err := each(len(heads), func(i int) error {
			commit, err := store.Append(ctx, account(i), heads[i], events(size)...)
			if err == nil {
				heads[i] = commit.Head()
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// decodeAll reads the first n events of the log.
func decodeAll(ctx context.Context, store *eventstore.Store, n int) (measure.Sample, error) {
	read := 0
	for recorded, err := range store.All(ctx) {
		if err != nil {
			return measure.Sample{}, err
		}
		if _, err := recorded.Decode(); err != nil {
			return measure.Sample{}, err
		}
		if read++; read == n {
			break
		}
	}
	return measure.Sample{Count: read}, nil
}

// Balance is the document of the figures' view.
type Balance struct{ Amount, Events int64 }

func newView(ctx context.Context, run *measure.Run, store *eventstore.Store) (*projection.View[Balance], error) {
	view, err := projection.Open(ctx, store, "balances", 1, nil,
		projection.On(func(b Balance, e Booked) Balance { return Balance{b.Amount + e.Amount, b.Events + 1} }))
	if err == nil {
		run.Cleanup(view.Close)
	}
	return view, err
}

func (s Sizes) view(ctx context.Context, run *measure.Run) error {
	on, err := embedded(ctx, run)
	if err != nil {
		return err
	}
	store, err := open(ctx, run, on, "bank")
	if err != nil {
		return err
	}
	run.Step("writing %s events of %s streams", thousands(s.View), thousands(s.View/10))
	if err := write(ctx, store, s.View, 1); err != nil {
		return err
	}
	view, err := newView(ctx, run, store)
	if err != nil {
		return err
	}
	// The rate of a put for each does not depend on how many there are.
	few := s.View / 20
	beside, err := openCommon(ctx, on, "common")
	if err != nil {
		return err
	}
	if err := fillCommon(ctx, beside, few/10); err != nil {
		return err
	}
	return run.Case(ctx, measure.Case{
		Name: fmt.Sprintf("%s events, %s keys", thousands(s.View), thousands(s.View/10)),
		Unit: "events/s",
		Ways: []measure.Way{
			{Name: ours, Round: func(ctx context.Context) (measure.Sample, error) { return build(ctx, view, s.View) }},
			{Name: plain, Round: func(ctx context.Context) (measure.Sample, error) {
				return measure.Sample{Count: s.View}, raw.Fetch(ctx, on.JS, store.Name(), s.View)
			}},
			{Name: usual, Round: func(ctx context.Context) (measure.Sample, error) {
				return measure.Sample{Count: few}, putEach(ctx, on.JS, beside)
			}},
		},
		Bars: []measure.Bar{{Way: ours, Against: plain, AtLeast: 0.3}, {Way: ours, Against: usual, AtLeast: 5}},
	})
}

// build builds a view anew, and prunes what it was before.
func build(ctx context.Context, view *projection.View[Balance], n int) (measure.Sample, error) {
	begun := time.Now()
	if err := view.Rebuild(ctx, nil); err != nil {
		return measure.Sample{}, err
	}
	took := time.Since(begun)
	_, err := view.Prune(ctx)
	return measure.Sample{Count: n, Time: took}, err
}

// putEach is the projector that is written first.
func putEach(ctx context.Context, js jetstream.JetStream, store *common.Store) error {
	bucket, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: fmt.Sprintf("each-%d", time.Now().UnixNano())})
	if err != nil {
		return err
	}
	balances := make(map[string]Balance)
	return store.Project(ctx, bucket, func(r common.Recorded) (string, any) {
		b := balances[r.Stream]
		if e, ok := r.Event.(Booked); ok {
			b = Balance{b.Amount + e.Amount, b.Events + 1}
		}
		balances[r.Stream] = b
		return r.Stream, b
	})
}

func (s Sizes) visible(ctx context.Context, run *measure.Run) error {
	on, err := embedded(ctx, run)
	if err != nil {
		return err
	}
	store, err := open(ctx, run, on, "bank")
	if err != nil {
		return err
	}
	view, err := newView(ctx, run, store)
	if err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- view.Run(running) }()
	run.Cleanup(func() error { stop(); return <-ended })
	bucket, err := kv.Open[Balance](ctx, on.JS, "beside", nil)
	if err != nil {
		return err
	}
	run.Cleanup(bucket.Close)

	// So that no batch has to wait for the interval between batches, which begins when the one before is written.
	pause := time.NewTicker(60 * time.Millisecond)
	run.Cleanup(func() error { pause.Stop(); return nil })
	head := eventstore.Head{}
	stream := account(1)
	const batch = "batch of two"
	return run.Case(ctx, measure.Case{
		Name: "one event at a time",
		Unit: "ms",
		Ways: []measure.Way{
			{Name: ours, Round: paused(run, pause, func() error {
				commit, err := store.Append(ctx, stream, head, booked)
				if err != nil {
					return err
				}
				head = commit.Head()
				_, err = view.Get(ctx, stream.ID, projection.At(commit.Position))
				return err
			})},
			{Name: batch, Round: paused(run, pause, func() error {
				writes := bucket.Batch()
				writes.Put("document", Balance{})
				writes.Put("checkpoint", Balance{})
				_, err := writes.Commit(ctx)
				return err
			})},
		},
		Bars: []measure.Bar{{Way: ours, Against: batch, AtLeast: 1 / 1.5}},
	})
}

// paused times one thing after each tick.
func paused(run *measure.Run, pause *time.Ticker, one func() error) round {
	return func(context.Context) (measure.Sample, error) {
		var sample measure.Sample
		for begun := time.Now(); time.Since(begun) < run.Scale.Round; {
			<-pause.C
			start := time.Now()
			if err := one(); err != nil {
				return sample, err
			}
			sample.Times = append(sample.Times, time.Since(start))
		}
		return sample, nil
	}
}

// name makes a name that no round had before.
func name(prefix string, n int) string { return prefix + "-" + strconv.Itoa(n) }
