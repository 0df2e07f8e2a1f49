package projection_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

type booked struct {
	Email string
	N     int
}

func (booked) EventType() string { return "guest.booked" }

type renamed struct{ From, To string }

func (renamed) EventType() string { return "guest.renamed" }

type cancelled struct{ Email string }

func (cancelled) EventType() string { return "guest.cancelled" }

type guest struct {
	Email string
	N     int
	Log   map[string]int
}

// unluckyBooking is a number at which the fold panics after it has changed its document in place.
const unluckyBooking = 13

func guestRules() []projection.Rule[guest] {
	return []projection.Rule[guest]{
		projection.On(func(g guest, e booked) guest {
			if g.Log == nil {
				g.Log = make(map[string]int)
			}
			g.Log[e.Email]++
			if e.N == unluckyBooking {
				panic("unlucky")
			}
			g.Email, g.N = e.Email, g.N+e.N
			return g
		}).By(func(e booked) string { return e.Email }),
		projection.Move[guest](func(e renamed) (from, to string) { return e.From, e.To }),
		projection.On(func(g guest, e renamed) guest { g.Email = e.To; return g }).By(func(e renamed) string { return e.To }),
		projection.Delete(func(g guest, e renamed) bool { return g.N == 0 }).By(func(e renamed) string { return e.To }),
		projection.On(func(g guest, e cancelled) guest { g.N--; return g }).By(func(e cancelled) string { return e.Email }),
		projection.Delete(func(g guest, e cancelled) bool { return g.N <= 0 }).By(func(e cancelled) string { return e.Email }),
	}
}

func guests(t *testing.T, store *eventstore.Store, cfg projection.Config) *projection.View[guest] {
	t.Helper()
	view, err := projection.Open(t.Context(), store, "guests", 1, &cfg, guestRules()...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	return view
}

func guestStore(t *testing.T, options ...eventstoretest.Option) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t, options...), "hotel",
		[]eventstore.Event{booked{}, renamed{}, cancelled{}}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func enter(t *testing.T, store *eventstore.Store, events ...eventstore.Event) eventstore.Position {
	t.Helper()
	stream := eventstore.StreamID{Category: "guests", ID: "all"}
	head, err := store.Head(t.Context(), stream)
	require.NoError(t, err)
	c, err := store.Append(t.Context(), stream, head, events...)
	require.NoError(t, err)
	return c.Position
}

func listed[V any](t *testing.T, view *projection.View[V]) map[string]V {
	t.Helper()
	all := make(map[string]V)
	for entry, err := range view.List(t.Context()) {
		require.NoError(t, err)
		all[entry.Key] = entry.Value
	}
	return all
}

func parkedIn[V any](t *testing.T, view *projection.View[V]) map[string]projection.Parked {
	t.Helper()
	all := make(map[string]projection.Parked)
	for entry, err := range view.Parked(t.Context()) {
		require.NoError(t, err)
		all[entry.Key] = entry.Value
	}
	return all
}

// liveAndBuilt writes commits one after the other to a view that runs, and to one that is built behind them.
func liveAndBuilt(t *testing.T, test func(t *testing.T, write func(events ...eventstore.Event), view func() *projection.View[guest])) {
	for _, live := range []bool{true, false} {
		t.Run(fmt.Sprint("live ", live), func(t *testing.T) {
			store := guestStore(t)
			v := guests(t, store, projection.Config{Park: true})
			start := sync.OnceFunc(func() { run(t, v) })
			if live {
				start()
				require.NoError(t, v.WaitFor(soon(t), 0))
			}
			end := eventstore.Position(0)
			test(t,
				func(events ...eventstore.Event) { end = enter(t, store, events...) },
				func() *projection.View[guest] {
					start()
					require.NoError(t, v.WaitFor(soon(t), end))
					return v
				})
		})
	}
}

func TestADocumentMovesToAnotherKey(t *testing.T) {
	liveAndBuilt(t, func(t *testing.T, write func(...eventstore.Event), view func() *projection.View[guest]) {
		write(booked{"anna@old", 2}, booked{"ben", 1})
		write(renamed{"anna@old", "anna@new"}, booked{"anna@new", 3})
		write(renamed{"ben", ""}, renamed{"", "ben"}, renamed{"ben", "ben"})
		require.Equal(t, map[string]guest{
			"anna@new": {Email: "anna@new", N: 5, Log: map[string]int{"anna@old": 1, "anna@new": 1}},
			"ben":      {Email: "ben", N: 1, Log: map[string]int{"ben": 1}},
		}, listed(t, view()))
	})
}

// A chain, a circle and a move to a key that has a document, all in one commit.
func TestDocumentsMoveOneAfterTheOther(t *testing.T) {
	liveAndBuilt(t, func(t *testing.T, write func(...eventstore.Event), view func() *projection.View[guest]) {
		write(booked{"a", 1}, booked{"b", 2}, booked{"c", 3})
		write(renamed{"a", "x"}, renamed{"b", "a"}, renamed{"x", "b"}, renamed{"c", "b"}, renamed{"b", "d"})
		require.Equal(t, map[string]guest{
			"a": {Email: "a", N: 2, Log: map[string]int{"b": 1}},
			"d": {Email: "d", N: 3, Log: map[string]int{"c": 1}},
		}, listed(t, view()))
	})
}

// A move of nothing leaves what is under the other key. The rules for the same event that follow make a document all
// the same, and delete it again.
func TestNothingIsMovedIfThereIsNothing(t *testing.T) {
	liveAndBuilt(t, func(t *testing.T, write func(...eventstore.Event), view func() *projection.View[guest]) {
		write(booked{"b", 2})
		write(renamed{"a", "b"}, renamed{"x", "y"})
		require.Equal(t, map[string]guest{"b": {Email: "b", N: 2, Log: map[string]int{"b": 1}}}, listed(t, view()))
	})
}

func TestRulesForOneEventAreAppliedInTheirOrder(t *testing.T) {
	liveAndBuilt(t, func(t *testing.T, write func(...eventstore.Event), view func() *projection.View[guest]) {
		write(booked{"a", 2}, booked{"b", 2}, cancelled{"a"}, cancelled{"b"})
		write(cancelled{"a"}, booked{"c", 1})
		write(cancelled{"c"}, booked{"c", 4}, cancelled{"c"})
		require.Equal(t, map[string]guest{
			"b": {Email: "b", N: 1, Log: map[string]int{"b": 1}}, "c": {Email: "c", N: 3, Log: map[string]int{"c": 1}},
		}, listed(t, view()))
	})
}

func TestADeleteRuleMakesNothingOfNothing(t *testing.T) {
	for _, live := range []bool{true, false} {
		store := guestStore(t)
		view, err := projection.Open(t.Context(), store, "guests", 1, nil,
			projection.Delete(func(guest, cancelled) bool { return false }).By(func(e cancelled) string { return e.Email }))
		require.NoError(t, err)
		defer func() { require.NoError(t, view.Close()) }()
		if live {
			run(t, view)
			require.NoError(t, view.WaitFor(soon(t), 0))
		}
		end := enter(t, store, cancelled{"a"})
		if !live {
			run(t, view)
		}
		require.NoError(t, view.WaitFor(soon(t), end))
		require.Empty(t, listed(t, view))
		stream, err := store.JetStream().Stream(t.Context(), "KV_"+view.Bucket())
		require.NoError(t, err)
		_, err = stream.GetLastMsgForSubject(t.Context(), "$KV."+view.Bucket()+".a")
		require.Error(t, err, "not even that it was deleted is written")
	}
}

// The document of a parked key cannot move, so its other key waits as well, and both are replayed together.
func TestAKeyWaitsForTheParkedOneThatItsDocumentComesFrom(t *testing.T) {
	liveAndBuilt(t, func(t *testing.T, write func(...eventstore.Event), view func() *projection.View[guest]) {
		write(booked{"a", 1}, booked{"b", 2}, booked{"c", 3})
		write(booked{"a", unluckyBooking})
		write(renamed{"a", "b"}, booked{"b", 1}, renamed{"b", "d"}, renamed{"c", "a"})
		v := view()
		parked := parkedIn(t, v)
		require.Len(t, parked, 3)
		require.Empty(t, parked["a"].Source)
		require.Equal(t, int64(2), parked["a"].Waiting, "the moves from it and to it")
		require.Equal(t, "a", parked["b"].Source)
		require.Contains(t, parked["b"].Error, `from a key that is parked: "a"`)
		require.Equal(t, "b", parked["d"].Source)
		require.Equal(t, map[string]guest{
			"a": {Email: "a", N: 1, Log: map[string]int{"a": 1}},
			"b": {Email: "b", N: 2, Log: map[string]int{"b": 1}},
		}, listed(t, v), "as they were before, and what has moved away is gone")

		require.NoError(t, v.Discard(t.Context(), "a"))
		eventually(t, func() bool { return len(parkedIn(t, v)) == 0 }, "all that wait for it go along")
		require.Equal(t, map[string]guest{
			"a": {Email: "a", N: 3, Log: map[string]int{"c": 1}},
			"d": {Email: "d", N: 2, Log: map[string]int{"a": 1, "b": 1}},
		}, listed(t, v))
	})
}

// A document that a fold changed in place before it panicked is as it was, with a codec of the user as well.
func TestAFoldThatPanicsChangesNothingInPlace(t *testing.T) {
	for _, codec := range []kv.Codec{nil, kv.Msgpack{}, userCodec{}} {
		store := guestStore(t)
		view := guests(t, store, projection.Config{Park: true, Codec: codec})
		run(t, view)
		enter(t, store, booked{"a", 1}, booked{"a", 1})
		end := enter(t, store, booked{"a", unluckyBooking}, booked{"a", 1})
		require.NoError(t, view.WaitFor(soon(t), end))
		got, err := view.Get(soon(t), "a")
		require.NoError(t, err)
		require.Equal(t, guest{Email: "a", N: 2, Log: map[string]int{"a": 2}}, got)
	}
}

// userCodec is a codec that this module does not know.
type userCodec struct{ kv.JSON }

func (userCodec) Name() string { return "user" }

// One transaction moves more documents than a batch takes, and the runner is stopped behind each batch.
func TestMovesOfSeveralBatchesAreMadeOnce(t *testing.T) {
	const moves = 12
	store := guestStore(t, eventstoretest.Options(func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = 5 }))
	view := guests(t, store, projection.Config{})
	stop := run(t, view)
	var first, second []eventstore.Event
	want := make(map[string]guest)
	for i := range moves {
		from, to := fmt.Sprint("a", i), fmt.Sprint("b", moves-i)
		first, second = append(first, booked{from, i + 1}), append(second, renamed{from, to}, booked{from, 100 + i})
		want[to] = guest{Email: to, N: i + 1, Log: map[string]int{from: 1}}
		want[from] = guest{Email: from, N: 100 + i, Log: map[string]int{from: 1}} // another guest, of the same address
	}
	require.NoError(t, view.WaitFor(soon(t), enter(t, store, first...)))
	stop()
	end := enter(t, store, second...)
	messages := checkpointsOf(t, store)
	for tries := 0; ; tries++ {
		at, err := view.Position(t.Context())
		require.NoError(t, err)
		if at == end {
			require.Greater(t, tries, 2)
			break
		}
		require.Less(t, tries, 4*moves, "each run must bring it on")
		under := make(map[int]string)
		for key, g := range listed(t, view) {
			require.Emptyf(t, under[g.N], "a document is under one key, and %s has it too", key)
			under[g.N] = key
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		var killer sync.WaitGroup
		killer.Go(func() {
			for range 2 { // the claim and one batch
				select {
				case <-messages:
				case <-ctx.Done():
				}
			}
			cancel()
		})
		require.NoError(t, view.Run(ctx))
		killer.Wait()
		for len(messages) > 0 {
			<-messages
		}
	}
	require.Equal(t, want, listed(t, view))
}

func TestAMoveBetweenMoreKeysThanABatchTakesIsNamed(t *testing.T) {
	store := guestStore(t, eventstoretest.Options(func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = 5 }))
	view := guests(t, store, projection.Config{})
	stop := run(t, view)
	require.NoError(t, view.WaitFor(soon(t), enter(t, store, booked{"a", 1})))
	stop()
	end := enter(t, store, renamed{"a", "b"}, renamed{"b", "c"}, renamed{"c", "d"}, renamed{"d", "e"})
	err := view.Run(soon(t))
	require.ErrorIs(t, err, projection.ErrTooManyDocuments)
	var fold *projection.FoldError
	require.ErrorAs(t, err, &fold)
	require.Equal(t, end, fold.Position)
}
