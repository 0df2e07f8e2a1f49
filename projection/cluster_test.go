//go:build unix

package projection_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/projection"
)

func viewOnCluster(t *testing.T, cluster *eventstoretest.ProcessCluster) (*eventstore.Store, *projection.View[balance]) {
	t.Helper()
	store, err := eventstore.Open(t.Context(), cluster.JetStream(t), "bank", events, &eventstore.Config{Replicas: 3})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	view, err := tally(t.Context(), store, 1, &projection.Config{Replicas: 3})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	return store, view
}

// The runner, the instance that stands by, and a reader outlive each trouble, and the view is the fold of the log.
func TestAViewOutlivesWhatPasses(t *testing.T) {
	t.Parallel()
	cluster := eventstoretest.NewProcessCluster(t, 3)
	up := time.Now()
	store, view := viewOnCluster(t, cluster)
	_, other := viewOnCluster(t, cluster)
	_, reader := viewOnCluster(t, cluster)
	stop := run(t, view)
	run(t, other)
	outlive := func(name string, trouble func()) {
		t.Log(name)
		trouble()
		var end eventstore.Position
		require.Eventually(t, func() bool {
			head, err := store.Head(t.Context(), account("a"))
			if err != nil {
				return false
			}
			c, err := store.Append(t.Context(), account("a"), head, deposited{Amount: 2, Text: "a"})
			end = c.Position
			return err == nil
		}, time.Minute, 100*time.Millisecond, "the cluster is back")
		require.NoError(t, reader.WaitFor(t.Context(), end))
		requireTally(t, store, reader)
	}
	require.NoError(t, reader.WaitFor(t.Context(), book(t, store, 20)))
	if proptest.Long() {
		outlive("the leader is killed", func() { cluster.KillLeader(t, "bank") })
		<-time.After(time.Until(up.Add(12 * time.Second)))
		outlive("servers retire", func() { cluster.RollingRestart(t, "bank") })
	}
	outlive("the quorum is lost", func() { cluster.LoseQuorum(t, time.Duration(proptest.Volume(3, 15))*time.Second) })
	stop()
	outlive("the other instance takes over", func() {})
}
