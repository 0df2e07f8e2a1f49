package kv_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
)

// In a bucket that was deleted and created again, revisions begin again. A watch that goes on after its last revision
// would skip all that the new bucket holds up to there.
func TestAWatchOfABucketThatWasCreatedAgainEnds(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	js := server.JetStream(t)
	watched := open[doc](t, proxy.JetStream(t, nats.ReconnectWait(10*time.Millisecond)), "docs", nil)
	for _, key := range []string{"a", "b", "c"} {
		_, err := watched.Put(t.Context(), key, doc{N: 1})
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var last error
	for change, err := range watched.Watch(ctx) {
		last = err
		if !change.Synced {
			require.False(t, err == nil && change.Key == "new", "what came before it would be left out")
			continue
		}
		proxy.Cut() // so that the watch is not told
		require.NoError(t, js.DeleteStream(t.Context(), "KV_docs"))
		anew := open[doc](t, js, "docs", nil)
		for _, key := range []string{"x", "y", "z", "new"} {
			_, err := anew.Put(t.Context(), key, doc{N: 2})
			require.NoError(t, err)
		}
		proxy.Heal()
	}
	require.ErrorIs(t, last, jetstream.ErrStreamNotFound)
	require.ErrorContains(t, last, "created again")
}

// A subscriber of another program acknowledges the writes of the bucket, too.
func TestAWriteThatAnotherStreamAcknowledgesIsNotBelieved(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b := open[doc](t, js, "docs", quick)
	_, err := b.Put(t.Context(), "a", doc{N: 1})
	require.NoError(t, err)
	sub, err := js.Conn().Subscribe("$KV.docs.>", func(msg *nats.Msg) {
		_ = msg.Respond([]byte(`{"stream":"KV_docs","domain":"hub","seq":700}`))
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Unsubscribe()) }()
	require.Eventually(t, func() bool {
		revision, err := b.Put(t.Context(), "a", doc{N: 2})
		require.Less(t, revision, uint64(700))
		if err == nil {
			return false // the bucket's own answer was faster
		}
		require.ErrorContains(t, err, "stream KV_docs of domain hub")
		return true
	}, 20*time.Second, 10*time.Millisecond)
	_, err = b.Put(t.Context(), "a", doc{N: 3})
	require.ErrorIs(t, err, kv.ErrRefused)
}

func TestEveryWriteSaysSoonThatTheBucketWasDeleted(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b := open[doc](t, js, "docs", &kv.Config{Timeout: 20 * time.Second})
	revision, err := b.Put(t.Context(), "a", doc{N: 1})
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), "KV_docs"))
	began := time.Now()
	for name, write := range map[string]func() error{
		"Put":            func() error { _, err := b.Put(t.Context(), "a", doc{N: 2}); return err },
		"Create":         func() error { _, err := b.Create(t.Context(), "b", doc{N: 2}); return err },
		"Update":         func() error { _, err := b.Update(t.Context(), "a", doc{N: 2}, revision); return err },
		"Delete":         func() error { return b.Delete(t.Context(), "a") },
		"DeleteRevision": func() error { return b.DeleteRevision(t.Context(), "a", revision) },
		"MaxBatch":       func() error { _, err := b.MaxBatch(t.Context()); return err },
		"Commit": func() error {
			batch := b.Batch()
			batch.Put("a", doc{N: 2})
			batch.Put("b", doc{N: 2})
			_, err := batch.Commit(t.Context())
			return err
		},
	} {
		err := write()
		require.ErrorIs(t, err, kv.ErrNoBucket, name)
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound, name)
	}
	require.Less(t, time.Since(began), 20*time.Second)
}
