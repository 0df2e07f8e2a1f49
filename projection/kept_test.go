package projection_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

// shared is an event that is folded into several documents.
type shared struct {
	With  []string
	Marks map[string]int
	At    time.Time
}

func (shared) EventType() string { return "note.shared" }

// marked changes one document.
type marked struct {
	User, Mark string
	By         float64
}

func (marked) EventType() string { return "note.marked" }

type note struct {
	Marks map[string]int
	At    time.Time
	Sum   float64
}

// notes folds in the way that is usual in Go: a document takes over the map of its event, and later writes into it.
func notes(t *testing.T, store *eventstore.Store, cfg *projection.Config) *projection.View[note] {
	t.Helper()
	view, err := projection.Open(t.Context(), store, "notes", 1, cfg,
		projection.On(func(_ note, e shared) note { return note{Marks: e.Marks, At: e.At.In(time.FixedZone("x", 3600))} }).
			ByEach(func(e shared) []string { return e.With }),
		projection.On(func(n note, e marked) note {
			n.Marks[e.Mark]++
			n.Sum += e.By
			if e.Mark == "unlucky" {
				panic("unlucky")
			}
			if n.At.Location() != time.UTC {
				n.Marks["elsewhere"]++
			}
			return n
		}).By(func(e marked) string { return e.User }))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	return view
}

// soon bounds a read of a view that may have stopped.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func noteStore(t *testing.T) (store *eventstore.Store, add func(events ...eventstore.Event) eventstore.Position) {
	t.Helper()
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", []eventstore.Event{shared{}, marked{}}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	stream := eventstore.StreamID{Category: "note", ID: "1"}
	return store, func(events ...eventstore.Event) eventstore.Position {
		head, err := store.Head(t.Context(), stream)
		require.NoError(t, err)
		c, err := store.Append(t.Context(), stream, head, events...)
		require.NoError(t, err)
		return c.Position
	}
}

func TestDocumentsOfOneEventShareNoMap(t *testing.T) {
	store, add := noteStore(t)
	at := add(shared{With: []string{"anna", "ben"}, Marks: map[string]int{"a": 1}}, marked{User: "anna", Mark: "b"}, marked{User: "ben", Mark: "c"})
	view := notes(t, store, nil)
	run(t, view)
	for user, marks := range map[string]map[string]int{"anna": {"a": 1, "b": 1, "elsewhere": 1}, "ben": {"a": 1, "c": 1, "elsewhere": 1}} {
		got, err := view.Get(soon(t), user, projection.At(at))
		require.NoError(t, err)
		require.Equal(t, marks, got.Marks)
	}
}

// told is what is told to each of some users since.
type told struct {
	With  []string
	Marks map[string]int
}

func (told) EventType() string { return "note.told" }

// An upcaster that makes several events from one copies its data into all of them.
func TestDocumentsOfOneUpcastEventShareNoMap(t *testing.T) {
	js := eventstoretest.JetStream(t)
	stream := eventstore.StreamID{Category: "note", ID: "1"}
	before, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{told{}}, nil)
	require.NoError(t, err)
	first, err := before.Append(t.Context(), stream, eventstore.Head{}, told{With: []string{"anna", "ben"}, Marks: map[string]int{"a": 1}})
	require.NoError(t, err)
	require.NoError(t, before.Close())

	split := eventstore.UpcastMany(func(e told) (all []eventstore.Event) {
		for _, user := range e.With {
			all = append(all, shared{With: []string{user}, Marks: e.Marks})
		}
		return all
	}, shared{})
	store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{shared{}, marked{}}, &eventstore.Config{Upcasters: []eventstore.Upcaster{split}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	last, err := store.Append(t.Context(), stream, first.Head(), marked{User: "anna", Mark: "b"})
	require.NoError(t, err)
	view := notes(t, store, nil)
	run(t, view)
	anna, err := view.Get(soon(t), "anna", projection.At(last.Position))
	require.NoError(t, err)
	require.Equal(t, map[string]int{"a": 1, "b": 1, "elsewhere": 1}, anna.Marks)
	ben, err := view.Get(soon(t), "ben")
	require.NoError(t, err)
	require.Equal(t, map[string]int{"a": 1}, ben.Marks)
}

// A document that stays in memory is the one that is read from the bucket.
func TestADocumentInMemoryIsTheOneThatIsStored(t *testing.T) {
	store, add := noteStore(t)
	view := notes(t, store, &projection.Config{Interval: time.Millisecond})
	run(t, view)
	at := add(shared{With: []string{"anna"}, Marks: map[string]int{}, At: time.Unix(1, 0)})
	_, err := view.Get(soon(t), "anna", projection.At(at))
	require.NoError(t, err)
	at = add(marked{User: "anna", Mark: "a"})
	got, err := view.Get(soon(t), "anna", projection.At(at))
	require.NoError(t, err)
	require.Equal(t, note{Marks: map[string]int{"a": 1}, At: time.Unix(1, 0).UTC()}, got)
}

// A fold that panics may have changed the document before. The key is parked with what its document was.
func TestADocumentIsParkedAsItWas(t *testing.T) {
	check := func(last marked, live bool) func(t *testing.T) {
		return func(t *testing.T) {
			store, add := noteStore(t)
			view := notes(t, store, &projection.Config{Park: true})
			at := add(shared{With: []string{"anna", "ben"}, Marks: map[string]int{"a": 1}, At: time.Unix(1, 0)})
			follow := func() {
				run(t, view)
				require.NoError(t, view.WaitFor(soon(t), at))
			}
			want := map[string]int{"a": 1}
			if live {
				follow()
				at = add(marked{User: "anna", Mark: "c"}) // so that the runner has the document in memory
				require.NoError(t, view.WaitFor(soon(t), at))
				want["c"] = 1
			}
			at = add(marked{User: "ben", Mark: "b"}, last)
			if live {
				require.NoError(t, view.WaitFor(soon(t), at))
			}
			at = add(marked{User: "ben", Mark: "b"}, marked{User: "anna", Mark: "a"})
			if !live {
				follow()
			}
			ben, err := view.Get(soon(t), "ben", projection.At(at))
			require.NoError(t, err)
			require.Equal(t, 2, ben.Marks["b"], "the others go on")
			_, err = view.Get(soon(t), "anna", projection.At(at))
			require.ErrorIs(t, err, projection.ErrParked)
			anna, err := view.Get(soon(t), "anna")
			if !errors.Is(err, projection.ErrParked) {
				require.NoError(t, err)
			}
			require.Equal(t, want, maps.Clone(anna.Marks))
		}
	}
	for name, last := range map[string]marked{"a panic": {User: "anna", Mark: "unlucky"}, "not to be stored": {User: "anna", Mark: "a", By: math.NaN()}} {
		t.Run(name+", built", check(last, false))
		t.Run(name+", live", check(last, true))
	}
}

func TestAViewWhoseDocumentsWouldLoseSomethingIsRefused(t *testing.T) {
	type losing struct{ amount int64 }
	store := open(t)
	for _, codec := range []kv.Codec{nil, kv.Msgpack{}} {
		_, err := projection.Open(t.Context(), store, "losing", 1, &projection.Config{Codec: codec},
			projection.On(func(l losing, e deposited) losing { return losing{l.amount + e.Amount} }))
		require.ErrorIs(t, err, projection.ErrInvalidView)
		require.ErrorContains(t, err, "losing.amount is not exported")
	}
}
