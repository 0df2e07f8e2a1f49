//go:build unix

package reactor_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/reactor"
)

// onCluster opens a reactor on a store of three replicas. Its reaction is in the journal.
func onCluster(t *testing.T, cluster *eventstoretest.ProcessCluster, j *journal) (*eventstore.Store, *reactor.Reactor) {
	t.Helper()
	store, err := eventstore.Open(t.Context(), cluster.JetStream(t), "bank", events, &eventstore.Config{Replicas: 3})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store, newReactor(t, store, quick(), j.reaction())
}

func requireThreeReplicas(t *testing.T, store *eventstore.Store) {
	t.Helper()
	bucket, err := store.JetStream().Stream(t.Context(), "KV_bank_control")
	require.NoError(t, err)
	require.Equal(t, 3, bucket.CachedInfo().Config.Replicas)
}

// The runner and the instance that stands by outlive each trouble, and everything is handled. A server that has no
// leader says so once it has run for ten seconds: JetStream system temporarily unavailable.
func TestAReactorOutlivesWhatPasses(t *testing.T) {
	if !proptest.Long() {
		t.Skip("a short loss of the quorum is waited out below the reactor: it takes a minute to lose it for longer")
	}
	cluster := eventstoretest.NewProcessCluster(t, 3)
	up := time.Now()
	j := newJournal()
	store, mails := onCluster(t, cluster, j)
	_, other := onCluster(t, cluster, j)
	requireThreeReplicas(t, store)
	react(t, mails)
	stopOther := react(t, other)
	appended := 1
	settled(t, mails, deposit(t, store, "a", 1))
	outlive := func(name string, trouble func()) {
		t.Log(name)
		trouble()
		settled(t, mails, depositAtLast(t, store))
		appended++
		requireAllHandled(t, j, appended)
	}
	outlive("the leader is killed", func() { cluster.KillLeader(t, "bank") })
	<-time.After(time.Until(up.Add(12 * time.Second)))
	outlive("servers retire", func() { cluster.RollingRestart(t, "bank") })
	outlive("servers freeze", func() { freezeEach(cluster, 5*time.Second) })
	outlive("the quorum is lost", func() { cluster.LoseQuorum(t, 15*time.Second) })
	stopOther()
	outlive("one instance is left", func() {})
}

func freezeEach(cluster *eventstoretest.ProcessCluster, while time.Duration) {
	for _, node := range cluster.Nodes() {
		node.Pause()
		<-time.After(while)
		node.Continue()
	}
}

// depositAtLast deposits once the cluster is back.
func depositAtLast(t *testing.T, store *eventstore.Store) (last eventstore.Position) {
	t.Helper()
	require.Eventually(t, func() bool {
		head, err := store.Head(t.Context(), account("a"))
		if err != nil {
			return false
		}
		c, err := store.Append(t.Context(), account("a"), head, deposited{Amount: 2})
		last = c.Position
		return err == nil
	}, time.Minute, 100*time.Millisecond, "the cluster is back")
	return last
}

// requireAllHandled requires that each version was handled. Some may have been handled again.
func requireAllHandled(t *testing.T, j *journal, n int) {
	t.Helper()
	handled := make(map[eventstore.Version]bool)
	for _, version := range j.of("a") {
		handled[version] = true
	}
	for version := range eventstore.Version(n) {
		require.True(t, handled[version+1], "version %d", version+1)
	}
}
