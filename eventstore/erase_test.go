package eventstore_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

var erasing = &eventstore.Config{Erasure: true}

func openErasing(t *testing.T, js jetstream.JetStream) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", events, erasing)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// lengthen appends n commits to a stream.
func lengthen(t *testing.T, store *eventstore.Store, id, owner string, n int) eventstore.Head {
	t.Helper()
	head, err := store.Head(t.Context(), account(id))
	require.NoError(t, err)
	for range n {
		c, err := store.Append(t.Context(), account(id), head, opened{owner})
		require.NoError(t, err)
		head = c.Head()
	}
	return head
}

func onDisk(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	require.NoError(t, fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(os.DirFS(dir), path)
		found = found || bytes.Contains(data, []byte(text))
		return err
	}))
	return found
}

func TestAnErasedStreamIsGoneFromDiskAndSaysSo(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	store := openErasing(t, srv.JetStream(t))
	lengthen(t, store, "a", "Anna Secret", 2)
	lengthen(t, store, "b", "Bert", 1)
	head := lengthen(t, store, "a", "Anna Secret", 1)
	require.True(t, onDisk(t, srv.StoreDir(), "Anna Secret"))

	require.NoError(t, store.Erase(t.Context(), account("a"), "asked for on 2026-05-01"))
	require.NoError(t, store.Erase(t.Context(), account("a"), "again"), "again is harmless")
	require.False(t, onDisk(t, srv.StoreDir(), "Anna Secret"))
	require.True(t, onDisk(t, srv.StoreDir(), "Bert"))

	srv.Restart()
	for name, s := range map[string]*eventstore.Store{"the same store": store, "another": openErasing(t, srv.JetStream(t))} {
		_, err := s.Load(t.Context(), account("a"))
		var erased *eventstore.ReadError
		require.ErrorAs(t, err, &erased, name)
		require.ErrorIs(t, err, eventstore.ErrErased)
		require.EqualError(t, erased.Err, "asked for on 2026-05-01")
		_, err = s.Append(t.Context(), account("a"), head, opened{"x"})
		require.ErrorIs(t, err, eventstore.ErrErased, name)
		_, err = s.Append(t.Context(), account("a"), eventstore.Head{Version: 4}, opened{"x"})
		require.ErrorIs(t, err, eventstore.ErrErased, name)
		_, err = s.At(t.Context(), 2)
		require.ErrorAs(t, err, &erased, name)
		require.NotEmpty(t, erased.CommitID, "a checkpoint there can be recognised")

		var streams []eventstore.StreamID
		for recorded, err := range s.All(t.Context()) {
			require.NoError(t, err, "the holes are known")
			streams = append(streams, recorded.Stream)
		}
		require.Equal(t, []eventstore.StreamID{account("b"), account("a"), {Category: "runnel", ID: "erased"}}, streams, name)
		require.Zero(t, s.Counters().Refetched)
	}
	_, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{"x"})
	require.Error(t, err, "and no new history begins in its place")
}

func TestWhatAnErasureLeavesOfATransactionIsStillWhole(t *testing.T) {
	store := openErasing(t, eventstoretest.JetStream(t))
	for _, erased := range []string{"a", "b", "c"} {
		writes := make([]eventstore.Write, 0, 3)
		for _, id := range []string{"a", "b", "c"} {
			writes = append(writes, eventstore.Write{Stream: account(erased + "-" + id), Events: []eventstore.Event{opened{id}}})
		}
		_, err := store.AppendAll(t.Context(), writes...)
		require.NoError(t, err)
	}
	for _, erased := range []string{"a", "b", "c"} {
		require.NoError(t, store.Erase(t.Context(), account(erased+"-"+erased), ""))
	}
	kept := []eventstore.Event{opened{"b"}, opened{"c"}, opened{"a"}, opened{"c"}, opened{"a"}, opened{"b"}}
	require.Equal(t, kept, decode(t, store.All(t.Context(), eventstore.Types("account.opened"))))
	require.Equal(t, []eventstore.Event{opened{"a"}}, decode(t, store.Stream(t.Context(), account("c-a"))), "whose last commit is erased")
	require.Zero(t, store.Counters().Torn)
}

func TestAnErasureThatWasCutShortGoesOn(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	proxy := srv.Proxy(t)
	store := openErasing(t, proxy.JetStream(t))
	lengthen(t, store, "a", "Anna Secret", 20)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	deletions := 0
	proxy.DropRequests(func(subject string, _ []byte) bool {
		if subject == "$JS.API.STREAM.MSG.DELETE.bank" {
			deletions++
		}
		if deletions == 6 {
			cancel()
		}
		return deletions >= 6
	})
	require.ErrorIs(t, store.Erase(ctx, account("a"), ""), context.Canceled)
	other := openErasing(t, srv.JetStream(t))
	require.True(t, onDisk(t, srv.StoreDir(), "Anna Secret"))
	_, err := other.Load(t.Context(), account("a"))
	require.ErrorIs(t, err, eventstore.ErrErased, "for readers it is erased already")
	require.NoError(t, other.Erase(t.Context(), account("a"), ""))
	require.False(t, onDisk(t, srv.StoreDir(), "Anna Secret"))
	require.Len(t, decode(t, other.All(t.Context())), 2, "the two records")
}

func TestErasureMustBeAllowedWhenTheStoreIsMade(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	require.ErrorIs(t, store.Erase(t.Context(), account("a"), ""), eventstore.ErrSettings)
	_, err = eventstore.Open(t.Context(), js, "bank", events, erasing)
	require.ErrorIs(t, err, eventstore.ErrSettings)
}

func TestAStreamWithoutEventsIsNotErased(t *testing.T) {
	store := openErasing(t, eventstoretest.JetStream(t))
	require.NoError(t, store.Erase(t.Context(), account("a"), ""))
	require.Empty(t, decode(t, store.All(t.Context())))
}
