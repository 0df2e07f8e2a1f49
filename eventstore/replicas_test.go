package eventstore_test

import (
	"testing"

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
