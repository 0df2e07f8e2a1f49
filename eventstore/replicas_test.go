package eventstore_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

func TestAClusterKeepsAStoreThreeTimes(t *testing.T) {
	for name, test := range map[string]struct {
		js    jetstream.JetStream
		asked int
		kept  int
	}{
		"single server":          {eventstoretest.JetStream(t), 0, 1},
		"cluster":                {eventstoretest.NewCluster(t, 3, eventstoretest.Memory()).JetStream(t), 0, 3},
		"cluster, one asked for": {eventstoretest.NewCluster(t, 3, eventstoretest.Memory()).JetStream(t), 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			for _, replicas := range []int{test.asked, 0} { // made, and opened again
				store, err := eventstore.Open(t.Context(), test.js, "bank", events, &eventstore.Config{Replicas: replicas})
				require.NoError(t, err)
				require.NoError(t, store.Close())
				stream, err := test.js.Stream(t.Context(), "bank")
				require.NoError(t, err)
				require.Equal(t, test.kept, stream.CachedInfo().Config.Replicas)
			}
		})
	}
}

// A store knows that an operator has given its log more replicas: then a leader may not have caught up yet, and a
// position behind its end may still come.
func TestAPositionAheadOfALogThatWasRaisedIsWaitedFor(t *testing.T) {
	js := eventstoretest.NewCluster(t, 3, eventstoretest.Memory()).JetStream(t)
	reader, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Replicas: 1})
	require.NoError(t, err)
	defer reader.Close()
	writer, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer writer.Close()
	end := grow(t, writer, "a", 1, 1)[1].Position
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.Replicas = 3
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)

	read := make(chan error, 1)
	go func() {
		for _, err := range reader.All(t.Context(), eventstore.After(end+1)) {
			read <- err
			return
		}
		read <- nil
	}()
	require.Never(t, func() bool { return len(read) > 0 }, 200*time.Millisecond, 10*time.Millisecond)
	grow(t, writer, "a", 1, 1)
	require.NoError(t, <-read)
}
