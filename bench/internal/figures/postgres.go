package figures

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/servers"
	"github.com/runnel-go/runnel/bench/internal/table"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

// postgres is the name of the way, and of the figure.
const postgres = "Postgres"

// Postgres is the figure with a table beside Runnel, in the database at a URL, or in one of its own where that is empty.
func Postgres(sizes Sizes, url string) measure.Figure {
	return measure.Figure{
		Name: "postgres", Title: "Beside a table in Postgres",
		About: "Runnel on an embedded server with group sync, and one table of events with a unique (stream, version) in Postgres with its " +
			"defaults, through pgx and a unix socket. Both sync before an append returns; both share a sync among those who wait.",
		Take: func(ctx context.Context, run *measure.Run) error { return sizes.postgres(ctx, run, url) },
	}
}

// rivals are both, with the same events in them.
type rivals struct {
	store *eventstore.Store
	table *table.Table
}

func (s Sizes) postgres(ctx context.Context, run *measure.Run, url string) error {
	r, err := openRivals(ctx, run, url)
	if err != nil {
		return err
	}
	for _, c := range []struct {
		goroutines, events int
		bars               []measure.Bar
	}{
		{1, 1, nil},
		{16, 1, []measure.Bar{{Way: ours, Against: postgres, AtLeast: 1}}},
		{64, 1, nil},
		{1, 3, nil},
		{16, 10, nil},
	} {
		err := run.Case(ctx, measure.Case{
			Name: fmt.Sprintf("append of %s, %s", plural(c.events, "event"), plural(c.goroutines, "goroutine")),
			Unit: "appends/s",
			Ways: []measure.Way{
				{Name: ours, Round: appends(ctx, run, r.store, c.goroutines, c.events)},
				{Name: postgres, Round: r.inserts(run, c.goroutines, c.events)},
			},
			Bars: c.bars,
		})
		if err != nil {
			return err
		}
	}
	return s.postgresReads(ctx, run, r)
}

func openRivals(ctx context.Context, run *measure.Run, url string) (rivals, error) {
	if url == "" {
		dir, err := run.TempDir()
		if err != nil {
			return rivals{}, err
		}
		server, err := table.Start(ctx, dir)
		if err != nil {
			return rivals{}, err
		}
		run.Cleanup(server.Close)
		url = server.URL
	}
	on, err := keep(run, func(dir string) (*servers.Servers, error) { return servers.Embedded(ctx, dir, natsrun.SyncGroup) })
	if err != nil {
		return rivals{}, err
	}
	var r rivals
	if r.store, err = open(ctx, run, on, "bank"); err != nil {
		return rivals{}, err
	}
	if r.table, err = table.Open(ctx, url, fmt.Sprintf("events_%d", rand.Uint32()), 64); err != nil {
		return rivals{}, err
	}
	run.Cleanup(r.table.Close)
	return r, nil
}

// inserts lets each goroutine append to a stream of its own.
func (r rivals) inserts(run *measure.Run, goroutines, n int) round {
	versions, first := make([]int64, goroutines), rand.IntN(1<<40)
	write := make([]table.Event, n)
	for i := range write {
		write[i] = booked
	}
	return func(ctx context.Context) (measure.Sample, error) {
		return during(run.Scale.Round, goroutines, func(g int) (err error) {
			versions[g], err = r.table.Append(ctx, tableAccount(first+g), versions[g], write...)
			return err
		})
	}
}

func tableAccount(i int) string { return fmt.Sprintf("account-%d", i) }

// postgresReads loads from, and replays, stores that were filled alike.
func (s Sizes) postgresReads(ctx context.Context, run *measure.Run, before rivals) error {
	r := before
	var err error
	if r.store, err = eventstore.Open(ctx, before.store.JetStream(), "filled", []eventstore.Event{Booked{}}, nil); err != nil {
		return err
	}
	run.Cleanup(r.store.Close)
	if r.table, err = before.table.Beside(ctx, fmt.Sprintf("filled_%d", rand.Uint32())); err != nil {
		return err
	}
	streams := s.Postgres / 20
	run.Step("writing %s events to both", thousands(s.Postgres))
	for _, commits := range []int{10, 100} {
		if err := r.fill(ctx, commits, streams*10/commits, commits); err != nil {
			return err
		}
	}
	for _, commits := range []int{10, 100} {
		if err := run.Case(ctx, r.loads(run, commits, streams*10/commits)); err != nil {
			return err
		}
	}
	return run.Case(ctx, measure.Case{
		Name: "replay of " + thousands(s.Postgres) + " events",
		Unit: "events/s",
		Ways: []measure.Way{
			{Name: ours, Round: func(ctx context.Context) (measure.Sample, error) { return decodeAll(ctx, r.store, s.Postgres) }},
			{Name: postgres, Round: func(ctx context.Context) (measure.Sample, error) {
				n := 0
				err := table.All(ctx, r.table, func(Booked) { n++ })
				return measure.Sample{Count: n}, err
			}},
		},
	})
}

// fill writes so many commits to each of the streams of a kind, round-robin.
func (r rivals) fill(ctx context.Context, kind, streams, commits int) error {
	if _, err := fill(ctx, r.store, kind*1_000_000, streams, commits); err != nil {
		return err
	}
	for n := range commits {
		err := each(streams, func(i int) error {
			_, err := r.table.Append(ctx, tableAccount(kind*1_000_000+i), int64(n), booked)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r rivals) loads(run *measure.Run, commits, streams int) measure.Case {
	pick := func() int { return commits*1_000_000 + rand.IntN(streams) }
	count := func(n int, err error) error {
		if err == nil && n != commits {
			err = fmt.Errorf("loaded %d events of %d", n, commits)
		}
		return err
	}
	return measure.Case{
		Name: fmt.Sprintf("load of %d events", commits),
		Unit: "ms",
		Ways: []measure.Way{
			{Name: ours, Round: func(ctx context.Context) (measure.Sample, error) {
				return timing(run.Scale.Round, func() error {
					history, err := r.store.Load(ctx, account(pick()))
					return count(len(history.Commits), err)
				})
			}},
			{Name: postgres, Round: func(ctx context.Context) (measure.Sample, error) {
				return timing(run.Scale.Round, func() error {
					events, err := table.Load[Booked](ctx, r.table, tableAccount(pick()))
					return count(len(events), err)
				})
			}},
		},
	}
}
