package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/runnel-go/runnel/internal/inside"
)

// Inside returns what a store does for this module alone. Programs cannot call Inside: see package internal/inside.
func Inside(_ inside.Pass, s *Store) inside.Store[Event] { return insider{s} }

// insider implements inside.Store.
type insider struct{ store *Store }

func (i insider) Logger() *slog.Logger { return i.store.conn.cfg.Logger }

func (i insider) Done() <-chan struct{} { return i.store.conn.verdict.done }

func (i insider) Err() error { return i.store.conn.verdict.get() }

func (i insider) Look() { i.store.seen.used() }

func (i insider) Clocks() (behind, ahead time.Time) {
	now := time.Now()
	skew := i.store.conn.clock.skew()
	if skew != 0 {
		i.store.seen.used()
	}
	return now.Add(-max(skew, 0)), now.Add(-min(skew, 0))
}

func (i insider) Reaches(ctx context.Context, position uint64) (bool, error) {
	if position <= uint64(i.store.seen.highest()) {
		return true, nil
	}
	end, err := i.store.log.end(ctx)
	return position <= uint64(end), err
}

func (i insider) Lacks(ctx context.Context, position uint64) bool {
	end, err := i.store.log.end(ctx)
	if err == nil && end < Position(position) {
		err = i.store.log.trust.reaches(ctx, Position(position))
	}
	return errors.Is(err, ErrPositionAhead) || errors.Is(err, ErrLogRewound)
}

func (i insider) Replicas(ctx context.Context, wanted int) (int, error) {
	if wanted != 0 {
		return wanted, nil
	}
	c := i.store.conn
	return patiently(ctx, c, "replicas of "+c.store, func() (int, error) { return c.replicasNow(ctx) })
}

func (i insider) Prototypes() []Event {
	known := i.store.decoder.registry.byName
	prototypes := make([]Event, 0, len(known))
	for _, name := range slices.Sorted(maps.Keys(known)) {
		prototypes = append(prototypes, reflect.Zero(known[name].goType).Interface().(Event))
	}
	return prototypes
}

func (i insider) TypeOf(event Event) (string, error) {
	t, err := i.store.decoder.registry.typeOf(event)
	if err != nil {
		return "", err
	}
	return t.name, nil
}

func (i insider) StoredAs(typeName string) []string {
	return i.store.decoder.registry.sources[typeName]
}

func (i insider) Upcast(event Event) ([]Event, error) {
	t, ok := i.store.decoder.registry.byType[reflect.TypeOf(event)]
	if !ok {
		return nil, fmt.Errorf("eventstore: upcast %T: %w", event, ErrUnknownType)
	}
	current, err := i.store.decoder.registry.upcast(t, event)
	if err != nil {
		return nil, fmt.Errorf("eventstore: upcast %T: %w: %w", event, ErrUndecodable, err)
	}
	return current, nil
}
