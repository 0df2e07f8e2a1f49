package kv_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
)

func TestCellsAreNoDocumentsAndAreWrittenWithThem(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b, other := open[doc](t, js, "docs", nil), open[doc](t, js, "others", nil)
	notes, err := kv.NewCells[string](b, "note")
	require.NoError(t, err)
	_, err = kv.NewCells[string](b, "Note")
	require.ErrorIs(t, err, kv.ErrInvalidName)
	ctx := t.Context()

	batch := b.Batch()
	batch.Put("a.b", doc{N: 1})
	notes.PutIn(batch, "a.b", "first")
	notes.UpdateIn(batch, "=x", "second", 0)
	last, err := batch.Commit(ctx)
	require.NoError(t, err)
	entry, err := notes.GetLeader(ctx, "a.b")
	require.NoError(t, err)
	require.Equal(t, "first", entry.Value)
	require.Equal(t, "a.b", entry.Key)
	_, err = notes.GetLeader(ctx, "a")
	require.ErrorIs(t, err, kv.ErrNotFound)

	list := func() map[string]string {
		all := make(map[string]string)
		for e, err := range notes.List(ctx) {
			require.NoError(t, err)
			all[e.Key] = e.Value
		}
		return all
	}
	require.Equal(t, map[string]string{"a.b": "first", "=x": "second"}, list())
	for e, err := range b.List(ctx) {
		require.NoError(t, err)
		require.Equal(t, "a.b", e.Key, "a document alone")
	}

	batch = b.Batch()
	batch.Put("a.b", doc{N: 2})
	notes.DeleteIn(batch, "=x", last-1)
	_, err = batch.Commit(ctx)
	require.ErrorIs(t, err, kv.ErrConflict)
	batch = b.Batch()
	notes.DeleteIn(batch, "=x", last)
	_, err = batch.Commit(ctx)
	require.NoError(t, err)
	_, err = notes.Update(ctx, "a.b", "third", last)
	require.ErrorIs(t, err, kv.ErrConflict)
	_, err = notes.Update(ctx, "a.b", "third", last-1)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a.b": "third"}, list())
	require.NoError(t, notes.Delete(ctx, "a.b"))
	require.Empty(t, list())

	batch = other.Batch()
	notes.PutIn(batch, "a", "")
	_, err = batch.Commit(ctx)
	require.ErrorIs(t, err, kv.ErrOtherBucket)
}

func TestCellsAreWatched(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	notes, err := kv.NewCells[string](b, "note")
	require.NoError(t, err)
	one, err := kv.NewCell[string](b, "one")
	require.NoError(t, err)
	_, err = notes.Update(t.Context(), "a.b", "first", 0)
	require.NoError(t, err)
	revision, err := one.Update(t.Context(), "first", 0)
	require.NoError(t, err)
	_, err = one.Update(t.Context(), "second", revision+1)
	require.ErrorIs(t, err, kv.ErrConflict)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen []string
	for change, err := range notes.Watch(ctx) {
		if err != nil {
			require.ErrorIs(t, err, context.Canceled)
			break
		}
		switch {
		case change.Synced:
			seen = append(seen, "synced")
			_, err := one.Update(ctx, "second", revision)
			require.NoError(t, err)
			require.NoError(t, notes.Delete(ctx, "a.b"))
		case change.Deleted:
			seen = append(seen, "deleted "+change.Key)
			cancel()
		default:
			seen = append(seen, change.Key+" "+change.Value)
		}
	}
	require.Equal(t, []string{"a.b first", "synced", "deleted a.b"}, seen, "and nothing of the other cell")
	for _, err := range notes.List(ctx) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestAKeyThatIsNotAllowedIsNoCellsEither(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	notes, err := kv.NewCells[string](b, "note")
	require.NoError(t, err)
	_, err = notes.GetLeader(t.Context(), "")
	require.ErrorIs(t, err, kv.ErrInvalidKey)
	_, err = notes.Update(t.Context(), "", "", 0)
	require.ErrorIs(t, err, kv.ErrInvalidKey)
	require.ErrorIs(t, notes.Delete(t.Context(), ""), kv.ErrInvalidKey)
	for _, add := range []func(*kv.Batch[doc]){
		func(batch *kv.Batch[doc]) { notes.PutIn(batch, "", "") },
		func(batch *kv.Batch[doc]) { notes.UpdateIn(batch, "", "", 0) },
		func(batch *kv.Batch[doc]) { notes.DeleteIn(batch, "", 1) },
	} {
		batch := b.Batch()
		add(batch)
		_, err := batch.Commit(t.Context())
		require.ErrorIs(t, err, kv.ErrInvalidKey)
	}
}

func TestABulkIsStoredWhenItIsFlushed(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	bulk := b.Bulk()
	for i := range 3000 {
		require.NoError(t, bulk.Put(t.Context(), fmt.Sprint(i%1000), doc{N: i}))
	}
	require.NoError(t, bulk.Flush(t.Context()))
	require.NoError(t, bulk.Flush(t.Context()), "again is harmless")
	n := 0
	for e, err := range b.List(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(e.Value.N-2000), e.Key, "the last value counts")
		n++
	}
	require.Equal(t, 1000, n)
}

func TestABulkThatFailsKeepsItsError(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	b := open[doc](t, proxy.JetStream(t), "docs", &kv.Config{Timeout: 200_000_000})
	bulk := b.Bulk()
	require.ErrorIs(t, bulk.Put(t.Context(), "", doc{}), kv.ErrInvalidKey)
	require.ErrorIs(t, bulk.Put(t.Context(), "a", doc{}), kv.ErrInvalidKey, "what comes after is not written either")

	bulk = b.Bulk()
	proxy.DropAcks(1)
	for i := range 10 {
		require.NoError(t, bulk.Put(t.Context(), fmt.Sprint(i), doc{N: i}))
	}
	require.ErrorIs(t, bulk.Flush(t.Context()), kv.ErrUnknownOutcome)
	require.ErrorIs(t, bulk.Put(t.Context(), "a", doc{}), kv.ErrUnknownOutcome)
}
