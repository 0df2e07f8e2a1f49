package boundaries_test

import (
	"context"
	"errors"
	"log"
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openStore starts an embedded server on a folder that stop removes.
func openStore(ctx context.Context, events ...eventstore.Event) (store *eventstore.Store, stop func()) {
	dir, err := os.MkdirTemp("", "boundaries")
	must(err)
	rt, err := natsrun.Open(ctx, &natsrun.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	must(err)
	store, err = eventstore.Open(ctx, rt.Commands(), "shop", events, nil)
	must(err)
	return store, func() { must(errors.Join(store.Close(), rt.Close(ctx), os.RemoveAll(dir))) }
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// repository returns the repository of a category, whose aggregates begin with the zero state.
func repository[S aggregate.State[S, eventstore.Event]](store *eventstore.Store, category string) *aggregate.Repository[S, eventstore.Event] {
	var initial S
	r, err := aggregate.New(store, category, initial, nil)
	must(err)
	return r
}

func one(event eventstore.Event) ([]eventstore.Event, error) { return []eventstore.Event{event}, nil }
