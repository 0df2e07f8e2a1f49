package kv_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/kv"
)

func TestWhatIsBesideIsWrittenWithTheDocuments(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b, other := open[doc](t, js, "docs", nil), open[doc](t, js, "others", nil)
	notes := beside[string](t, b, inside.Named("note"))
	ctx := t.Context()

	batch := b.Batch()
	batch.Put("a.b", doc{N: 1})
	join(batch, notes).Put("a.b", "first")
	join(batch, notes).Update("=x", "second", 0)
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
	join(batch, notes).DeleteRevision("=x", last-1)
	_, err = batch.Commit(ctx)
	require.ErrorIs(t, err, kv.ErrConflict)
	batch = b.Batch()
	join(batch, notes).DeleteRevision("=x", last)
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
	join(batch, notes).Put("a", "")
	_, err = batch.Commit(ctx)
	require.ErrorContains(t, err, "the batch belongs to another bucket")
}

func TestWhatIsBesideIsWatched(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	notes, singles := beside[string](t, b, inside.Named("note")), beside[string](t, b, inside.Single())
	_, err := notes.Update(t.Context(), "a.b", "first", 0)
	require.NoError(t, err)
	revision, err := singles.Update(t.Context(), "one", "first", 0)
	require.NoError(t, err)
	_, err = singles.Update(t.Context(), "one", "second", revision+1)
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
			_, err := singles.Update(ctx, "one", "second", revision)
			require.NoError(t, err)
			require.NoError(t, notes.Delete(ctx, "a.b"))
		case change.Deleted:
			seen = append(seen, "deleted "+change.Key)
			cancel()
		default:
			seen = append(seen, change.Key+" "+change.Value)
		}
	}
	require.Equal(t, []string{"a.b first", "synced", "deleted a.b"}, seen, "and nothing of the other place")
	for _, err := range notes.List(ctx) {
		require.ErrorIs(t, err, context.Canceled)
	}
}

func TestAKeyThatIsNotAllowedIsRefusedBesideABucket(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	notes := beside[string](t, b, inside.Named("note"))
	_, err := notes.GetLeader(t.Context(), "")
	require.ErrorIs(t, err, kv.ErrInvalidKey)
	_, err = notes.Update(t.Context(), "", "", 0)
	require.ErrorIs(t, err, kv.ErrInvalidKey)
	require.ErrorIs(t, notes.Delete(t.Context(), ""), kv.ErrInvalidKey)
	for _, add := range []func(*kv.Batch[doc]){
		func(batch *kv.Batch[doc]) { join(batch, notes).Put("", "") },
		func(batch *kv.Batch[doc]) { join(batch, notes).Update("", "", 0) },
		func(batch *kv.Batch[doc]) { join(batch, notes).DeleteRevision("", 1) },
	} {
		batch := b.Batch()
		add(batch)
		_, err := batch.Commit(t.Context())
		require.ErrorIs(t, err, kv.ErrInvalidKey)
	}
}

// A batch that writes a document and what is beside it is seen whole or not at all, though another goroutine commits
// batches all the time.
func TestWhatIsBesideIsReadAsOfOneMoment(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	at, notes := checkpoints(t, b), beside[string](t, b, inside.Named("note"))
	commit := func(ctx context.Context, n int) error {
		batch := b.Batch()
		batch.Put("a", doc{N: n})
		join(batch, notes).Put("a", fmt.Sprint(n))
		join(batch, at).Put("checkpoint", checkpoint{Position: uint64(n)})
		_, err := batch.Commit(ctx)
		return err
	}
	require.NoError(t, commit(t.Context(), 0))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ctx.Err() == nil; n++ {
			_ = commit(ctx, n) // fails only once ctx has ended
		}
	}()
	defer func() { cancel(); <-done }()
	bucket := within(b)
	for range 300 {
		var d inside.Found[doc]
		var note, none inside.Found[string]
		var position inside.Found[checkpoint]
		require.NoError(t, bucket.Read(t.Context(), within(notes).Into("b", &none), bucket.Into("a", &d),
			within(at).Into("checkpoint", &position), within(notes).Into("a", &note)))
		require.Equal(t, d.Value.N, int(position.Value.Position))
		require.Equal(t, fmt.Sprint(d.Value.N), note.Value)
		require.Equal(t, d.Revision+1, note.Revision)
		require.Zero(t, none)
	}
	require.ErrorIs(t, bucket.Read(t.Context(), within(notes).Into("", nil)), kv.ErrInvalidKey)
}

func TestABulkIsStoredWhenItIsFlushed(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	bulk := within(b).Bulk()
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
	bulk := within(b).Bulk()
	require.ErrorIs(t, bulk.Put(t.Context(), "", doc{}), kv.ErrInvalidKey)
	require.ErrorIs(t, bulk.Put(t.Context(), "a", doc{}), kv.ErrInvalidKey, "what comes after is not written either")

	bulk = within(b).Bulk()
	proxy.DropAcks(1)
	for i := range 10 {
		require.NoError(t, bulk.Put(t.Context(), fmt.Sprint(i), doc{N: i}))
	}
	require.ErrorIs(t, bulk.Flush(t.Context()), kv.ErrUnknownOutcome)
	require.ErrorIs(t, bulk.Put(t.Context(), "a", doc{}), kv.ErrUnknownOutcome)
}
