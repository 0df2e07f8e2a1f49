package figures

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/servers"
	"github.com/runnel-go/runnel/bench/internal/table"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

// The ways of the figures beside Postgres.
const (
	rows          = "Postgres"
	rowsUnsynced  = "Postgres, synchronous_commit off"
	oursUnsynced  = "Runnel, no sync"
	postgresAbout = "Postgres is a table with a unique (stream, version), through pgx: "
)

// PostgresPrefix begins the names of figures that need a Postgres.
const PostgresPrefix = "postgres-"

// WithPostgres returns the figures that have a table of Postgres beside Runnel, in the order of the page. Their
// names begin with [PostgresPrefix].
func WithPostgres(sizes Sizes) []measure.Figure {
	return []measure.Figure{
		{
			Name: PostgresPrefix + "append", Title: "Durable appends, beside Postgres", Take: sizes.postgresAppend,
			About: "Appends that are on disk before they are acknowledged: an embedded server with group sync, and a server " +
				"of Postgres behind a unix socket. Beside each stands the same without waiting for the disk. " + postgresAbout + "one append is one insert.",
		},
		{
			Name: PostgresPrefix + "http", Title: "Deposits over HTTP, beside Postgres", Take: sizes.http,
			About: "Deposits on any of a thousand accounts, as clients of a service see them: the example bank, whose embedded " +
				"server syncs before it acknowledges, and one handler over a table that does the same. Each is a process of its " +
				"own, and shares the machine with its clients. " + postgresAbout + "one deposit is one select of the last event, and one insert.",
		},
		{
			Name: PostgresPrefix + "load", Title: "Loads, beside Postgres", Take: sizes.postgresLoad,
			About: "Events were written one at a time and round-robin, half of them to streams of 10 and half to streams of 100. Any of the streams " +
				"is loaded, and decoded. " + postgresAbout + "one load is one select.",
		},
		{
			Name: PostgresPrefix + "replay", Title: "Replay, beside Postgres", Take: sizes.postgresReplay,
			About: "All events of the loads in order, decoded. " + postgresAbout + "all are one select, whose rows are decoded as they come in.",
		},
	}
}

// postgres starts a server, which ends when the figure is taken.
func postgres(ctx context.Context, run *measure.Run) (*table.Server, error) {
	server, err := table.Start(ctx)
	if err != nil {
		return nil, err
	}
	run.Cleanup(server.Close)
	return server, nil
}

// openTable makes a table with a connection for each writer.
func openTable(ctx context.Context, server *table.Server, writers int, async bool) (*table.Store, error) {
	return table.Open(ctx, server.URL, &table.Config{Conns: writers, AsyncCommit: async}, table.TypeOf[Booked]())
}

// describe adds to the figure which server was measured.
func describe(ctx context.Context, run *measure.Run, store *table.Store) error {
	about, err := store.About(ctx)
	if err == nil {
		run.Result.About += " It is " + about + "."
	}
	return err
}

func (s Sizes) postgresAppend(ctx context.Context, run *measure.Run) error {
	server, err := postgres(ctx, run)
	if err != nil {
		return err
	}
	group, err := keep(run, func(dir string) (*servers.Servers, error) { return servers.Embedded(ctx, dir, natsrun.SyncGroup) })
	if err != nil {
		return err
	}
	none, err := embedded(ctx, run)
	if err != nil {
		return err
	}
	synced, err := open(ctx, run, group, "bank")
	if err != nil {
		return err
	}
	unsynced, err := open(ctx, run, none, "bank")
	if err != nil {
		return err
	}
	for _, size := range []int{1, 3} {
		for _, goroutines := range []int{1, 16, 64} {
			c := measure.Case{
				Name: plural(size, "event") + ", " + plural(goroutines, "goroutine"),
				Unit: "appends/s",
				Ways: []measure.Way{{Name: ours, Round: appends(ctx, run, synced, goroutines, size)}},
			}
			if goroutines <= 16 {
				c.Ways = append(c.Ways, measure.Way{Name: oursUnsynced, Round: appends(ctx, run, unsynced, goroutines, size)})
			}
			if size == 1 && goroutines == 16 {
				c.Bars = []measure.Bar{{Way: ours, Against: rows, AtLeast: 1}}
			}
			if err := besideTables(ctx, run, server, c, goroutines, size); err != nil {
				return err
			}
		}
	}
	return nil
}

// besideTables measures a case of appends with tables beside it, and closes their connections. A server takes a
// hundred by default, which is too few for two tables with 64.
func besideTables(ctx context.Context, run *measure.Run, server *table.Server, c measure.Case, goroutines, size int) (err error) {
	for _, way := range []struct {
		name  string
		async bool
	}{{rows, false}, {rowsUnsynced, true}} {
		if way.async && goroutines > 16 {
			continue
		}
		store, err := openTable(ctx, server, goroutines, way.async)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, store.Close(context.WithoutCancel(ctx))) }()
		c.Ways = append(c.Ways, measure.Way{Name: way.name, Round: tableAppends(run, store, goroutines, size)})
		if !way.async && size == 1 && goroutines == 1 {
			if err := describe(ctx, run, store); err != nil {
				return err
			}
		}
	}
	return run.Case(ctx, c)
}

// tableAppends lets each goroutine append to a stream of its own.
func tableAppends(run *measure.Run, store *table.Store, goroutines, size int) round {
	last := make([]int64, goroutines)
	write := tableEvents(size)
	return func(ctx context.Context) (measure.Sample, error) {
		return during(run.Scale.Round, goroutines, func(g int) (err error) {
			last[g], err = store.Append(ctx, tableAccount(g), last[g], write...)
			return err
		})
	}
}

func tableEvents(n int) []table.Event {
	all := make([]table.Event, n)
	for i := range all {
		all[i] = booked
	}
	return all
}

// tableAccount is the name of account(i) in a table.
func tableAccount(i int) string { return fmt.Sprint("account-", i) }

// bothFilled are a store and a table that hold the same events.
type bothFilled struct {
	store *eventstore.Store
	table *table.Store
	of    []lengthOf
}

// lengthOf are streams of the same length.
type lengthOf struct{ events, first, streams int }

func (l lengthOf) any() int { return l.first + rand.IntN(l.streams) }

func (s Sizes) fillBoth(ctx context.Context, run *measure.Run) (*bothFilled, error) {
	server, err := postgres(ctx, run)
	if err != nil {
		return nil, err
	}
	on, err := embedded(ctx, run)
	if err != nil {
		return nil, err
	}
	both := &bothFilled{of: []lengthOf{{10, 0, s.Postgres / 20}, {100, s.Postgres / 20, s.Postgres / 200}}}
	if both.store, err = open(ctx, run, on, "bank"); err != nil {
		return nil, err
	}
	if both.table, err = openTable(ctx, server, fillers, true); err != nil { // asynchronous, to be filled in less time
		return nil, err
	}
	run.Cleanup(func() error { return both.table.Close(context.WithoutCancel(ctx)) })
	run.Step("writing %s events", thousands(s.Postgres))
	if err := both.fill(ctx); err != nil {
		return nil, err
	}
	return both, errors.Join(both.table.Vacuum(ctx), describe(ctx, run, both.table))
}

// fill writes a hundred rounds: each stream of 100 gets an event in every one, each of 10 in every tenth.
func (b *bothFilled) fill(ctx context.Context) error {
	last := b.of[len(b.of)-1]
	heads := make([]eventstore.Head, last.first+last.streams)
	for n := range last.events {
		for _, length := range b.of {
			every := last.events / length.events
			if n%every != 0 {
				continue
			}
			err := each(length.streams, func(i int) error {
				i += length.first
				commit, err := b.store.Append(ctx, account(i), heads[i], booked)
				if err != nil {
					return err
				}
				heads[i] = commit.Head()
				_, err = b.table.Append(ctx, tableAccount(i), int64(n/every), booked)
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s Sizes) postgresLoad(ctx context.Context, run *measure.Run) error {
	both, err := s.fillBoth(ctx, run)
	if err != nil {
		return err
	}
	for _, length := range both.of {
		err := run.Case(ctx, measure.Case{
			Name: fmt.Sprintf("%s events in the store, %d of a stream", thousands(s.Postgres), length.events),
			Unit: "ms",
			Ways: []measure.Way{
				{Name: ours, Round: both.loading(run, length)},
				{Name: rows, Round: both.selecting(run, length)},
			},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *bothFilled) loading(run *measure.Run, length lengthOf) round {
	return func(ctx context.Context) (measure.Sample, error) {
		return timing(run.Scale.Round, func() error {
			history, err := b.store.Load(ctx, account(length.any()))
			if err == nil && len(history.Commits) != length.events {
				err = fmt.Errorf("loaded %d events of %d", len(history.Commits), length.events)
			}
			return err
		})
	}
}

func (b *bothFilled) selecting(run *measure.Run, length lengthOf) round {
	return func(ctx context.Context) (measure.Sample, error) {
		return timing(run.Scale.Round, func() error {
			history, _, err := b.table.Load(ctx, tableAccount(length.any()))
			if err == nil && len(history) != length.events {
				err = fmt.Errorf("loaded %d events of %d", len(history), length.events)
			}
			return err
		})
	}
}

func (s Sizes) postgresReplay(ctx context.Context, run *measure.Run) error {
	both, err := s.fillBoth(ctx, run)
	if err != nil {
		return err
	}
	return run.Case(ctx, measure.Case{
		Name: thousands(s.Postgres) + " events, each of a commit of its own",
		Unit: "events/s",
		Ways: []measure.Way{
			{Name: ours, Round: func(ctx context.Context) (measure.Sample, error) { return decodeAll(ctx, both.store, s.Postgres) }},
			{Name: rows, Round: func(ctx context.Context) (measure.Sample, error) {
				n := 0
				err := both.table.All(ctx, func(table.Recorded) error { n++; return nil })
				return measure.Sample{Count: n}, err
			}},
		},
	})
}
