package eventstore_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/allocs"
)

// Each bound is what was counted and a tenth more, or half of what the first profile showed, whichever is less.
// docs/measurements.md has the figures.
const (
	appendBound    = 13.5 // nats.go: 26
	loadBound      = 100  // of ten commits; nats.go: 270
	replayBound    = 10.1 // of an event in commits of one; nats.go: 12, not decoded
	replayTenBound = 3.25 // of an event in commits of ten; nats.go: 1.2, not decoded
)

func TestAllocations(t *testing.T) {
	allocs.Countable(t)
	js := eventstoretest.NewProcess(t, t.TempDir()).JetStream(t)
	t.Run("of an append", func(t *testing.T) {
		const n = 500
		store := openCounted(t, js, "appends")
		var head eventstore.Head
		ours := allocs.Of(t, n, func() {
			for range n {
				c, err := store.Append(t.Context(), account("ours"), head, booked{1, 2, "a booking of some length"})
				if err != nil {
					t.Fatal(err)
				}
				head = c.Head()
			}
		})
		data := payload(t, store, js)
		var last uint64
		raw := allocs.Of(t, n, func() {
			for range n {
				var err error
				if last, err = publish(t.Context(), js, "appends.account.raw", last, data, false); err != nil {
					t.Fatal(err)
				}
			}
		})
		ours.Within(t, appendBound, raw)
	})
	t.Run("of a load of ten commits", func(t *testing.T) {
		const n = 50
		store := openCounted(t, js, "loads")
		appendCounted(t, store, 10, 1)
		ours := allocs.Of(t, n, func() {
			for range n {
				history, err := store.Load(t.Context(), account("counted"))
				if err != nil || len(history.Commits) != 10 {
					t.Fatal(len(history.Commits), err)
				}
			}
		})
		stream, err := js.Stream(t.Context(), "loads")
		require.NoError(t, err)
		raw := allocs.Of(t, n, func() {
			for range n {
				for sequence := range uint64(10) {
					if _, err := stream.GetMsg(t.Context(), 1+sequence); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
		ours.Within(t, loadBound, raw)
	})
	for name, replay := range map[string]struct {
		commits, events int // events in each commit
		bound           float64
	}{"ones": {16_000, 1, replayBound}, "tens": {4000, 10, replayTenBound}} {
		t.Run("of a replayed event of "+name, func(t *testing.T) {
			n := replay.commits
			store := openCounted(t, js, name)
			appendCounted(t, store, n, replay.events)
			ours := allocs.Of(t, n*replay.events, func() { require.Equal(t, n*replay.events, decodeAll(t, store, n*replay.events)) })
			raw := allocs.Of(t, n*replay.events, func() { fetchAll(t, js, name, n) })
			ours.Within(t, replay.bound, raw)
		})
	}
}

func openCounted(t *testing.T, js jetstream.JetStream, name string) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, name, []eventstore.Event{booked{}}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// appendCounted writes commits of some events each to one stream.
func appendCounted(t *testing.T, store *eventstore.Store, commits, events int) {
	t.Helper()
	all := make([]eventstore.Event, events)
	for i := range all {
		all[i] = booked{1, 2, "a booking of some length"}
	}
	var head eventstore.Head
	for range commits {
		c, err := store.Append(t.Context(), account("counted"), head, all...)
		require.NoError(t, err)
		head = c.Head()
	}
}
