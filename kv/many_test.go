package kv_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
)

func getManySeesBatchesWhole(t *testing.T, b *kv.Bucket[doc]) {
	ctx, cancel := context.WithCancel(t.Context())
	commit := func(n int) error {
		batch := b.Batch()
		for i := range 20 {
			batch.Put(fmt.Sprint(i), doc{N: n})
		}
		_, err := batch.Commit(ctx)
		return err
	}
	require.NoError(t, commit(0))
	require.Eventually(t, func() bool {
		many, err := b.GetMany(ctx, "0", "7", "19") // a replica that is behind may answer
		return err == nil && len(many) == 3
	}, 10*time.Second, time.Millisecond)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := 1; ctx.Err() == nil; n++ {
			_ = commit(n) // fails only once ctx has ended
		}
	}()
	for range 300 {
		many, err := b.GetMany(t.Context(), "0", "7", "19", "19")
		require.NoError(t, err)
		require.Len(t, many, 3)
		require.Equal(t, many["0"].Value, many["19"].Value)
		require.Equal(t, many["0"].Value, many["7"].Value)
	}
	cancel()
	<-done
}

func TestGetManyTakesMoreKeysThanOneRequest(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	wanted := make([]string, 2500)
	for i := range wanted {
		wanted[i] = fmt.Sprint(i)
	}
	none, err := b.GetMany(t.Context(), wanted...)
	require.NoError(t, err)
	require.Empty(t, none)
	empty, err := b.GetMany(t.Context())
	require.NoError(t, err)
	require.Empty(t, empty)

	for from := 0; from < len(wanted); from += 500 {
		batch := b.Batch()
		for _, key := range wanted[from : from+500] {
			batch.Put(key, doc{Text: key})
		}
		_, err := batch.Commit(t.Context())
		require.NoError(t, err)
	}
	many, err := b.GetMany(t.Context(), wanted...)
	require.NoError(t, err)
	require.Len(t, many, len(wanted))
	for _, key := range wanted {
		require.Equal(t, key, many[key].Value.Text)
	}
}

func BenchmarkGet(b *testing.B) {
	js := eventstoretest.JetStream(b)
	ours := open[doc](b, js, "docs", nil)
	theirs, err := js.KeyValue(b.Context(), "docs")
	require.NoError(b, err)
	_, err = ours.Put(b.Context(), "42", doc{N: 1, Text: "text"})
	require.NoError(b, err)
	b.Run("kv", func(b *testing.B) {
		for b.Loop() {
			_, err := ours.Get(b.Context(), "42")
			require.NoError(b, err)
		}
	})
	b.Run("nats", func(b *testing.B) {
		for b.Loop() {
			_, err := theirs.Get(b.Context(), "42")
			require.NoError(b, err)
		}
	})
}

func BenchmarkPut(b *testing.B) {
	js := eventstoretest.JetStream(b)
	ours := open[doc](b, js, "docs", nil)
	theirs, err := js.KeyValue(b.Context(), "docs")
	require.NoError(b, err)
	b.Run("kv", func(b *testing.B) {
		for b.Loop() {
			_, err := ours.Put(b.Context(), "42", doc{N: 1, Text: "text"})
			require.NoError(b, err)
		}
	})
	b.Run("nats", func(b *testing.B) {
		data := []byte(`{"N":1,"Text":"text"}`)
		for b.Loop() {
			_, err := theirs.Put(b.Context(), "42", data)
			require.NoError(b, err)
		}
	})
}
