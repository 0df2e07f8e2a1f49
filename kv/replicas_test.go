package kv_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/kv"
)

// rules hold for any number of replicas. On a replicated stream the server decides conditions and batches by other code
// than on a single replica.
var rules = map[string]func(*testing.T, *kv.Bucket[doc]){
	"conditions hold or are conflicts":                   conditionsHold,
	"modify loses no update of many writers":             modifyLosesNothing,
	"a batch is stored whole and in order":               batchIsWhole,
	"a batch with a condition that fails stores nothing": batchIsNothing,
	"a batch creates what was deleted":                   batchCreatesAgain,
	"a document beside guards a batch":                   besideGuardsBatch,
	"get many sees a batch whole or not at all":          getManySeesBatchesWhole,
	"of many writers beside one wins each time":          oneBesideWriterWins,
	"a list has what was acknowledged before":            listIsUpToDate,
}

func TestRulesOnOneReplica(t *testing.T) { checkRules(t, eventstoretest.JetStream(t), 1) }

func TestRulesOnThreeReplicas(t *testing.T) {
	js := eventstoretest.NewCluster(t, 3).JetStream(t)
	checkRules(t, js, 3)
	t.Run("a document that is there is never missing", func(t *testing.T) {
		missesNothing(t, js, "kept-three-times", 3)
	})
	t.Run("a document is never missing in a bucket that was raised to three replicas", func(t *testing.T) {
		missesNothing(t, js, "raised", 1)
	})
}

func checkRules(t *testing.T, js jetstream.JetStream, replicas int) {
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			bucket := strings.ReplaceAll(name, " ", "-")
			rule(t, open[doc](t, js, bucket, &kv.Config{Replicas: replicas}))
		})
	}
}

// listIsUpToDate lists few documents, which fit into one answer, and then many.
func listIsUpToDate(t *testing.T, b *kv.Bucket[doc]) {
	for documents, times := range map[int]int{10: proptest.Volume(50, 150), 1100: proptest.Volume(15, 150)} {
		batch := b.Batch()
		for i := range min(documents, maxBatch) {
			batch.Put(fmt.Sprint("old.", documents, ".", i), doc{})
		}
		_, err := batch.Commit(t.Context())
		require.NoError(t, err)
		for i := range times {
			key := fmt.Sprint("new.", documents, ".", i)
			_, err := b.Put(t.Context(), key, doc{N: i})
			require.NoError(t, err)
			require.Contains(t, keys(t, b.List(t.Context())), key)
		}
	}
}

func oneBesideWriterWins(t *testing.T, b *kv.Bucket[doc]) {
	cell := checkpoints(t, b)
	at := uint64(0)
	for round := range 10 {
		const writers = 4
		type outcome struct {
			revision uint64
			err      error
		}
		outcomes := make(chan outcome, writers)
		for n := range writers {
			go func() {
				batch := b.Batch()
				batch.Put("42", doc{N: n})
				join(batch, cell).Update("checkpoint", checkpoint{Position: uint64(n)}, at)
				revision, err := batch.Commit(t.Context())
				outcomes <- outcome{revision, err}
			}()
		}
		won := uint64(0)
		for range writers {
			o := <-outcomes
			if o.err != nil {
				require.ErrorIs(t, o.err, kv.ErrConflict)
				continue
			}
			require.Zero(t, won, "round %d has two winners", round)
			won = o.revision
		}
		require.NotZero(t, won, "round %d has no winner", round)
		at = won
		document, err := b.GetLeader(t.Context(), "42")
		require.NoError(t, err)
		position, err := cell.GetLeader(t.Context(), "checkpoint")
		require.NoError(t, err)
		require.Equal(t, document.Value.N, int(position.Value.Position))
	}
}

func TestWatchAndWritesGoOnWhenTheLeaderStops(t *testing.T) {
	cluster := eventstoretest.NewCluster(t, 3)
	b := open[doc](t, cluster.JetStream(t), "docs", &kv.Config{Replicas: 3, Timeout: 30 * time.Second})
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for change, err := range b.Watch(ctx) {
		require.NoError(t, err)
		if change.Synced {
			cluster.StreamLeader(t, "KV_docs").Stop()
			_, err := b.Create(ctx, "42", doc{N: 1})
			require.NoError(t, err)
			continue
		}
		require.Equal(t, "42", change.Key)
		return
	}
}
