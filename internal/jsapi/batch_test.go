package jsapi_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// inSmallAccount returns a client of an account in which streams may have 20,000 bytes together, and such a stream.
func inSmallAccount(t *testing.T) (*jsapi.Client, jetstream.Stream) {
	t.Helper()
	js := eventstoretest.Limited(t, func(l *server.JetStreamAccountLimits) { l.MaxMemory = 20_000 })
	newStream(t, js)
	stream, err := js.Stream(t.Context(), "docs")
	require.NoError(t, err)
	return newClient(t, js), stream
}

// sized returns a batch of messages of so many bytes, each on a subject of its own.
func sized(sizes ...int) []jsapi.Write {
	writes := make([]jsapi.Write, len(sizes))
	for i, size := range sizes {
		writes[i] = jsapi.Write{Subject: fmt.Sprint("docs.", i), Data: make([]byte, size)}
	}
	return writes
}

func TestABatchSaysWhyAMessageInItsMiddleIsRefused(t *testing.T) {
	client, stream := inSmallAccount(t)
	publish(t, client, "docs.first", "without which the server knows of no use of the account")
	for range 2 {
		answer := client.PublishBatch(t.Context(), sized(1, 1, 50_000, 1, 1), timeout)
		require.Equal(t, jsapi.Full.String(), answer.Class.String(), answer.Err)
		require.ErrorContains(t, answer.Err, "resource limits exceeded for account")
	}
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(1), info.State.LastSeq)
	require.Equal(t, jsapi.Stored, client.PublishBatch(t.Context(), sized(1, 1, 5000, 1, 1), timeout).Class)
}

// Each message has room, and all together have none. A server that holds the only replica notices that while it stores
// them, keeps what it has stored, and says nothing.
func TestABatchThatIsNeverAnsweredIsNotWaitedFor(t *testing.T) {
	client, stream := inSmallAccount(t)
	answer := client.PublishBatch(t.Context(), sized(6000, 6000, 6000, 6000, 6000), timeout)
	require.Equal(t, jsapi.Unknown, answer.Class)
	require.ErrorContains(t, answer.Err, "the server stopped in the middle of the batch")
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(3), info.State.LastSeq, "the server has torn the batch")
	require.Equal(t, jsapi.Full, client.PublishBatch(t.Context(), sized(6000, 6000), timeout).Class)
}
