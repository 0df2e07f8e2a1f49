package eventstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// lead makes a node the leader of the store's JetStream stream.
func lead(t *testing.T, cluster *eventstoretest.Cluster, node *eventstoretest.Server, js jetstream.JetStream) {
	t.Helper()
	require.Eventually(t, func() bool {
		if cluster.StreamLeader(t, "bank") == node {
			return true
		}
		_, _ = js.Conn().Request("$JS.API.STREAM.LEADER.STEPDOWN.bank", nil, time.Second) // whether it did is looked at
		return false
	}, time.Minute, 50*time.Millisecond)
	cluster.WaitForLeader(t, "bank")
}

// A bit flips on one of three replicas while its node is stopped. Whether that node then leads or follows, answers are
// the truth, or report the damage.
func TestOneDamagedReplicaOfThree(t *testing.T) {
	t.Parallel()
	cluster := eventstoretest.NewCluster(t, 3, eventstoretest.Memory())
	js := cluster.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{numbered{}}, &eventstore.Config{Replicas: 3})
	require.NoError(t, err)
	told := write(t, store)
	require.NoError(t, store.Close())
	cluster.WaitForLeader(t, "bank")
	cluster.WaitForLeader(t, "KV_bank_control")

	node := cluster.Nodes()[2]
	node.Stop()
	of := make(map[string][]record)
	for _, r := range records(t, node.StoreDir(), "bank") {
		of[r.subject] = append(of[r.subject], r)
	}
	several, once, twice := of["bank.account.several"], of["bank.account.once"], of["bank.account.twice"]
	several[2].flip(t, several[2].data+30, 0)
	once[0].flip(t, once[0].data+30, 0)
	twice[1].flip(t, recordHead+len("bank.account."), 0)
	node.Restart()
	cluster.WaitForLeader(t, "bank")
	cluster.WaitForLeader(t, "KV_bank_control")

	for _, damaged := range []bool{false, true} {
		leader := cluster.Nodes()[0]
		if damaged {
			leader = node
		}
		lead(t, cluster, leader, js)
		w := &witness{t: t, told: told, what: fmt.Sprintf("the leader is damaged: %t", damaged)}
		store := w.open(js)
		for range 5 { // any replica may answer a get, and the reader's consumer may be on any
			w.read(store)
		}
		w.verify(store)
		if damaged {
			w.append(store)
		}
		t.Logf("%s: told of by %v, %d positions refetched", w.what, w.reported, store.Counters().Refetched)
		require.NoError(t, store.Close())
		if damaged {
			require.Contains(t, w.reported, "load")
		} else {
			require.Empty(t, w.reported, "the leader has it whole")
		}
	}
}
