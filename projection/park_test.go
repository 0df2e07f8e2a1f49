package projection_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
)

// parking makes a view whose fold panics at some amounts.
func parking(t *testing.T, store *eventstore.Store, panics func(amount int64) bool) *projection.View[balance] {
	t.Helper()
	view, err := projection.Open(t.Context(), store, "sums", 1, &projection.Config{Park: true},
		projection.On(func(b balance, e deposited) balance {
			if panics(e.Amount) {
				panic(fmt.Sprint("no ", e.Amount))
			}
			return balance{b.Amount + e.Amount, b.Events + 1}
		}))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	return view
}

func parked(t *testing.T, view *projection.View[balance]) map[string]projection.Parked {
	t.Helper()
	all := make(map[string]projection.Parked)
	for entry, err := range view.Parked(t.Context()) {
		require.NoError(t, err)
		all[entry.Key] = entry.Value
	}
	return all
}

func unlucky(amount int64) bool { return amount == 13 }

func TestAFoldThatPanicsParksItsKeyAndNoOther(t *testing.T) {
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprintf("live %v", live), func(t *testing.T) {
			store := open(t)
			view := parking(t, store, unlucky)
			stop := func() {}
			if live {
				stop = run(t, view)
				require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "x", 1)))
			}
			deposit(t, store, "a", 1)
			deposit(t, store, "a", 2, 13, 4)
			deposit(t, store, "b", 5)
			end := deposit(t, store, "a", 6)
			if !live {
				stop = run(t, view)
			}
			got, err := view.Get(t.Context(), "b", projection.At(end))
			require.NoError(t, err)
			require.Equal(t, balance{5, 1}, got)
			got, err = view.Get(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, balance{3, 2}, got, "as it was before the event")
			_, err = view.Get(t.Context(), "a", projection.At(end))
			require.ErrorIs(t, err, projection.ErrParked)
			require.ErrorContains(t, err, "no 13")

			p := parked(t, view)
			require.Len(t, p, 1)
			require.Equal(t, account("a"), p["a"].Stream)
			require.Equal(t, eventstore.Version(3), p["a"].Version)
			require.Equal(t, int64(2), p["a"].Waiting)
			stop()

			mended := parking(t, store, func(int64) bool { return false })
			run(t, mended)
			require.NoError(t, mended.WaitFor(t.Context(), deposit(t, store, "a", 7)))
			require.Len(t, parked(t, mended), 1, "it stays parked until somebody wants it")
			require.NoError(t, view.Replay(t.Context()), "by whichever instance")
			eventually(t, func() bool { return len(parked(t, mended)) == 0 }, "it is folded again")
			got, err = mended.Get(t.Context(), "a", projection.At(deposit(t, store, "a", 8)))
			require.NoError(t, err)
			require.Equal(t, balance{41, 7}, got)
			requireFolded(t, store, mended)
		})
	}
}

// Many read keys while they are folded again.
func TestAKeyIsParkedOrReadWhole(t *testing.T) {
	store := open(t)
	const keys = 40
	var end eventstore.Position
	for key := range keys {
		end = deposit(t, store, fmt.Sprint(key), 13)
	}
	faulty := parking(t, store, unlucky)
	stop := run(t, faulty)
	require.NoError(t, faulty.WaitFor(t.Context(), end))
	require.Len(t, parked(t, faulty), keys)
	stop()

	var readers sync.WaitGroup
	for key := range keys {
		readers.Go(func() {
			got, err := faulty.Get(t.Context(), fmt.Sprint(key), projection.At(end))
			for errors.Is(err, projection.ErrParked) {
				got, err = faulty.Get(t.Context(), fmt.Sprint(key), projection.At(end))
			}
			if err != nil || got != (balance{13, 1}) {
				t.Errorf("key %d: %v, %v", key, got, err)
			}
		})
	}
	mended := parking(t, store, func(int64) bool { return false })
	run(t, mended)
	require.NoError(t, mended.Replay(t.Context()))
	readers.Wait()
}

func TestAParkedEventCanBeDiscarded(t *testing.T) {
	store := open(t)
	view := parking(t, store, func(amount int64) bool { return amount == 13 || amount == 14 })
	run(t, view)
	deposit(t, store, "a", 1, 13, 2, 14, 3)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "b", 13)))
	require.ErrorIs(t, view.Discard(t.Context(), "c"), projection.ErrNotFound)

	require.NoError(t, view.Replay(t.Context(), "a"))
	require.NoError(t, view.Discard(t.Context(), "a"))
	eventually(t, func() bool { return parked(t, view)["a"].Version == 4 }, "it fails again at the next one")
	require.Len(t, parked(t, view), 2)
	require.NoError(t, view.Discard(t.Context()))
	eventually(t, func() bool { return len(parked(t, view)) == 0 }, "both are done")
	got, err := view.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, balance{6, 3}, got)
	_, err = view.Get(t.Context(), "b")
	require.ErrorIs(t, err, projection.ErrNotFound)
	status, err := view.Status(t.Context())
	require.NoError(t, err)
	require.Zero(t, status.Parked)
}

// An operator, or a program, may ask more often than a key can be folded again.
func TestAReplayThatIsAskedForAgainAndAgainIsDone(t *testing.T) {
	store := open(t)
	var mended atomic.Bool
	view, err := projection.Open(t.Context(), store, "sums", 1, &projection.Config{Park: true},
		projection.On(func(b balance, e deposited) balance {
			if e.Amount == 13 && !mended.Load() {
				panic("no 13")
			}
			if mended.Load() {
				spend(100 * time.Millisecond)
			}
			return balance{b.Amount + e.Amount, b.Events + 1}
		}))
	require.NoError(t, err)
	defer view.Close()
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1, 13, 2)))
	require.Len(t, parked(t, view), 1)
	mended.Store(true)
	eventually(t, func() bool {
		err := view.Replay(t.Context())
		require.True(t, err == nil || errors.Is(err, projection.ErrNotFound), "%v", err)
		return len(parked(t, view)) == 0
	}, "it is folded again")
	got, err := view.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, balance{16, 3}, got)
}

// More large documents are wished for than one batch takes, among small ones.
func TestAReplayOfManyLargeDocumentsIsDone(t *testing.T) {
	store := cupStore(t)
	var mended atomic.Bool
	view, err := projection.Open(t.Context(), store, "cups", 1, &projection.Config{Park: true},
		projection.On(func(c cup, e filled) cup {
			if !mended.Load() {
				panic("not yet")
			}
			return cup{N: c.N + 1, Text: strings.Repeat("x", map[bool]int{true: 900_000}[e.Wrong == "large"])}
		}).By(func(e filled) string { return e.Key }))
	require.NoError(t, err)
	defer func() { require.NoError(t, view.Close()) }()
	var all []filled
	for i := range 20 {
		all = append(all, filled{fmt.Sprint("large", i), "large"})
	}
	for i := range 470 {
		all = append(all, filled{fmt.Sprint("small", i), ""})
	}
	end := fill(t, store, "a", all...)
	run(t, view)
	require.NoError(t, view.WaitFor(soon(t), end))
	mended.Store(true)
	require.NoError(t, view.Replay(t.Context()))
	eventually(t, func() bool { return len(parkedIn(t, view)) == 0 }, "they are folded again")
	require.Len(t, listed(t, view), len(all))
}

// A replica that catches up has lost the older of two versions of what says that a key is parked, and has not got the
// newer one yet. The reader behind the proxy gets its answers.
func TestAParkedKeyIsParkedForOneWhoAsksAReplicaThatIsBehind(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, _ := openOn(t, server)
	view := parking(t, store, unlucky)
	stop := run(t, view)
	end := deposit(t, store, "a", 1, 13, 2)
	require.NoError(t, view.WaitFor(t.Context(), end))
	stop()
	require.NoError(t, view.Replay(t.Context()), "which replaces what says that the key is parked")
	reader := sums(t, storeBehind(t, proxy), 1, nil)
	var answers atomic.Int32
	proxy.DropReplies(func(_ string, payload []byte) bool {
		return bytes.Contains(payload, []byte("no 13")) && answers.Add(1) <= 5
	})
	_, err := reader.Get(t.Context(), "a", projection.At(end))
	require.ErrorIs(t, err, projection.ErrParked)
	require.Equal(t, int32(6), answers.Load())
}

// misread has the name of deposits, and data that does not fit.
type misread struct{ Amount string }

func (misread) EventType() string { return "account.deposited" }

// misreadStore returns a store with an event that does not decode in it, and one that does.
func misreadStore(t *testing.T) *eventstore.Store {
	t.Helper()
	js := eventstoretest.JetStream(t)
	writer, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{misread{}}, nil)
	require.NoError(t, err)
	defer writer.Close()
	_, err = writer.Append(t.Context(), account("a"), eventstore.Head{}, misread{"five"})
	require.NoError(t, err)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	deposit(t, store, "b", 1)
	return store
}

func TestAnUndecodableEventParksTheKeyThatIsItsStreams(t *testing.T) {
	store := misreadStore(t)
	view := parking(t, store, unlucky)
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), 2))
	p := parked(t, view)
	require.Len(t, p, 1)
	require.Contains(t, p["a"].Error, "undecodable")
	got, err := view.Get(t.Context(), "b")
	require.NoError(t, err)
	require.Equal(t, balance{1, 1}, got)
}

func TestAnUndecodableEventStopsAViewWhoseKeyIsInIt(t *testing.T) {
	store := misreadStore(t)
	view, err := projection.Open(t.Context(), store, "texts", 1, &projection.Config{Park: true},
		projection.On(func(b balance, _ deposited) balance { return b }).By(func(e deposited) string { return e.Text }))
	require.NoError(t, err)
	defer view.Close()
	require.ErrorIs(t, view.Run(t.Context()), eventstore.ErrUndecodable)
}

func TestOneEventChangesSeveralDocumentsAndDeletesOthers(t *testing.T) {
	store := open(t)
	view, err := projection.Open(t.Context(), store, "parts", 1, nil,
		projection.On(func(b balance, e deposited) balance { return balance{b.Amount + e.Amount, b.Events + 1} }).
			ByEach(func(e deposited) []string { return []string{"all", e.Text, "all", ""} }),
		projection.Delete(func(b balance, e withdrawn) bool { return b.Amount <= e.Amount }).
			By(func(withdrawn) string { return "all" }))
	require.NoError(t, err)
	defer view.Close()
	list := func() map[string]balance {
		all := make(map[string]balance)
		for entry, err := range view.List(t.Context()) {
			require.NoError(t, err)
			all[entry.Key] = entry.Value
		}
		return all
	}
	write := func(events ...eventstore.Event) eventstore.Position {
		head, err := store.Head(t.Context(), account("1"))
		require.NoError(t, err)
		c, err := store.Append(t.Context(), account("1"), head, events...)
		require.NoError(t, err)
		return c.Position
	}
	write(deposited{1, "a"}, withdrawn{5}, deposited{10, "a"}, withdrawn{5}, deposited{2, "b"})
	stop := run(t, view) // as a build
	require.NoError(t, view.WaitFor(t.Context(), 1))
	require.Equal(t, map[string]balance{"all": {12, 2}, "a": {11, 2}, "b": {2, 1}}, list())
	require.NoError(t, view.WaitFor(t.Context(), write(deposited{1, "b"}, withdrawn{100}))) // live
	require.Equal(t, map[string]balance{"a": {11, 2}, "b": {3, 2}}, list())
	require.NoError(t, view.WaitFor(t.Context(), write(deposited{7, "a"})))
	many, err := view.GetMany(t.Context(), "all", "a", "c")
	require.NoError(t, err)
	require.Equal(t, balance{7, 1}, many["all"].Value)
	require.Len(t, many, 2)
	stop()
}
