package kv_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/blockfile"
	"github.com/runnel-go/runnel/kv"
)

// torn returns a bucket on a server that stopped when revision upTo of these had reached the disk:
//
//	1     put a
//	2, 3  a batch that creates b, and the checkpoint
//	4 - 7 a batch that puts a, b and c, and the checkpoint
func torn(t *testing.T, upTo uint64) *kv.Bucket[doc] {
	t.Helper()
	server := eventstoretest.NewServer(t)
	b := open[doc](t, server.JetStream(t), "docs", nil)
	cell := checkpoints(t, b)
	_, err := b.Put(t.Context(), "a", doc{N: 1})
	require.NoError(t, err)
	batch := b.Batch()
	batch.Create("b", doc{N: 1})
	join(batch, cell).Update("checkpoint", checkpoint{Position: 1}, 0)
	at, err := batch.Commit(t.Context())
	require.NoError(t, err)
	batch = b.Batch()
	for _, key := range []string{"a", "b", "c"} {
		batch.Put(key, doc{N: 2})
	}
	join(batch, cell).Update("checkpoint", checkpoint{Position: 2}, at)
	at, err = batch.Commit(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(7), at)

	server.Stop()
	require.NoError(t, blockfile.CutBehind(server.StoreDir(), "KV_docs", upTo))
	server.Restart()
	return open[doc](t, server.JetStream(t), "docs", nil)
}

func TestABatchWithoutItsEndIsSeen(t *testing.T) {
	for upTo, want := range map[uint64]uint64{1: 0, 2: 2, 3: 0, 4: 4, 6: 6, 7: 0} {
		revision, err := within(torn(t, upTo)).Torn(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, revision, "up to %d is on the disk", upTo)
	}
	revision, err := within(open[doc](t, eventstoretest.JetStream(t), "docs", nil)).Torn(t.Context())
	require.NoError(t, err)
	require.Zero(t, revision, "nothing is whole")
}

func TestABatchUnderWayIsNotTakenForATornOne(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			default:
			}
			batch := b.Batch()
			for range 100 {
				batch.Put("a", doc{N: n})
			}
			if _, err := batch.Commit(t.Context()); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for range 500 {
		revision, err := within(b).Torn(t.Context())
		require.NoError(t, err)
		require.Zero(t, revision)
	}
	close(stop)
	<-done
}
