package jsapi_test

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
)

// forgetful returns a JetStream context that says twice of each new stream that it does not exist. The leader of a
// cluster says so if it learns of the stream later than the servers that keep it.
func forgetful(t *testing.T) jetstream.JetStream {
	t.Helper()
	nc := eventstoretest.JetStream(t).Conn()
	var forgets atomic.Int64
	_, err := nc.Subscribe("forgetful.>", func(msg *nats.Msg) {
		request := strings.TrimPrefix(msg.Subject, "forgetful.")
		switch {
		case strings.HasPrefix(request, "STREAM.CREATE."):
			forgets.Store(2)
		case strings.HasPrefix(request, "STREAM.INFO.") && forgets.Add(-1) >= 0:
			require.NoError(t, msg.Respond([]byte(`{"error":{"code":404,"err_code":10059,"description":"stream not found"}}`)))
			return
		}
		require.NoError(t, nc.PublishRequest("$JS.API."+request, msg.Reply, msg.Data))
	})
	require.NoError(t, err)
	js, err := jetstream.NewWithAPIPrefix(nc, "forgetful")
	require.NoError(t, err)
	return js
}

func TestAStreamThatTheLeaderDoesNotKnowYetIsWaitedFor(t *testing.T) {
	js := forgetful(t)
	bucket, err := kv.Open[string](t.Context(), js, "docs", nil)
	require.NoError(t, err)
	require.NoError(t, bucket.Close())
	store, err := eventstore.Open(t.Context(), js, "bank", nil, nil)
	require.NoError(t, err)
	require.NoError(t, store.Close())
}
