package eventstore_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// The acknowledgement of an append is lost with the connection that it would come on, so nothing waits for it.
func TestAnAppendWhoseConnectionBreaksIsSettledSoon(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	js := proxy.JetStream(t, nats.ReconnectWait(10*time.Millisecond))
	store, err := eventstore.Open(t.Context(), js, "bank", events,
		&eventstore.Config{AckTimeout: 40 * time.Second, AppendTimeout: 2 * time.Minute, Erasure: true})
	require.NoError(t, err)
	defer store.Close()
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
		proxy.DropRequests(func(subject string, _ []byte) bool { return request && strings.HasPrefix(subject, "bank.") && hit() })
		proxy.DropReplies(func(_ string, payload []byte) bool {
			return !request && strings.Contains(string(payload), `"seq":`) && hit()
		})
	}
	began := time.Now()
	for id, request := range map[string]bool{"request": true, "answer": false} {
		breakAt(request)
		first, err := store.Append(t.Context(), account(id), eventstore.Head{}, deposited{1})
		require.NoError(t, err, id)
		breakAt(request)
		_, err = store.AppendAll(t.Context(),
			eventstore.Write{Stream: account(id), Expected: first.Head(), Events: []eventstore.Event{deposited{2}}},
			eventstore.Write{Stream: account("beside " + id), Events: []eventstore.Event{deposited{3}}})
		require.NoError(t, err, id)
		require.Equal(t, []eventstore.Event{deposited{1}, deposited{2}}, decode(t, store.Stream(t.Context(), account(id), eventstore.Leader())))
		breakAt(request)
		require.NoError(t, store.Erase(t.Context(), account("beside "+id), "asked for"), id)
	}
	end, err := store.End(t.Context())
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(10), end, "each is stored once")
	require.Less(t, time.Since(began), 30*time.Second)
}
