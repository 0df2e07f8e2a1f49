package aggregate_test

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/snapshot"
)

const (
	eventuallyWait = 10 * time.Second
	eventuallyTick = time.Millisecond
)

// tally counts deposits by amount, in a map that Evolve changes in place.
type tally struct{ Counts map[int64]int }

func (s tally) Clone() tally { s.Counts = maps.Clone(s.Counts); return s }

func (s tally) Evolve(e event) tally {
	if e, ok := e.(deposited); ok {
		s.Counts[e.Amount]++
	}
	return s
}

func newTally() tally { return tally{Counts: map[int64]int{}} }

// tallied writes into the state it decides on, as it should not.
type tallied struct{ Amount int64 }

func (c tallied) Decide(s tally) ([]event, error) {
	s.Counts[c.Amount] += 1000
	s.Counts[-1] = 1
	if c.Amount < 0 {
		return nil, errFunds
	}
	return []event{deposited(c)}, nil
}

func tallies(t *testing.T, store *eventstore.Store, snapshots *snapshot.Cache) *aggregate.Repository[tally, event] {
	t.Helper()
	accounts, err := aggregate.New(store, "account", newTally(), &aggregate.Config{Snapshots: snapshots})
	require.NoError(t, err)
	return accounts
}

// counted returns the state that a repository with an empty cache reads.
func counted(t *testing.T, store *eventstore.Store, id string) map[int64]int {
	t.Helper()
	state, err := tallies(t, store, nil).Load(t.Context(), id)
	require.NoError(t, err)
	return state.State.Counts
}

func TestAStateWithAMapIsItsRepositorysOwn(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	snapshots, err := snapshot.Open(t.Context(), store, "account", &snapshot.Config{Every: 1})
	require.NoError(t, err)
	defer snapshots.Close()
	accounts, other := tallies(t, store, snapshots), tallies(t, store, nil)

	result, err := accounts.Do(t.Context(), "1", tallied{1})
	require.NoError(t, err)
	require.Equal(t, map[int64]int{1: 1}, result.State.Counts, "what Decide wrote is gone")
	result.State.Counts[1] = 77 // by the caller
	_, err = accounts.Do(t.Context(), "1", tallied{-5})
	require.ErrorIs(t, err, errFunds)

	// Another writer is faster, so the first decision of this command is discarded.
	_, err = other.Do(t.Context(), "1", tallied{2})
	require.NoError(t, err)
	result, err = accounts.Do(t.Context(), "1", tallied{3})
	require.NoError(t, err)
	require.Equal(t, map[int64]int{1: 1, 2: 1, 3: 1}, result.State.Counts)

	for name, load := range map[string]func() (aggregate.Result[tally, event], error){
		"cached":    func() (aggregate.Result[tally, event], error) { return accounts.Load(t.Context(), "1") },
		"refreshed": func() (aggregate.Result[tally, event], error) { return other.Load(t.Context(), "1") },
	} {
		for range 2 {
			state, err := load()
			require.NoError(t, err, name)
			require.Equal(t, counted(t, store, "1"), state.State.Counts, name)
			state.State.Counts[1] = 99
		}
	}
	fresh, err := tallies(t, store, nil).Load(t.Context(), "none")
	require.NoError(t, err)
	require.Empty(t, fresh.State.Counts, "nor is the initial state changed")
}

// The race detector checks the memory that these goroutines share.
func TestAStateWithAMapIsSharedByNoTwoGoroutines(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	snapshots, err := snapshot.Open(t.Context(), store, "account", &snapshot.Config{Every: 1})
	require.NoError(t, err)
	one, two := tallies(t, store, snapshots), tallies(t, store, snapshots)
	var all sync.WaitGroup
	for w := range 4 {
		accounts := []*aggregate.Repository[tally, event]{one, two}[w%2]
		all.Go(func() {
			for i := range 15 {
				id := fmt.Sprint(i % 2)
				result, err := accounts.Do(t.Context(), id, tallied{int64(w - 1)})
				if err != nil && !errors.Is(err, errFunds) {
					t.Error(err)
					return
				}
				if err == nil {
					result.State.Counts[int64(i)] = -i
				}
			}
		})
		all.Go(func() {
			for i := range 30 {
				state, err := accounts.Load(t.Context(), fmt.Sprint(i%2))
				if err != nil {
					t.Error(err)
					return
				}
				state.State.Counts[int64(i)] = -i
			}
		})
	}
	all.Wait()
	require.NoError(t, snapshots.Close())
	require.Positive(t, one.Counters().Snapshots.Saved)

	snapshots, err = snapshot.Open(t.Context(), store, "account", &snapshot.Config{Every: 1})
	require.NoError(t, err)
	defer snapshots.Close()
	restored := tallies(t, store, snapshots)
	for _, id := range []string{"0", "1"} {
		for _, accounts := range []*aggregate.Repository[tally, event]{one, two, restored} {
			state, err := accounts.Load(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, counted(t, store, id), state.State.Counts)
		}
	}
	require.Equal(t, int64(2), restored.Counters().Restored)
}
