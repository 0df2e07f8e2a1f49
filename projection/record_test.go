package projection_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
)

// everywhere runs a test on one server and, if that is not too slow, on a cluster of three that keeps three replicas.
func everywhere(t *testing.T, three bool, test func(t *testing.T, js jetstream.JetStream)) {
	t.Helper()
	t.Run("one replica", func(t *testing.T) { test(t, eventstoretest.JetStream(t)) })
	if three {
		t.Run("three replicas", func(t *testing.T) { test(t, eventstoretest.NewCluster(t, 3, eventstoretest.Memory()).JetStream(t)) })
	}
}

// openAt opens a store of which a cluster keeps three replicas.
func openAt(t *testing.T, js jetstream.JetStream) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// A record that is deleted takes the bucket from the runner, which would go on folding what nobody reads.
func TestAViewWhoseRecordIsDeletedIsBuiltAnew(t *testing.T) {
	everywhere(t, true, func(t *testing.T, js jetstream.JetStream) {
		store := openAt(t, js)
		view, reader := sums(t, store, 1, quick), sums(t, store, 1, quick)
		run(t, view)
		require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
		control, err := js.KeyValue(t.Context(), view.Control())
		require.NoError(t, err)
		older, err := control.Get(t.Context(), "view.sums")
		require.NoError(t, err)
		require.NoError(t, view.Rebuild(t.Context(), nil))

		for name, lose := range map[string]func() error{
			"deleted": func() error { return control.Delete(t.Context(), "view.sums") },
			"purged":  func() error { return control.Purge(t.Context(), "view.sums") },
			"older": func() error { // names a bucket that is retired
				_, err := control.Put(t.Context(), "view.sums", older.Value())
				return err
			},
		} {
			require.NoError(t, lose(), name)
			for _, v := range []*projection.View[balance]{view, reader} {
				end := deposit(t, store, "a", 1)
				require.NoError(t, v.WaitFor(t.Context(), end), name)
				_, err := v.Get(t.Context(), "a", projection.At(end))
				require.NoError(t, err)
				requireFolded(t, store, v)
			}
		}
	})
}
