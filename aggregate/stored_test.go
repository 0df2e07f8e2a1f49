package aggregate_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// diary keeps the contents of its events as they are.
type diary struct {
	Last    time.Time
	Pages   []string
	Marks   map[string]*int64
	Secret  string
	Entries int
	Closed  string
}

func (d diary) Clone() diary {
	d.Pages, d.Marks = slices.Clone(d.Pages), maps.Clone(d.Marks)
	return d
}

// Evolve folds the toolkit's own events too.
func (d diary) Evolve(e eventstore.Event) diary {
	d.Entries++
	switch e := e.(type) {
	case written:
		d.Last, d.Pages, d.Marks, d.Secret = e.At, e.Pages, e.Marks, e.Secret
	case dayed:
		d.Last = e.At
	case eventstore.StreamClosed:
		d.Closed = e.Reason
	}
	return d
}

type written struct {
	At     time.Time
	Pages  []string          `json:",omitempty" msgpack:",omitempty"`
	Marks  map[string]*int64 `json:",omitempty" msgpack:",omitempty"`
	Secret string            `json:"-" msgpack:"-"`
}

func (written) EventType() string { return "diary.written" }

// dayed shares no memory with its copies, but its time may come back in another zone.
type dayed struct{ At time.Time }

func (dayed) EventType() string { return "diary.dayed" }

// write decides the events it holds.
type write []eventstore.Event

func (c write) Decide(diary) ([]eventstore.Event, error) { return c, nil }

// page decides the event it holds.
type page struct{ Event written }

func (c page) Decide(diary) ([]eventstore.Event, error) { return []eventstore.Event{c.Event}, nil }

// A command leaves the state in memory that a program with an empty cache reads from the log.
func TestStateIsFoldedFromWhatWasStored(t *testing.T) {
	one := int64(1)
	now := time.Now() // in a zone, and with a monotonic clock
	for _, codec := range []eventstore.Codec{eventstore.Msgpack, eventstore.JSON} {
		store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "diaries", []eventstore.Event{written{}, dayed{}}, &eventstore.Config{Codec: codec})
		require.NoError(t, err)
		defer func() { require.NoError(t, store.Close()) }()
		diaries := func() *aggregate.Repository[diary, eventstore.Event] {
			r, err := aggregate.New(store, "diary", diary{}, nil)
			require.NoError(t, err)
			return r
		}
		warm := diaries()
		for name, events := range map[string]write{
			"zone":        {dayed{now.In(time.FixedZone("x", 5*3600))}},
			"clock":       {dayed{now}},
			"empty":       {written{At: now, Pages: []string{}, Marks: map[string]*int64{}}},
			"left-out":    {written{Secret: "mine"}},
			"memory":      {written{Pages: []string{"a"}, Marks: map[string]*int64{"a": &one}}, dayed{now}},
			"plain-event": {dayed{}},
		} {
			t.Run(string(codec)+" "+name, func(t *testing.T) {
				result, err := warm.Do(t.Context(), name, events)
				require.NoError(t, err)
				replayed, err := diaries().Load(t.Context(), name)
				require.NoError(t, err)
				require.Equal(t, replayed.State, result.State)
				cached, err := warm.Load(t.Context(), name)
				require.NoError(t, err)
				require.Equal(t, replayed.State, cached.State)
				require.Len(t, result.Events, len(events))

				closed, err := warm.Do(t.Context(), name, write{}, aggregate.CloseStream("full"), aggregate.CloseKey("k"))
				require.NoError(t, err)
				replayed, err = diaries().Load(t.Context(), name)
				require.NoError(t, err)
				require.Equal(t, replayed.State, closed.State)
				require.Equal(t, "full", closed.State.Closed, "the events include the toolkit's own")
			})
		}
	}
}

// The cached state shares no memory with a command, its result or an event.
func TestTheCachedStateSharesNoMemory(t *testing.T) {
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "diaries", []eventstore.Event{written{}, dayed{}}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	diaries, err := aggregate.New(store, "diary", diary{}, nil)
	require.NoError(t, err)
	pages, one := []string{"a", "b"}, int64(1)
	command := page{written{Pages: pages, Marks: map[string]*int64{"a": &one}}}
	result, err := diaries.Do(t.Context(), "1", command, aggregate.Key("k"))
	require.NoError(t, err)
	again, err := diaries.Do(t.Context(), "1", command, aggregate.Key("k"))
	require.NoError(t, err)
	require.True(t, again.Repeated)
	require.Equal(t, again.Events, result.Events)

	pages[0], one = "changed", 2
	for _, given := range []eventstore.Event{result.Events[0], again.Events[0]} {
		e := given.(written)
		require.Equal(t, "a", e.Pages[0], "nor does the command reach the result")
		e.Pages[1], *e.Marks["a"] = "changed", 3
		e.Marks["b"] = &one
	}
	loaded, err := diaries.Load(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, loaded.State.Pages)
	require.Len(t, loaded.State.Marks, 1)
	require.EqualValues(t, 1, *loaded.State.Marks["a"])
}

// fragile cannot be read if it is empty.
type fragile struct{ Text string }

func (f fragile) MarshalText() ([]byte, error) { return []byte(f.Text), nil }
func (f *fragile) UnmarshalText(text []byte) error {
	f.Text = string(text[:1:1]) + string(text[1:])
	return nil
}

type wrapped struct{ What fragile }

func (wrapped) EventType() string { return "diary.wrapped" }

func TestWhatWasStoredAndDoesNotDecodeIsTold(t *testing.T) {
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "diaries", []eventstore.Event{wrapped{}}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	diaries, err := aggregate.New(store, "diary", diary{}, nil)
	require.NoError(t, err)
	_, err = diaries.Do(t.Context(), "1", write{wrapped{fragile{"a"}}})
	require.NoError(t, err)
	_, err = diaries.Do(t.Context(), "1", write{wrapped{}})
	require.ErrorIs(t, err, eventstore.ErrUndecodable)
	require.ErrorContains(t, err, "the events were stored, but they do not decode")
	_, err = diaries.Load(t.Context(), "1")
	require.ErrorIs(t, err, eventstore.ErrUndecodable)
}
