//go:build unix

package eventstoretest_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

func TestAClusterOfProcessesSurvivesTheEndOfANode(t *testing.T) {
	cluster := eventstoretest.NewProcessCluster(t, 3)
	js := cluster.JetStream(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"events.>"}, Replicas: 3})
	require.NoError(t, err)
	publish(t, js, "1")
	for name, end := range map[string]func(*eventstoretest.Process){
		"killed":  (*eventstoretest.Process).Kill,
		"retired": (*eventstoretest.Process).Retire,
	} {
		cluster.WaitForLeader(t, "EVENTS")
		leader := cluster.StreamLeader(t, "EVENTS")
		end(leader)
		require.NotEqual(t, leader.URL(), cluster.StreamLeader(t, "EVENTS").URL(), name)
		leader.Restart()
	}
	cluster.WaitForLeader(t, "EVENTS")
	require.Len(t, cluster.Nodes(), 3)
}
