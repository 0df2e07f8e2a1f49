package kv_test

import (
	"bytes"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/kv"
)

func TestARevisionThatIsNotThereIsAConflict(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	cells := beside[string](t, b, inside.Named("note"))
	revision, err := b.Put(t.Context(), "a", doc{N: 1})
	require.NoError(t, err)
	note, err := cells.Update(t.Context(), "a", "first", 0)
	require.NoError(t, err)
	for _, wrong := range []uint64{math.MaxUint64, math.MaxUint64 - 1, math.MaxInt64 + 1, math.MaxInt64, note + 1} {
		batch := func(add func(*kv.Batch[doc])) error {
			batch := b.Batch()
			batch.Put("beside", doc{})
			add(batch)
			_, err := batch.Commit(t.Context())
			return err
		}
		_, update := b.Update(t.Context(), "a", doc{N: 2}, wrong)
		_, absent := b.Update(t.Context(), "never there", doc{N: 2}, wrong)
		_, besides := cells.Update(t.Context(), "a", "second", wrong)
		for name, err := range map[string]error{
			"update": update, "update of nothing": absent, "delete": b.DeleteRevision(t.Context(), "a", wrong), "beside": besides,
			"in a batch":                  batch(func(batch *kv.Batch[doc]) { batch.Update("a", doc{N: 2}, wrong) }),
			"one beside in a batch":       batch(func(batch *kv.Batch[doc]) { join(batch, cells).Update("a", "second", wrong) }),
			"one beside deleted in it":    batch(func(batch *kv.Batch[doc]) { join(batch, cells).DeleteRevision("a", wrong) }),
			"after a put of the same key": batch(func(batch *kv.Batch[doc]) { batch.Update("never there", doc{}, wrong) }),
		} {
			var conflict *kv.ConflictError
			require.ErrorAs(t, err, &conflict, "%s at %d", name, wrong)
			demanded := conflict.Expected
			require.Equal(t, wrong, demanded)
		}
	}
	entry, err := b.GetLeader(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, revision, entry.Revision)
}

func TestABucketOfSmallMessages(t *testing.T) {
	js := eventstoretest.JetStream(t)
	create := func(name string, size int32) {
		t.Helper()
		_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: name, MaxValueSize: size})
		require.NoError(t, err)
	}
	create("tiny", 255)
	_, err := kv.Open[string](t.Context(), js, "tiny", nil)
	require.ErrorIs(t, err, kv.ErrSettings, "a document in a batch would hardly have room beside its headers")

	for name, size := range map[string]int32{"small": 256, "medium": 1024} {
		create(name, size)
		b := open[string](t, js, name, nil)
		cell := beside[string](t, b, inside.Single())
		at := uint64(0)
		for _, put := range map[string]func(value string) error{
			"put":    func(value string) error { _, err := b.Put(t.Context(), "a", value); return err },
			"update": func(value string) error { at, err = cell.Update(t.Context(), "c", value, at); return err },
			"bulk": func(value string) error {
				bulk := within(b).Bulk()
				_ = bulk.Put(t.Context(), "b", value)
				return bulk.Flush(t.Context())
			},
			"batch": func(value string) error {
				batch := b.Batch()
				batch.Put("a", "x")
				batch.Put("b", value)
				batch.Delete("c")
				_, err := batch.Commit(t.Context())
				return err
			},
		} {
			err := put(strings.Repeat("x", int(size)))
			limit := limitIn(t, err)
			require.Greater(t, limit, int(size)-192)
			require.ErrorContains(t, err, "max_msg_size")
			require.NoError(t, put(strings.Repeat("x", limit-2)), "%s: the limit itself is stored, headers included", name)
		}
		require.NoError(t, b.Delete(t.Context(), "a"))
	}
}

func TestABatchLimitOfTheOperator(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 50, 999, 1000, 5000} {
		js := eventstoretest.JetStream(t, eventstoretest.Options(func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = limit }))
		b := open[doc](t, js, "docs", nil)
		got, err := b.MaxBatch(t.Context())
		require.NoError(t, err)
		require.Equal(t, min(limit, maxBatch), got)
		commit := func(n int) error {
			batch := b.Batch()
			for i := range n {
				batch.Put(strconv.Itoa(i), doc{N: n})
			}
			_, err := batch.Commit(t.Context())
			return err
		}
		require.NoError(t, commit(got))
		if got < maxBatch {
			err := commit(got + 1)
			require.ErrorIs(t, err, kv.ErrBatchTooLarge)
			require.NotErrorIs(t, err, kv.ErrTooLarge, "each document is small")
		}
		entry, err := b.Get(t.Context(), "0")
		require.NoError(t, err)
		require.Equal(t, got, entry.Value.N)
	}
}

func TestABucketGetsALimitIfTheAccountDemandsOne(t *testing.T) {
	js := eventstoretest.Limited(t, func(l *server.JetStreamAccountLimits) {
		l.MaxStore, l.MaxBytesRequired, l.StoreMaxStreamBytes = 64<<20, true, 4<<20
	})
	bound := func(bucket string) int64 {
		s, err := js.Stream(t.Context(), "KV_"+bucket)
		require.NoError(t, err)
		return s.CachedInfo().Config.MaxBytes
	}
	open[doc](t, js, "named", &kv.Config{MaxBytes: 1 << 20})
	require.EqualValues(t, 1<<20, bound("named"))
	var log bytes.Buffer
	b := open[doc](t, js, "derived", &kv.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.EqualValues(t, 4<<20, bound("derived"), "an eighth of what is left would be more than one stream may have")
	require.Contains(t, log.String(), "demands a limit")
	_, err := b.Put(t.Context(), "a", doc{N: 1})
	require.NoError(t, err)
	for i := range 40 { // each bucket gets a part of what the others left
		open[doc](t, js, strconv.Itoa(i), nil)
		require.Positive(t, bound(strconv.Itoa(i)))
	}
	memory := &kv.Config{Storage: jetstream.MemoryStorage}
	open[doc](t, js, "memory", memory)
	require.Positive(t, bound("memory"))
}

func TestABucketWorksIfTheDuplicateWindowIsLimited(t *testing.T) {
	js := eventstoretest.JetStream(t, eventstoretest.Options(func(o *server.Options) { o.JetStreamLimits.Duplicates = time.Second }))
	b := open[doc](t, js, "docs", nil)
	_, err := b.Put(t.Context(), "a", doc{N: 1})
	require.NoError(t, err)
}
