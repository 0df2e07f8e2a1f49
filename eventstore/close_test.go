package eventstore_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
)

func TestAClosedStreamTakesNoMore(t *testing.T) {
	store := open(t, nil)
	first, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	last, err := store.Append(t.Context(), account("1"), first.Head(), deposited{2}, eventstore.StreamClosed{Reason: "moved"})
	require.NoError(t, err)
	require.True(t, last.Head().Closed())

	loaded, err := store.Head(t.Context(), account("1"))
	require.NoError(t, err)
	for name, head := range map[string]eventstore.Head{
		"of the commit": last.Head(), "loaded": loaded, "by hand": {Version: 3}, "by hand, with the position": {Version: 3, Position: last.Position},
	} {
		_, err = store.Append(t.Context(), account("1"), head, deposited{3})
		require.ErrorIs(t, err, eventstore.ErrClosed, name)
		_, err = store.AppendAll(t.Context(),
			eventstore.Write{Stream: account("2"), Events: []eventstore.Event{deposited{1}}},
			eventstore.Write{Stream: account("1"), Expected: head, Events: []eventstore.Event{deposited{3}}})
		require.ErrorIs(t, err, eventstore.ErrClosed, name)
	}
	_, err = store.Append(t.Context(), account("1"), first.Head(), deposited{3})
	require.ErrorIs(t, err, eventstore.ErrConflict, "who does not know learns that it moved")
	require.Equal(t, []eventstore.Event{deposited{1}, deposited{2}, eventstore.StreamClosed{Reason: "moved"}},
		decode(t, store.Stream(t.Context(), account("1"))), "it is still read")
	require.Len(t, decode(t, store.All(t.Context())), 3, "and nothing else was written")
}

func TestTheToolkitsOwnEventsAndStreamsAreNotForOthers(t *testing.T) {
	store := open(t, nil)
	prototypes := eventstore.Inside(inside.Pass{}, store).Prototypes()
	positions := prototypes[slices.IndexFunc(prototypes, func(e eventstore.Event) bool { return e.EventType() == "runnel.positions.erased" })]
	for name, write := range map[string]eventstore.Write{
		"closed in between": {Stream: account("1"), Events: []eventstore.Event{eventstore.StreamClosed{}, deposited{1}}},
		"erased":            {Stream: account("1"), Events: []eventstore.Event{eventstore.StreamErased{}}},
		"positions":         {Stream: account("1"), Events: []eventstore.Event{positions}},
		"category": {Stream: eventstore.StreamID{Category: "runnel", ID: "erased"},
			Events: []eventstore.Event{deposited{1}}},
	} {
		_, err := store.AppendAll(t.Context(), write)
		var refused *eventstore.AppendError
		require.ErrorAs(t, err, &refused, name)
	}
	require.Empty(t, decode(t, store.All(t.Context())))
}

type namedLikeOurs struct{}

func (namedLikeOurs) EventType() string { return "runnel.stream.closed" }

func TestNamesOfTheToolkitAreRefusedAtOpen(t *testing.T) {
	store := open(t, nil)
	for _, e := range []eventstore.Event{namedLikeOurs{}, eventstore.StreamClosed{}} {
		_, err := eventstore.Open(t.Context(), store.JetStream(), "other", []eventstore.Event{e}, nil)
		require.ErrorIs(t, err, eventstore.ErrInvalidEvents)
	}
}
