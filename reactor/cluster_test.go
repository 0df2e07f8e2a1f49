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

func TestTheControlBucketHasTheReplicasOfTheStore(t *testing.T) {
	cluster := eventstoretest.NewProcessCluster(t, 3)
	store, _ := onCluster(t, cluster, newJournal())
	bucket, err := store.JetStream().Stream(t.Context(), "KV_bank_control")
	require.NoError(t, err)
	require.Equal(t, 3, bucket.CachedInfo().Config.Replicas)
}

// A server that has run for ten seconds and has no leader says so: JetStream system temporarily unavailable.
func TestAReactorOutlivesWhatPasses(t *testing.T) {
	if !proptest.Long() {
		t.Skip("it takes a minute for each")
	}
	for name, disturb := range map[string]func(*eventstoretest.ProcessCluster){
		"a lost quorum": func(cluster *eventstoretest.ProcessCluster) {
			lost := cluster.Nodes()[1:]
			for _, node := range lost {
				node.Kill()
			}
			<-time.After(15 * time.Second)
			for _, node := range lost {
				node.Restart()
			}
		},
		"a rolling restart": func(cluster *eventstoretest.ProcessCluster) {
			for _, node := range cluster.Nodes() {
				node.Retire()
				node.Restart()
				cluster.WaitForLeader(t, "bank")
			}
		},
		"frozen servers": func(cluster *eventstoretest.ProcessCluster) {
			for _, node := range cluster.Nodes() {
				node.Pause()
				<-time.After(5 * time.Second)
				node.Continue()
			}
		},
	} {
		t.Run(name, func(t *testing.T) { outlive(t, disturb) })
	}
}

func outlive(t *testing.T, disturb func(*eventstoretest.ProcessCluster)) {
	t.Helper()
	cluster := eventstoretest.NewProcessCluster(t, 3)
	up := time.Now()
	j := newJournal()
	store, mails := onCluster(t, cluster, j)
	_, other := onCluster(t, cluster, j)
	react(t, mails)
	react(t, other)
	settled(t, mails, deposit(t, store, "a", 1))
	<-time.After(time.Until(up.Add(12 * time.Second)))
	disturb(cluster)
	var last eventstore.Position
	require.Eventually(t, func() bool {
		head, err := store.Head(t.Context(), account("a"))
		if err != nil {
			return false
		}
		c, err := store.Append(t.Context(), account("a"), head, deposited{Amount: 2})
		if err == nil {
			last = c.Position
		}
		return err == nil
	}, time.Minute, 100*time.Millisecond, "the cluster is back")
	settled(t, mails, last)
	handled := make(map[eventstore.Version]bool)
	for _, version := range j.of("a") {
		handled[version] = true
	}
	for version := range eventstore.Version(len(handled)) {
		require.True(t, handled[version+1], "version %d", version+1)
	}
}
