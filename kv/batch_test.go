package kv_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/kv"
)

// maxBatch is how many writes a server takes in a batch by default.
const maxBatch = 1000

type checkpoint struct{ Position uint64 }

// beside opens what is kept beside a bucket.
func beside[U, T any](t testing.TB, b *kv.Bucket[T], place inside.Place) *kv.Bucket[U] {
	t.Helper()
	c, err := kv.Beside[U](b, place)
	require.NoError(t, err)
	return c
}

func checkpoints[T any](t testing.TB, b *kv.Bucket[T]) *kv.Bucket[checkpoint] {
	t.Helper()
	return beside[checkpoint](t, b, inside.Single())
}

func join[U, T any](batch *kv.Batch[T], beside *kv.Bucket[U]) *kv.Batch[U] {
	return kv.Join(inside.Pass{}, batch, beside)
}

func within[T any](b *kv.Bucket[T]) inside.Bucket[T] { return kv.Inside(inside.Pass{}, b) }

func batchIsWhole(t *testing.T, b *kv.Bucket[doc]) {
	ctx := t.Context()
	_, err := b.Put(ctx, "gone", doc{N: 1})
	require.NoError(t, err)
	old, err := b.Put(ctx, "old", doc{N: 1})
	require.NoError(t, err)

	batch := b.Batch()
	batch.Put("a", doc{N: 1})
	batch.Put("a", doc{N: 2})
	batch.Create("new", doc{N: 3})
	batch.Update("old", doc{N: 4}, old)
	batch.Delete("gone")
	require.Equal(t, 5, batch.Len())
	last, err := batch.Commit(ctx)
	require.NoError(t, err)
	require.Equal(t, old+5, last)

	for key, want := range map[string]kv.Entry[doc]{
		"a":   {Value: doc{N: 2}, Revision: last - 3},
		"new": {Value: doc{N: 3}, Revision: last - 2},
		"old": {Value: doc{N: 4}, Revision: last - 1},
	} {
		entry, err := b.GetLeader(ctx, key)
		require.NoError(t, err, key)
		require.Equal(t, want.Value, entry.Value)
		require.Equal(t, want.Revision, entry.Revision)
	}
	_, err = b.GetLeader(ctx, "gone")
	require.ErrorIs(t, err, kv.ErrNotFound)
}

func batchIsNothing(t *testing.T, b *kv.Bucket[doc]) {
	ctx := t.Context()
	at, err := b.Put(ctx, "42", doc{N: 1})
	require.NoError(t, err)
	for name, fill := range map[string]func(*kv.Batch[doc]){
		"create": func(batch *kv.Batch[doc]) { batch.Create("42", doc{}) },
		"update": func(batch *kv.Batch[doc]) { batch.Update("42", doc{}, at+9) },
	} {
		batch := b.Batch()
		batch.Put("a", doc{})
		fill(batch)
		batch.Put("b", doc{})
		_, err := batch.Commit(ctx)
		var conflict *kv.ConflictError
		require.ErrorAs(t, err, &conflict, name)
		require.Equal(t, "42", conflict.Key)
		require.Equal(t, at, conflict.Actual)
	}
	for _, key := range []string{"a", "b"} {
		_, err := b.GetLeader(ctx, key)
		require.ErrorIs(t, err, kv.ErrNotFound)
	}
	entry, err := b.GetLeader(ctx, "42")
	require.NoError(t, err)
	require.Equal(t, at, entry.Revision)
}

func batchCreatesAgain(t *testing.T, b *kv.Bucket[doc]) {
	ctx := t.Context()
	_, err := b.Put(ctx, "42", doc{N: 1})
	require.NoError(t, err)
	require.NoError(t, b.Delete(ctx, "42"))
	batch := b.Batch()
	batch.Put("a", doc{})
	batch.Create("42", doc{N: 2})
	_, err = batch.Commit(ctx)
	require.NoError(t, err)
	entry, err := b.GetLeader(ctx, "42")
	require.NoError(t, err)
	require.Equal(t, doc{N: 2}, entry.Value)
}

func TestBatchesHaveLimits(t *testing.T) {
	ctx := t.Context()
	js := eventstoretest.JetStream(t)
	b := open[doc](t, js, "docs", nil)
	_, err := b.Batch().Commit(ctx)
	require.ErrorContains(t, err, "the batch is empty")

	batch := b.Batch()
	for i := range maxBatch {
		batch.Put(fmt.Sprint(i), doc{N: i})
	}
	_, err = batch.Commit(ctx)
	require.NoError(t, err)
	batch = b.Batch()
	for i := range maxBatch + 1 {
		batch.Put(fmt.Sprint(i), doc{N: -1})
	}
	_, err = batch.Commit(ctx)
	require.ErrorIs(t, err, kv.ErrBatchTooLarge)

	batch = b.Batch()
	batch.Put("1", doc{})
	batch.Update("1", doc{}, 7)
	_, err = batch.Commit(ctx)
	require.ErrorContains(t, err, "the batch has written the key before")

	others := checkpoints(t, open[doc](t, js, "others", nil))
	batch = b.Batch()
	join(batch, others).Update("checkpoint", checkpoint{}, 0)
	_, err = batch.Commit(ctx)
	require.ErrorContains(t, err, "the batch belongs to another bucket")
}

func besideGuardsBatch(t *testing.T, b *kv.Bucket[doc]) {
	ctx := t.Context()
	cell := checkpoints(t, b)
	_, err := cell.GetLeader(ctx, "checkpoint")
	require.ErrorIs(t, err, kv.ErrNotFound)

	commit := func(n int, at uint64) (uint64, error) {
		batch := b.Batch()
		batch.Put("42", doc{N: n})
		join(batch, cell).Update("checkpoint", checkpoint{Position: uint64(n)}, at)
		return batch.Commit(ctx)
	}
	first, err := commit(1, 0)
	require.NoError(t, err)
	second, err := commit(2, first)
	require.NoError(t, err)
	_, err = commit(3, first)
	var conflict *kv.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, "=checkpoint", conflict.Key)
	require.Equal(t, second, conflict.Actual)

	entry, err := b.GetLeader(ctx, "42")
	require.NoError(t, err)
	require.Equal(t, 2, entry.Value.N)
	at, err := cell.GetLeader(ctx, "checkpoint")
	require.NoError(t, err)
	require.Equal(t, checkpoint{Position: 2}, at.Value)
	require.Equal(t, second, at.Revision)
	require.Eventually(t, func() bool {
		near, err := cell.Get(ctx, "checkpoint") // a replica that is behind may answer
		return err == nil && near == at
	}, 10*time.Second, time.Millisecond)
}

func TestWhatIsBesideIsNoneOfTheBucketsDocuments(t *testing.T) {
	ctx := t.Context()
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	cell := checkpoints(t, b)
	_, err := b.Put(ctx, "=checkpoint", doc{N: 1})
	require.NoError(t, err)
	_, err = cell.Put(ctx, "checkpoint", checkpoint{Position: 7})
	require.NoError(t, err)

	for _, pattern := range []string{">", "*"} {
		var keys []string
		for entry, err := range b.List(ctx, pattern) {
			require.NoError(t, err)
			keys = append(keys, entry.Key)
		}
		require.Equal(t, []string{"=checkpoint"}, keys, "the key that looks like one beside is another one")
	}
	for change, err := range cell.Watch(ctx, "checkpoint") {
		require.NoError(t, err)
		if change.Synced {
			break
		}
		require.Equal(t, checkpoint{Position: 7}, change.Value)
	}
}
