package eventstore_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/blockfile"
	"github.com/runnel-go/runnel/projection"
)

// balance is the state of an account, and the document of a view.
type balance struct{ Amount int64 }

func (b balance) Evolve(e eventstore.Event) balance {
	if e, ok := e.(deposited); ok {
		b.Amount += e.Amount
	}
	return b
}

// pay is a command of any account.
type pay struct{ amount int64 }

func (p pay) Decide(balance) ([]eventstore.Event, error) {
	return []eventstore.Event{deposited{p.amount}}, nil
}

// The accounts of the transactions that are cut, and what the transaction writes to each: nothing in sum, so that half
// of it is seen wherever amounts are added up.
var (
	partners  = []string{"a", "b", "c", "d"}
	transfers = []int64{-100, 70, 20, 10}
)

const before = 1 // the deposit that each partner begins with

// transfer appends the transaction to the partners, or to as many others.
func transfer(t *testing.T, store *eventstore.Store, ids []string) []*eventstore.Commit {
	t.Helper()
	writes := make([]eventstore.Write, len(ids))
	for i, id := range ids {
		head, err := store.Head(t.Context(), account(id))
		require.NoError(t, err)
		writes[i] = eventstore.Write{Stream: account(id), Expected: head, Events: []eventstore.Event{deposited{transfers[i]}}}
	}
	commits, err := store.AppendAll(t.Context(), writes...)
	require.NoError(t, err)
	return commits
}

// openOn opens the store of a server.
func openOn(t *testing.T, server *eventstoretest.Server, logger *slog.Logger) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, &eventstore.Config{Logger: logger})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// cutTransaction returns a server that stopped when the first commits of a transaction had reached the disk. Before it
// each partner, and an account more, has one deposit.
func cutTransaction(t *testing.T, kept int) *eventstoretest.Server {
	t.Helper()
	server := eventstoretest.NewServer(t)
	store := openOn(t, server, nil)
	for _, id := range append([]string{"other"}, partners...) {
		_, err := store.Append(t.Context(), account(id), eventstore.Head{}, deposited{before})
		require.NoError(t, err)
	}
	powerCut(t, server, transfer(t, store, partners)[kept-1].Position)
	return server
}

// powerCut stops the server, takes off the end of the store, and starts the server again.
func powerCut(t *testing.T, server *eventstoretest.Server, behind eventstore.Position) {
	t.Helper()
	server.Stop()
	require.NoError(t, blockfile.CutBehind(server.StoreDir(), "bank", uint64(behind)))
	server.Restart()
}

// appends are what comes after the cut.
var appends = map[string]func(t *testing.T, store *eventstore.Store) (want map[string][]int64){
	"nothing after it": func(*testing.T, *eventstore.Store) map[string][]int64 { return nil },
	"another stream": func(t *testing.T, store *eventstore.Store) map[string][]int64 {
		onto(t, store, "new", 5)
		return map[string][]int64{"new": {5}}
	},
	"as many of others as were lost": func(t *testing.T, store *eventstore.Store) map[string][]int64 {
		for range partners {
			onto(t, store, "other", 5) // one of them stands where the transaction's end should
		}
		return map[string][]int64{"other": {5, 5, 5, 5}}
	},
	"its streams": func(t *testing.T, store *eventstore.Store) map[string][]int64 {
		want := make(map[string][]int64)
		for _, id := range partners {
			onto(t, store, id, 5)
			onto(t, store, id, 6)
			want[id] = []int64{5, 6}
		}
		return want
	},
	"a transaction of others": func(t *testing.T, store *eventstore.Store) map[string][]int64 {
		others := []string{"k", "l", "m", "n"} // one of its commits stands where the end of the first should
		transfer(t, store, others)
		want := make(map[string][]int64)
		for i, id := range others {
			want[id] = []int64{transfers[i]}
		}
		return want
	},
	"a transaction of its streams": func(t *testing.T, store *eventstore.Store) map[string][]int64 {
		transfer(t, store, partners)
		want := make(map[string][]int64)
		for i, id := range partners {
			want[id] = []int64{transfers[i]}
		}
		return want
	},
}

// onto appends a deposit to what the stream is loaded as.
func onto(t *testing.T, store *eventstore.Store, id string, amount int64) *eventstore.Commit {
	t.Helper()
	history, err := store.Load(t.Context(), account(id))
	require.NoError(t, err)
	c, err := store.Append(t.Context(), account(id), history.Head, deposited{amount})
	require.NoError(t, err)
	require.Equal(t, history.Head.Version+1, c.First)
	return c
}

func TestATransactionThatIsCutIsNeverSeen(t *testing.T) {
	for _, kept := range []int{1, 2, 3} {
		for name, later := range appends {
			t.Run(fmt.Sprintf("%d of %d, then %s", kept, len(partners), name), func(t *testing.T) {
				server := cutTransaction(t, kept)
				var said strings.Builder
				store := openOn(t, server, slog.New(slog.NewTextHandler(&said, nil)))
				want := later(t, store)
				for _, id := range append([]string{"other"}, partners...) {
					want = put(want, id, append([]int64{before}, want[id]...))
				}
				for id, amounts := range want {
					requireStream(t, store, id, amounts)
				}
				requireLog(t, store, want)
				requireLive(t, store, want)
				requireAggregates(t, store, want)
				requireView(t, store, want)
				require.Positive(t, store.Counters().Torn)
				require.Contains(t, said.String(), "level=WARN msg=\"commit of a torn transaction skipped\" stream=account/a version=2 position=6")

				for i, c := range transfer(t, store, partners) {
					require.Equal(t, eventstore.Version(len(want[partners[i]])+1), c.First, "streams go on from the version before")
				}
			})
		}
	}
}

func put(amounts map[string][]int64, id string, list []int64) map[string][]int64 {
	if amounts == nil {
		amounts = make(map[string][]int64)
	}
	amounts[id] = list
	return amounts
}

func requireStream(t *testing.T, store *eventstore.Store, id string, want []int64) {
	t.Helper()
	for _, option := range []eventstore.StreamOption{eventstore.From(1), eventstore.Leader()} {
		var got []int64
		for _, e := range decode(t, store.Stream(t.Context(), account(id), option)) {
			got = append(got, e.(deposited).Amount)
		}
		require.Equal(t, want, got, id)
	}
	head, err := store.Head(t.Context(), account(id))
	require.NoError(t, err)
	require.Equal(t, eventstore.Version(len(want)), head.Version, id)
}

func requireLog(t *testing.T, store *eventstore.Store, want map[string][]int64) {
	t.Helper()
	all := make(map[string][]int64)
	for recorded, err := range store.All(t.Context()) {
		require.NoError(t, err)
		event, err := recorded.Decode()
		require.NoError(t, err)
		all[recorded.Stream.ID] = append(all[recorded.Stream.ID], event[0].(deposited).Amount)
	}
	log := make(map[string][]int64)
	for c, err := range store.Log(t.Context()) {
		require.NoError(t, err)
		for recorded := range c.Events() {
			event, err := recorded.Decode()
			require.NoError(t, err)
			log[c.Stream.ID] = append(log[c.Stream.ID], event[0].(deposited).Amount)
		}
	}
	require.Equal(t, want, all)
	require.Equal(t, want, log)
}

// requireLive reads live, up to a commit that is appended meanwhile.
func requireLive(t *testing.T, store *eventstore.Store, want map[string][]int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := make(map[string][]int64)
	end := eventstore.Position(0)
	for c, err := range store.Log(ctx, eventstore.Live()) {
		require.NoError(t, err)
		for recorded := range c.Events() {
			event, err := recorded.Decode()
			require.NoError(t, err)
			got[c.Stream.ID] = append(got[c.Stream.ID], event[0].(deposited).Amount)
		}
		if end == 0 {
			end = onto(t, store, "live", 0).Position
		}
		if c.Position == end {
			break
		}
	}
	want["live"] = []int64{0}
	require.Equal(t, want, got)
}

func requireAggregates(t *testing.T, store *eventstore.Store, want map[string][]int64) {
	t.Helper()
	accounts, err := aggregate.New(store, "account", balance{}, nil)
	require.NoError(t, err)
	for id, amounts := range want {
		got, err := accounts.Load(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, sum(amounts), got.State.Amount, id)
		require.Equal(t, eventstore.Version(len(amounts)), got.Version, id)
	}
}

func sum(amounts []int64) (total int64) {
	for _, a := range amounts {
		total += a
	}
	return total
}

func requireView(t *testing.T, store *eventstore.Store, want map[string][]int64) {
	t.Helper()
	view, err := projection.Open(t.Context(), store, "balances", 1, nil,
		projection.On(func(b balance, e deposited) balance { return b.Evolve(e) }))
	require.NoError(t, err)
	defer view.Close()
	ctx, cancel := context.WithCancel(t.Context())
	var runner sync.WaitGroup
	runner.Go(func() {
		if err := view.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer runner.Wait()
	defer cancel()
	last := onto(t, store, "viewed", 0)
	require.NoError(t, view.WaitFor(t.Context(), last.Position))
	want["viewed"] = []int64{0}
	got := make(map[string]int64)
	for e, err := range view.List(t.Context()) {
		require.NoError(t, err)
		got[e.Key] = e.Value.Amount
	}
	sums := make(map[string]int64)
	for id, amounts := range want {
		sums[id] = sum(amounts)
	}
	require.Equal(t, sums, got)
}

// TestAnAppendUnderWayIsNotStoredOnTopOfACutTransaction is about writers that outlive the power cut of their server.
// They have the head of a transaction that was acknowledged, and may find its remainder: the subject's last message is
// the one that they expect. A commit on top would vouch for the remainder.
func TestAnAppendUnderWayIsNotStoredOnTopOfACutTransaction(t *testing.T) {
	for i, id := range partners {
		server := eventstoretest.NewServer(t)
		begun := make(chan struct{})
		begin := sync.OnceFunc(func() { close(begun) })
		armed := false
		store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, &eventstore.Config{Now: func() time.Time {
			if armed {
				begin()
			}
			return time.Now()
		}})
		require.NoError(t, err)
		defer store.Close()
		acknowledged := transfer(t, store, partners)
		server.Stop()
		require.NoError(t, blockfile.CutBehind(server.StoreDir(), "bank", uint64(acknowledged[1].Position)))
		armed = true
		ended := make(chan error, 1)
		go func() {
			_, err := store.Append(t.Context(), account(id), acknowledged[i].Head(), deposited{5})
			ended <- err
		}()
		<-begun
		server.Restart()
		require.ErrorIs(t, <-ended, eventstore.ErrLogRewound, id)
		// Whether the mark was raised before the cut depends on how fast all this went.
		fresh, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, &eventstore.Config{Salvage: true})
		require.NoError(t, err)
		defer fresh.Close()
		requireStream(t, fresh, id, nil)
	}
}

func TestACachedAggregateDoesNotDecideOnACutTransaction(t *testing.T) {
	server := eventstoretest.NewServer(t)
	store := openOn(t, server, nil)
	accounts, err := aggregate.New(store, "account", balance{}, nil)
	require.NoError(t, err)
	operations := make([]aggregate.Operation, len(partners))
	for i, id := range partners {
		operations[i] = accounts.On(id, pay{transfers[i]})
	}
	require.NoError(t, aggregate.Transact(t.Context(), store, nil, operations...))
	powerCut(t, server, 2)
	for _, id := range partners {
		_, err := accounts.Load(t.Context(), id)
		require.ErrorIs(t, err, eventstore.ErrLogRewound)
		_, err = accounts.Do(t.Context(), id, pay{5})
		require.ErrorIs(t, err, eventstore.ErrLogRewound)
	}
}
