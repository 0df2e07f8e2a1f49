package snapshot_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/defaults/defaultstest"
	"github.com/runnel-go/runnel/snapshot"
)

func TestWrongNumbersAreRefused(t *testing.T) {
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "grid", []eventstore.Event{Read{}}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	defaultstest.Refused(t, eventstore.ErrSettings, func(cfg *snapshot.Config) error {
		_, err := snapshot.Open(t.Context(), store, "meter", cfg)
		return err
	}, map[string][]snapshot.Config{
		"FoldVersion": {{FoldVersion: -1}}, "Every": {{Every: -2}}, "Queue": {{Queue: -3}}, "Replicas": {{Replicas: -4}, {Replicas: 6}},
		"Storage": {{Storage: 7}},
	})
}
