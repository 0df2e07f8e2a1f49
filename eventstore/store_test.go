package eventstore_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

type opened struct{ Owner string }

func (opened) EventType() string { return "account.opened" }

type deposited struct{ Amount int64 }

func (deposited) EventType() string { return "account.deposited" }

var events = []eventstore.Event{opened{}, deposited{}}

func account(id string) eventstore.StreamID { return eventstore.StreamID{Category: "account", ID: id} }

func open(t testing.TB, cfg *eventstore.Config) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", events, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// decode reads a sequence of recorded events into their values.
func decode(t testing.TB, seq func(func(eventstore.Recorded, error) bool)) []eventstore.Event {
	t.Helper()
	var all []eventstore.Event
	for recorded, err := range seq {
		require.NoError(t, err)
		decoded, err := recorded.Decode()
		require.NoError(t, err)
		all = append(all, decoded...)
	}
	return all
}

func TestAppendAndReadBack(t *testing.T) {
	store := open(t, nil)
	ctx := eventstore.WithMetadata(t.Context(), eventstore.Metadata{Actor: "anna", User: map[string]string{"via": " web\r\n"}})

	first, err := store.Append(ctx, account("a.b*"), eventstore.Head{}, opened{"anna"}, deposited{5})
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(1), first.Position)
	require.Equal(t, eventstore.Version(2), first.Last())

	second, err := store.Append(t.Context(), account("a.b*"), first.Head(), deposited{7})
	require.NoError(t, err)
	require.Equal(t, eventstore.Version(3), second.First)

	require.Equal(t, []eventstore.Event{opened{"anna"}, deposited{5}, deposited{7}}, decode(t, store.Stream(t.Context(), account("a.b*"))))
	require.Equal(t, []eventstore.Event{deposited{5}, deposited{7}}, decode(t, store.Stream(t.Context(), account("a.b*"), eventstore.From(2))))
	require.Equal(t, []eventstore.Event{opened{"anna"}, deposited{5}, deposited{7}}, decode(t, store.All(t.Context())))
	require.Equal(t, []eventstore.Event{opened{"anna"}}, decode(t, store.All(t.Context(), eventstore.Types("account.opened"))))
	require.Equal(t, []eventstore.Event{deposited{7}}, decode(t, store.All(t.Context(), eventstore.After(1))))
	require.Empty(t, decode(t, store.Stream(t.Context(), account("other"))))

	history, err := store.Load(t.Context(), account("a.b*"))
	require.NoError(t, err)
	require.Equal(t, "anna", history.Commits[0].Actor)
	require.Equal(t, map[string]string{"via": " web\r\n"}, history.Commits[0].User, "metadata is kept to the byte")
	require.Equal(t, second.Head(), history.Head)
}

// A caller may use the memory of a write again, and change a commit, without changing other commits.
func TestACommitSharesNoMemoryWithItsWriteOrOtherCommits(t *testing.T) {
	store := open(t, nil)
	user := map[string]string{"via": "web"}
	ctx := eventstore.WithMetadata(t.Context(), eventstore.Metadata{User: user})
	hash := []byte{1, 2, 3}
	write := func(id string) eventstore.Write {
		return eventstore.Write{Stream: account(id), Events: []eventstore.Event{deposited{1}}, Key: "k", KeyHash: hash}
	}
	commits, err := store.AppendAll(ctx, write("a"), write("b"))
	require.NoError(t, err)
	hash[0], user["via"] = 9, "mail"
	commits[0].KeyHash[1], commits[0].User["via"] = 9, "fax"
	require.Equal(t, []byte{1, 2, 3}, commits[1].KeyHash)
	require.Equal(t, map[string]string{"via": "web"}, commits[1].User)
}

func TestAConflictNamesBothVersions(t *testing.T) {
	store := open(t, nil)
	first, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	_, err = store.Append(t.Context(), account("1"), first.Head(), deposited{2})
	require.NoError(t, err)

	_, err = store.Append(t.Context(), account("1"), first.Head(), deposited{3})
	var conflict *eventstore.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, eventstore.ConflictError{Stream: account("1"), Expected: 1, Actual: 2}, *conflict)

	_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{3})
	require.ErrorIs(t, err, eventstore.ErrConflict)
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{Version: 1}, deposited{3})
	require.ErrorIs(t, err, eventstore.ErrConflict)
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{Version: 2}, deposited{3})
	require.NoError(t, err)
}

func TestATransactionIsAllOrNothing(t *testing.T) {
	store := open(t, nil)
	first, err := store.Append(t.Context(), account("a"), eventstore.Head{}, deposited{10})
	require.NoError(t, err)

	commits, err := store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("a"), Expected: first.Head(), Events: []eventstore.Event{deposited{-5}}},
		eventstore.Write{Stream: account("b"), Events: []eventstore.Event{deposited{5}}},
	)
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(2), commits[0].Position)
	require.Equal(t, eventstore.Position(3), commits[1].Position)

	_, err = store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("c"), Events: []eventstore.Event{deposited{1}}},
		eventstore.Write{Stream: account("a"), Expected: first.Head(), Events: []eventstore.Event{deposited{1}}},
	)
	var conflict *eventstore.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, account("a"), conflict.Stream)
	require.Empty(t, decode(t, store.Stream(t.Context(), account("c"))))

	more, err := store.Append(t.Context(), account("b"), commits[1].Head(), deposited{2})
	require.NoError(t, err)
	require.Equal(t, eventstore.Version(2), more.First)
	require.Len(t, decode(t, store.All(t.Context())), 4)
}

func TestLiveReadersSeeWhatIsAppended(t *testing.T) {
	store := open(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	head := eventstore.Head{}
	next := func() {
		c, err := store.Append(t.Context(), account("1"), head, deposited{int64(head.Version)})
		require.NoError(t, err)
		head = c.Head()
	}
	next()
	seen := 0
	for recorded, err := range store.All(ctx, eventstore.Live()) {
		if seen == 100 {
			require.ErrorIs(t, err, context.Canceled)
			break
		}
		require.NoError(t, err)
		seen++
		require.Equal(t, eventstore.Version(seen), recorded.Version())
		if seen == 100 {
			cancel()
			continue
		}
		next()
	}
	require.Equal(t, 100, seen)
}

func TestLongStreamsAreReadBeyondTheirLinks(t *testing.T) {
	store := open(t, nil)
	for _, length := range []int{1, 16, 17, 18, 64, 65, 66, 81, 200} {
		id := account(string(rune('a' + length)))
		head := eventstore.Head{}
		for i := range length {
			c, err := store.Append(t.Context(), id, head, deposited{int64(i)})
			require.NoError(t, err)
			head = c.Head()
		}
		all := decode(t, store.Stream(t.Context(), id))
		require.Len(t, all, length)
		for i, event := range all {
			require.Equal(t, deposited{int64(i)}, event)
		}
		require.Len(t, decode(t, store.Stream(t.Context(), id, eventstore.From(eventstore.Version(length)))), 1)
	}
}
