package kv_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
)

// The answer to a write is lost with the connection that it would come on, so nothing waits for it.
func TestAWriteWhoseConnectionBreaksIsSettledSoon(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	b := open[doc](t, proxy.JetStream(t, nats.ReconnectWait(10*time.Millisecond)), "docs", &kv.Config{Timeout: 80 * time.Second})
	breakAt := func(request bool) {
		var once sync.Once
		hit := func() (drop bool) {
			once.Do(func() {
				drop = true
				proxy.Cut()
				proxy.Heal()
			})
			return drop
		}
		proxy.DropRequests(func(subject string, _ []byte) bool {
			return request && strings.HasPrefix(subject, "$KV.docs.") && hit()
		})
		proxy.DropReplies(func(_ string, payload []byte) bool {
			return !request && strings.Contains(string(payload), `"seq":`) && hit()
		})
	}
	began := time.Now()
	for name, write := range map[string]func() error{
		"put":    func() error { _, err := b.Put(t.Context(), "put", doc{N: 1}); return err },
		"delete": func() error { return b.Delete(t.Context(), "put") },
	} {
		breakAt(false)
		require.NoError(t, write(), "%s that is stored", name)
		breakAt(true)
		require.ErrorIs(t, write(), kv.ErrUnknownOutcome, "%s that is not there", name)
	}
	for key, request := range map[string]bool{"lost request": true, "lost answer": false} {
		breakAt(request)
		revision, err := b.Create(t.Context(), key, doc{N: 1})
		require.NoError(t, err, key)
		breakAt(request)
		next, err := b.Update(t.Context(), key, doc{N: 2}, revision)
		require.NoError(t, err, key)
		require.Equal(t, revision+1, next, "stored once")
		breakAt(request)
		batch := b.Batch()
		batch.Put("x", doc{N: 1})
		batch.Put("y", doc{N: 1})
		if _, err = batch.Commit(t.Context()); err != nil { // a batch whose first message was not sent is sent again
			require.ErrorIs(t, err, kv.ErrUnknownOutcome, key)
		}
	}
	require.Less(t, time.Since(began), 35*time.Second)
}
