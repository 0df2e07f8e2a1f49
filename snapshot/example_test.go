package snapshot_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
	"github.com/runnel-go/runnel/snapshot"
)

type Event interface {
	eventstore.Event
	meter()
}

type Read struct{ Kilowatts int64 }

func (Read) EventType() string { return "meter.read" }
func (Read) meter()            {}

type Meter struct{ Total, Readings int64 }

func (m Meter) Evolve(event Event) Meter {
	if e, ok := event.(Read); ok {
		m.Total += e.Kilowatts
		m.Readings++
	}
	return m
}

type Report struct{ Kilowatts int64 }

func (c Report) Decide(Meter) ([]Event, error) { return []Event{Read(c)}, nil }

// A meter is read for years. A program that starts reads its snapshot, and only the newer commits from the log.
func Example() {
	ctx := context.Background()
	rt, stop := serve(ctx)
	defer stop()
	store, err := eventstore.Open(ctx, rt.Commands(), "grid", []eventstore.Event{Read{}}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		snapshots, err := snapshot.Open(ctx, store, "meter", &snapshot.Config{FoldVersion: 1, Every: 100})
		if err != nil {
			log.Fatal(err)
		}
		meters, err := aggregate.New(store, "meter", Meter{}, &aggregate.Config{Snapshots: snapshots})
		if err != nil {
			log.Fatal(err)
		}
		for range 150 {
			if _, err := meters.Do(ctx, "kitchen", Report{2}); err != nil {
				log.Fatal(err)
			}
		}
		meter, err := meters.Load(ctx, "kitchen")
		if err != nil {
			log.Fatal(err)
		}
		if err := snapshots.Close(); err != nil { // waits for what is being saved
			log.Fatal(err)
		}
		counters := meters.Counters().Snapshots
		fmt.Printf("%+v, restored %d, saved %d\n", meter.State, counters.Restored, counters.Saved)
	}
	if err := store.Close(); err != nil {
		log.Fatal(err)
	}
	// Output:
	// {Total:300 Readings:150}, restored 0, saved 1
	// {Total:600 Readings:300}, restored 1, saved 2
}

// serve starts an embedded server on a folder that stop removes.
func serve(ctx context.Context) (rt *natsrun.Runtime, stop func()) {
	dir, err := os.MkdirTemp("", "snapshot")
	if err != nil {
		log.Fatal(err)
	}
	rt, err = natsrun.Open(ctx, &natsrun.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	return rt, func() {
		if err := errors.Join(rt.Close(ctx), os.RemoveAll(dir)); err != nil {
			log.Fatal(err)
		}
	}
}
