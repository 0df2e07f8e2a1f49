package aggregate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// dutyEvent is an event of a doctor. At most one doctor of each group is off duty at any time.
type dutyEvent interface {
	eventstore.Event
	duty()
}

type wentOff struct{}

func (wentOff) EventType() string { return "doctor.went-off" }
func (wentOff) duty()             {}

type cameOn struct{}

func (cameOn) EventType() string { return "doctor.came-on" }
func (cameOn) duty()             {}

type doctor struct{ Off bool }

func (doctor) Evolve(e dutyEvent) doctor { return doctor{Off: e == dutyEvent(wentOff{})} }

var errOff = errors.New("off duty")

type goOff struct{}

func (goOff) Decide(d doctor) ([]dutyEvent, error) {
	if d.Off {
		return nil, errOff
	}
	return []dutyEvent{wentOff{}}, nil
}

type comeOn struct{}

func (comeOn) Decide(d doctor) ([]dutyEvent, error) {
	if !d.Off {
		return nil, nil
	}
	return []dutyEvent{cameOn{}}, nil
}

// isOn is the rule for the others of a group. It decides nothing.
type isOn struct{}

func (isOn) Decide(d doctor) ([]dutyEvent, error) {
	if d.Off {
		return nil, errOff
	}
	return nil, nil
}

// groups are the ids of doctors: some of two, and some of three.
var groups = [][]string{{"a1", "a2"}, {"b1", "b2"}, {"c1", "c2", "c3"}, {"d1", "d2", "d3"}}

type doctors = aggregate.Repository[doctor, dutyEvent]

// leave lets one of a group go off duty while all others are on.
type leave func(ctx context.Context, store *eventstore.Store, all *doctors, group []string, me int) error

func guarded(ctx context.Context, store *eventstore.Store, all *doctors, group []string, me int) error {
	ops := make([]aggregate.Operation, 0, len(group))
	for i, id := range group {
		if i == me {
			ops = append(ops, all.On(id, goOff{}))
		} else {
			ops = append(ops, all.On(id, isOn{}))
		}
	}
	return aggregate.Transact(ctx, store, nil, ops...)
}

// unguarded looks at the others first, and decides on that.
func unguarded(ctx context.Context, _ *eventstore.Store, all *doctors, group []string, me int) error {
	for i, id := range group {
		if i == me {
			continue
		}
		other, err := all.Load(ctx, id)
		if err != nil {
			return err
		}
		if other.State.Off {
			return errOff
		}
	}
	_, err := all.Do(ctx, group[me], goOff{})
	return err
}

// contend lets 16 writers send doctors off and on until that many have gone off. Each writer has a cache of its own, as
// a program has. Meanwhile contend calls restart four times.
func contend(t *testing.T, store *eventstore.Store, leave leave, total int, restart func(turn int)) (rejected int64) {
	t.Helper()
	var left, no atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	turns := make(chan int, 4)
	var writers, operator sync.WaitGroup
	operator.Go(func() {
		for turn := range turns {
			restart(turn)
		}
	})
	for w := range 16 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 16))
			all, err := aggregate.New(store, "doctor", doctor{}, nil)
			for err == nil && left.Load() < int64(total) {
				group := groups[random.IntN(len(groups))]
				switch err = leave(ctx, store, all, group, random.IntN(len(group))); {
				case err == nil:
					if n := left.Add(1); n <= int64(total) && n*5%int64(total) < 5 && n*5/int64(total) < 5 {
						turns <- int(n * 5 / int64(total))
					}
				case errors.Is(err, errOff):
					no.Add(1)
					_, err = all.Do(ctx, group[random.IntN(len(group))], comeOn{})
				}
				if errors.Is(err, eventstore.ErrConflict) || errors.Is(err, eventstore.ErrUnknownOutcome) {
					err = nil
				}
			}
			if err != nil && ctx.Err() == nil {
				t.Errorf("writer %d: %v", w, err)
				stop()
			}
		})
	}
	writers.Wait()
	close(turns)
	operator.Wait()
	return no.Load()
}

// skews reads the log, and counts the events after which more than one of a group is off duty.
func skews(t *testing.T, store *eventstore.Store) (found, left int) {
	t.Helper()
	off := make(map[string]map[string]bool)
	for recorded, err := range store.All(t.Context()) {
		require.NoError(t, err)
		id := recorded.Stream.ID
		group := id[:1]
		if off[group] == nil {
			off[group] = make(map[string]bool)
		}
		if recorded.Type() == (cameOn{}).EventType() {
			delete(off[group], id)
			continue
		}
		off[group][id] = true
		left++
		if len(off[group]) > 1 {
			if found++; found == 1 {
				t.Logf("the first skew is at position %d: %v are off", recorded.Position, slices.Sorted(maps.Keys(off[group])))
			}
			clear(off[group]) // count each once
		}
	}
	return found, left
}

func openDuty(t *testing.T, js jetstream.JetStream, replicas int) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "clinic", []eventstore.Event{wentOff{}, cameOn{}}, &eventstore.Config{Replicas: replicas})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// transactions is the number of transactions in each case of the test.
func transactions() int {
	if os.Getenv("RUNNEL_TEST_LONG") != "" {
		return 100_000
	}
	return 250
}

func TestTransactionsAreSerializable(t *testing.T) {
	t.Parallel()
	total := transactions()
	for _, replicas := range []int{1, 3} {
		t.Run(fmt.Sprint("replicas=", replicas), func(t *testing.T) {
			t.Parallel()
			var store *eventstore.Store
			var nodes []*eventstoretest.Server
			if replicas == 1 {
				server := eventstoretest.NewServer(t)
				nodes, store = []*eventstoretest.Server{server}, openDuty(t, server.JetStream(t), 0)
			} else {
				cluster := eventstoretest.NewCluster(t, replicas)
				nodes, store = cluster.Nodes(), openDuty(t, cluster.JetStream(t), replicas)
			}
			rejected := contend(t, store, guarded, total, func(turn int) { nodes[turn%len(nodes)].Restart() })
			found, left := skews(t, store)
			require.Zero(t, found)
			require.GreaterOrEqual(t, left, total)
			report, err := store.Verify(t.Context(), nil)
			require.NoError(t, err, "each guard in the log holds")
			require.GreaterOrEqual(t, report.Transactions, int64(total))
			t.Logf("%d transactions stored, %d rejected, %d skews", report.Transactions, rejected, found)
		})
	}
}

// The search for skews must be able to find one.
func TestWithoutGuardsThereIsSkew(t *testing.T) {
	store := openDuty(t, eventstoretest.JetStream(t), 0)
	contend(t, store, unguarded, 500, func(int) {})
	found, left := skews(t, store)
	require.Positive(t, found)
	t.Logf("%d skews in %d", found, left)
}
