package eventstore_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// copies are messages with the headers of commits: of an append, of an import, and of a batch.
func copies(subject string, payload []byte, tail, end eventstore.Position) map[string]*nats.Msg {
	return map[string]*nats.Msg{
		"append": {Subject: subject, Data: payload, Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: {fmt.Sprint(tail)}}},
		"import": {Subject: subject, Data: payload, Header: nats.Header{jetstream.ExpectedLastSeqHeader: {fmt.Sprint(end)}}},
		"batch": {Subject: subject, Data: payload, Header: nats.Header{
			jsapi.HeaderBatchID: {"1"}, jsapi.HeaderBatchSequence: {"1"}, jsapi.HeaderBatchCommit: {"1"},
		}},
	}
}

// amounts returns what stands in the log, or in the stream, under account/a.
func amounts(t *testing.T, store *eventstore.Store) (all, loaded []eventstore.Position) {
	t.Helper()
	for recorded, err := range store.All(t.Context()) {
		require.NoError(t, err)
		if recorded.Stream == account("a") {
			all = append(all, recorded.Position)
		}
	}
	history, err := store.Load(t.Context(), account("a"))
	require.NoError(t, err)
	for _, c := range history.Commits {
		loaded = append(loaded, c.Position)
	}
	return all, loaded
}

// A copy of a commit that another program publishes, with headers that only commits have, is refused by its position.
// Once an operator has accepted it, it is passed over. It is never applied a second time.
func TestACopyOfACommitIsNeverAppliedTwice(t *testing.T) {
	for name := range copies("", nil, 0, 0) {
		for original := range eventstore.Position(3) {
			t.Run(fmt.Sprintf("%s/%d", name, original+1), func(t *testing.T) {
				t.Parallel()
				requireNotAppliedTwice(t, eventstoretest.JetStream(t), name, original+1)
			})
		}
	}
	t.Run("three replicas", func(t *testing.T) {
		requireNotAppliedTwice(t, eventstoretest.NewCluster(t, 3, eventstoretest.Memory()).JetStream(t), "append", 2)
	})
}

func requireNotAppliedTwice(t *testing.T, js jetstream.JetStream, header string, original eventstore.Position) {
	t.Helper()
	open := func() *eventstore.Store {
		store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{opened{}, deposited{}}, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		return store
	}
	store, other := open(), open()
	c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{})
	for range 2 {
		require.NoError(t, err)
		c, err = store.Append(t.Context(), account("a"), c.Head(), deposited{1})
	}
	require.NoError(t, err)
	copied := stray(t, store, copies("bank.account.a", payloadAt(t, store, original), 3, 3)[header])

	for _, s := range []*eventstore.Store{store, other} {
		damaged := firstError(t, s)
		require.Equal(t, copied, damaged.Position)
		require.ErrorContains(t, damaged, "a copy of a commit")
		require.ErrorContains(t, damaged, "Store.AcceptForeign")
		_, err = s.Load(t.Context(), account("a"))
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
		_, err = s.Head(t.Context(), account("a"))
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
		_, err = s.At(t.Context(), copied)
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
		_, err = s.Verify(t.Context(), nil)
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
	}

	require.NoError(t, store.AcceptForeign(t.Context(), copied, "published by a script"))
	// One commit from a head of before the copy, one from a head of today. Both are read again and again.
	c, err = store.Append(t.Context(), account("a"), c.Head(), deposited{2})
	require.NoError(t, err)
	history, err := other.Load(t.Context(), account("a"))
	require.NoError(t, err)
	last, err := other.Append(t.Context(), account("a"), history.Head, deposited{3})
	require.NoError(t, err)
	want := []eventstore.Position{1, 2, 3, c.Position, last.Position}
	for _, s := range []*eventstore.Store{store, other, open()} {
		for range 2 {
			all, loaded := amounts(t, s)
			require.Equal(t, want, all)
			require.Equal(t, want, loaded)
		}
		head, err := s.Head(t.Context(), account("a"))
		require.NoError(t, err)
		require.EqualValues(t, 5, head.Version)
		_, err = s.At(t.Context(), copied)
		require.ErrorIs(t, err, eventstore.ErrForeign)
		after, err := s.At(t.Context(), c.Position)
		require.NoError(t, err)
		require.Equal(t, c.ID, after.ID)
		report, err := s.Verify(t.Context(), nil)
		require.NoError(t, err)
		require.EqualValues(t, 1, report.Foreign)
		require.ErrorIs(t, s.AcceptForeign(t.Context(), c.Position, "no"), eventstore.ErrRefused)
	}

	var archive bytes.Buffer
	_, err = store.Export(t.Context(), &archive, nil)
	require.NoError(t, err)
	elsewhere := eventstoretest.JetStream(t)
	_, err = eventstore.Import(t.Context(), elsewhere, &archive, nil)
	require.NoError(t, err)
	imported, err := eventstore.Open(t.Context(), elsewhere, "bank", []eventstore.Event{opened{}, deposited{}}, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, imported.Close()) }()
	all, loaded := amounts(t, imported)
	require.Equal(t, want, all)
	require.Equal(t, want, loaded)
	end, err := imported.End(t.Context())
	require.NoError(t, err)
	again := stray(t, imported, copies("bank.account.a", payloadAt(t, imported, original), last.Position, end)[header])
	require.Equal(t, again, firstError(t, imported).Position)
}

// A commit is published to the subject of another stream, to which nothing was published before. Only the first commit
// of a stream can have been stored there.
func TestACopyOfALaterCommitBeginsNoStream(t *testing.T) {
	store := open(t, nil)
	c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{})
	require.NoError(t, err)
	c, err = store.Append(t.Context(), account("a"), c.Head(), deposited{1})
	require.NoError(t, err)
	for i, subject := range []string{"bank.account.b", "bank.runnel.erased", "bank.runnel.guards"} {
		copied := stray(t, store, copies(subject, payloadAt(t, store, c.Position), 0, 0)["append"])
		require.Equal(t, copied, firstError(t, store).Position)
		require.NoError(t, store.AcceptForeign(t.Context(), copied, "published by a script"))
		require.Equal(t, []eventstore.Event{opened{}, deposited{1}}, decode(t, store.All(t.Context(), eventstore.Categories("account"))))
		report, err := store.Verify(t.Context(), nil)
		require.NoError(t, err)
		require.EqualValues(t, i+1, report.Foreign)
	}
	_, err = store.Append(t.Context(), account("b"), eventstore.Head{}, opened{})
	require.NoError(t, err)
}
