package snapshot_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/snapshot"
)

func TestWrongNumbersAreRefused(t *testing.T) {
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "grid", []eventstore.Event{Read{}}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	for want, cfg := range map[string]snapshot.Config{
		"FoldVersion is -1": {FoldVersion: -1}, "Every is -2": {Every: -2}, "Queue is -3": {Queue: -3}, "Replicas is -4": {Replicas: -4},
	} {
		_, err := snapshot.Open(t.Context(), store, "meter", &cfg)
		require.ErrorContains(t, err, "snapshot: open meter: "+want)
	}
}
