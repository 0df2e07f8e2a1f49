package eventstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// Messages arrive later over a long link than over a short one, and none of them is fetched again.
func TestALogIsReadOverALongLinkAsItIsSent(t *testing.T) {
	server := eventstoretest.NewServer(t)
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	const commits = 100
	grow(t, store, "a", slices.Repeat([]int{1}, commits)...)
	proxy := server.Proxy(t)
	reader, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer reader.Close()
	for _, delay := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond, 150 * time.Millisecond} {
		t.Run(fmt.Sprint(2*delay), func(t *testing.T) {
			proxy.Delay(delay)
			require.Len(t, decode(t, reader.All(t.Context())), commits)
			require.Zero(t, reader.Counters().Refetched)
		})
	}
}
