//go:build unix

package eventstoretest

import (
	"testing"
	"time"
)

// KillLeader kills the node that leads the JetStream stream, and restarts it when another node leads. It returns when
// the stream's replicas have caught up.
func (c *ProcessCluster) KillLeader(t testing.TB, stream string) {
	t.Helper()
	leader := c.StreamLeader(t, stream)
	leader.Kill()
	c.StreamLeader(t, stream)
	leader.Restart()
	c.WaitForLeader(t, stream)
}

// LoseQuorum kills all nodes but one, and restarts them after a while.
func (c *ProcessCluster) LoseQuorum(t testing.TB, while time.Duration) {
	t.Helper()
	lost := c.nodes[1:]
	for _, node := range lost {
		node.Kill()
	}
	timer := time.NewTimer(while)
	defer timer.Stop()
	<-timer.C
	for _, node := range lost {
		node.Restart()
	}
}

// RollingRestart retires and restarts one node after the other, as for an upgrade. It waits each time until the
// replicas of the JetStream stream have caught up.
func (c *ProcessCluster) RollingRestart(t testing.TB, stream string) {
	t.Helper()
	for _, node := range c.nodes {
		node.Retire()
		node.Restart()
		c.WaitForLeader(t, stream)
	}
}
