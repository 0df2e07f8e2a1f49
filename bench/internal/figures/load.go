package figures

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/raw"
	"github.com/runnel-go/runnel/bench/internal/servers"
	"github.com/runnel-go/runnel/eventstore"
)

// workingSet is how many streams are in use at a time.
const workingSet = 10_000

// filled is a store with the log that loads are measured in. Eight tenths of its messages belong to streams of
// 10 commits, and a tenth each to streams of 100 and of 1,000. All are written round-robin, at the same time.
type filled struct {
	messages int
	store    *eventstore.Store
	gets     *raw.Gets
	of       map[int]group // by commits
}

// group are the streams that have the same number of commits.
type group struct {
	first     int
	streams   int
	positions positions
	picked    []int // the working set
}

func (g group) pick() int { return g.picked[rand.IntN(len(g.picked))] }
func (g group) any() int  { return rand.IntN(g.streams) }

func (s Sizes) load(ctx context.Context, run *measure.Run) error {
	on, err := embedded(ctx, run)
	if err != nil {
		return err
	}
	var all []*filled
	for _, messages := range s.Stores {
		f, err := fillStore(ctx, run, on, messages)
		if err != nil {
			return err
		}
		all = append(all, f)
	}
	for _, f := range all {
		if err := f.measure(ctx, run, on); err != nil {
			return err
		}
	}
	return flat(ctx, run, all)
}

func fillStore(ctx context.Context, run *measure.Run, on *servers.Servers, messages int) (*filled, error) {
	name := fmt.Sprintf("store-%d", messages)
	run.Step("writing %s commits", thousands(messages))
	store, err := open(ctx, run, on, name)
	if err != nil {
		return nil, err
	}
	f := &filled{messages: messages, store: store, of: make(map[int]group)}
	if f.gets, err = raw.NewGets(on.Conn, name); err != nil {
		return nil, err
	}
	run.Cleanup(f.gets.Close)
	return f, f.fill(ctx)
}

// fill writes a thousand rounds: each stream of 1,000 commits gets one in every round, each of 100 in every tenth,
// and each of 10 in every hundredth.
func (f *filled) fill(ctx context.Context) error {
	heads := make(map[int][]eventstore.Head)
	first := 0
	for _, part := range []struct{ commits, messages int }{{10, f.messages / 10 * 8}, {100, f.messages / 10}, {1000, f.messages / 10}} {
		g := group{first: first, streams: part.messages / part.commits}
		g.positions = positions{part.commits, make([]uint64, part.messages)}
		g.picked = rand.Perm(g.streams)[:min(workingSet, g.streams)]
		heads[part.commits] = make([]eventstore.Head, g.streams)
		f.of[part.commits] = g
		first += g.streams
	}
	for n := range 1000 {
		for commits, g := range f.of {
			if every := 1000 / commits; n%every == 0 {
				if err := f.round(ctx, g, heads[commits], n/every); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// round writes the commit of that number to each stream of a group.
func (f *filled) round(ctx context.Context, g group, heads []eventstore.Head, n int) error {
	return each(g.streams, func(i int) error {
		commit, err := f.store.Append(ctx, account(g.first+i), heads[i], booked)
		if err != nil {
			return err
		}
		heads[i] = commit.Head()
		g.positions.of(i)[n] = uint64(commit.Position)
		return nil
	})
}

// measure measures the store's own cases.
func (f *filled) measure(ctx context.Context, run *measure.Run, on *servers.Servers) error {
	if err := f.tenCommits(ctx, run, on); err != nil {
		return err
	}
	for _, commits := range []int{100, 1000} {
		g := f.of[commits]
		if err := run.Case(ctx, f.loads(run, g, g.pick, fmt.Sprintf("%s, working set, %d commits", thousands(f.messages), commits))); err != nil {
			return err
		}
	}
	g := f.of[10]
	return run.Case(ctx, f.loads(run, g, g.any, thousands(f.messages)+", any stream, 10 commits"))
}

// tenCommits measures loads of ten commits, in all ways.
func (f *filled) tenCommits(ctx context.Context, run *measure.Run, on *servers.Servers) error {
	g := f.of[10]
	c := f.loads(run, g, g.pick, thousands(f.messages)+", working set, 10 commits")
	c.Bars = []measure.Bar{{Way: ours, Against: plain, AtLeast: 1 / 1.15}}
	filtered, err := f.filteredReads(ctx, run, on, g)
	if err != nil {
		return err
	}
	c.Ways = append(c.Ways, filtered)
	if f.messages <= 2_000_000 {
		beside, err := f.commonLoads(ctx, run, on)
		if err != nil {
			return err
		}
		c.Ways = append(c.Ways, beside)
	}
	if f.messages == 2_000_000 {
		c.Bars = append(c.Bars, measure.Bar{Way: ours, Against: usual, Of: measure.P99, AtLeast: 50})
	}
	if err := f.warm(ctx, g); err != nil {
		return err
	}
	return run.Case(ctx, c)
}

// warm loads the working set once, so that the server has its blocks in memory, like the blocks of streams in
// use.
func (f *filled) warm(ctx context.Context, g group) error {
	return each(len(g.picked), func(i int) error {
		_, err := f.store.Load(ctx, account(g.first+g.picked[i]))
		return err
	})
}

// loads is a case of loading whole streams, as pick picks them.
func (f *filled) loads(run *measure.Run, g group, pick func() int, name string) measure.Case {
	return measure.Case{
		Name: name,
		Unit: "ms",
		Ways: []measure.Way{
			{Name: ours, Round: f.loading(run, g, pick)},
			{Name: plain, Round: func(context.Context) (measure.Sample, error) {
				return timing(run.Scale.Round, func() error {
					i := pick()
					if _, err := f.gets.Last(fmt.Sprintf("%s.account.%d", f.store.Name(), g.first+i)); err != nil {
						return err
					}
					all := g.positions.of(i)
					return f.gets.Sequences(all[:len(all)-1])
				})
			}},
		},
	}
}

func (f *filled) loading(run *measure.Run, g group, pick func() int) round {
	return func(ctx context.Context) (measure.Sample, error) {
		return timing(run.Scale.Round, func() error {
			history, err := f.store.Load(ctx, account(g.first+pick()))
			if err == nil && len(history.Commits) != g.positions.commits {
				err = fmt.Errorf("loaded %d commits of %d", len(history.Commits), g.positions.commits)
			}
			return err
		})
	}
}

// filteredReads reads a stream with an ordered consumer that the server filters for.
func (f *filled) filteredReads(ctx context.Context, run *measure.Run, on *servers.Servers, g group) (measure.Way, error) {
	stream, err := on.JS.Stream(ctx, f.store.Name())
	if err != nil {
		return measure.Way{}, err
	}
	return measure.Way{Name: "filtered read", Round: func(ctx context.Context) (measure.Sample, error) {
		return timing(run.Scale.Round, func() error {
			n, err := filteredRead(ctx, stream, fmt.Sprintf("%s.account.%d", f.store.Name(), g.first+g.pick()))
			if err == nil && n != g.positions.commits {
				err = fmt.Errorf("read %d messages of %d", n, g.positions.commits)
			}
			return err
		})
	}}, nil
}

func filteredRead(ctx context.Context, stream jetstream.Stream, subject string) (n int, err error) {
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		return 0, err
	}
	// Left alone, the server would keep it for five minutes.
	defer func() { err = errors.Join(err, stream.DeleteConsumer(ctx, consumer.CachedInfo().Name)) }()
	messages, err := consumer.Messages()
	if err != nil {
		return 0, err
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next()
		if err != nil {
			return n, err
		}
		n++
		about, err := msg.Metadata()
		if err != nil || about.NumPending == 0 {
			return n, err
		}
	}
}

// commonLoads loads streams of ten events from a store that is kept in the common way, and as large.
func (f *filled) commonLoads(ctx context.Context, run *measure.Run, on *servers.Servers) (measure.Way, error) {
	store, err := openCommon(ctx, on, "common-"+f.store.Name())
	if err != nil {
		return measure.Way{}, err
	}
	streams := f.messages / 10
	run.Step("writing %s events in the common way", thousands(f.messages))
	if err := fillCommon(ctx, store, streams); err != nil {
		return measure.Way{}, err
	}
	picked := rand.Perm(streams)[:min(workingSet, streams)]
	return measure.Way{Name: usual, Round: func(ctx context.Context) (measure.Sample, error) {
		return timing(run.Scale.Round, func() error {
			history, _, err := store.Load(ctx, commonAccount(picked[rand.IntN(len(picked))]))
			if err == nil && len(history) != 10 {
				err = fmt.Errorf("loaded %d events of 10", len(history))
			}
			return err
		})
	}}, nil
}

// flat loads from all the stores in turn.
func flat(ctx context.Context, run *measure.Run, all []*filled) error {
	c := measure.Case{Name: "working set, 10 commits, by messages in the store", Unit: "ms"}
	for _, f := range all {
		g := f.of[10]
		if err := f.warm(ctx, g); err != nil {
			return err
		}
		c.Ways = append(c.Ways, measure.Way{Name: thousands(f.messages), Round: f.loading(run, g, g.pick)})
	}
	if len(all) > 1 {
		first, last := c.Ways[0].Name, c.Ways[len(c.Ways)-1].Name
		c.Bars = []measure.Bar{{Way: last, Against: first, AtLeast: 0.5}}
	}
	return run.Case(ctx, c)
}

// wrongLast reports whether the server says that another was first.
func wrongLast(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence
}
