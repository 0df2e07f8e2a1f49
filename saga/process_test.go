//go:build unix

package saga_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/saga"
)

// onCluster opens a bank on three replicas, and a manager of payments that await an answer.
func onCluster(t *testing.T, cluster *eventstoretest.ProcessCluster) (*bank, *saga.Manager[payment]) {
	t.Helper()
	store, err := eventstore.Open(t.Context(), cluster.JetStream(t), "bank", storeEvents(),
		&eventstore.Config{Replicas: 3, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	b := bankOf(t, store)
	retry := saga.Retry{Tries: 100, Backoff: 20 * time.Millisecond, MaxBackoff: time.Second}
	return b, open(t, b, define(t, "payment",
		saga.Step("hold", b.hold).Undo(b.giveBack).Retry(retry),
		saga.Await("answer", onAnswer()).Within(time.Hour),
		saga.Step("pay", b.payOut).Retriable().Retry(retry),
	), &saga.Config{Replicas: 3})
}

// Two managers that run outlive each trouble. A saga that began before the trouble is completed after it, and so is a
// saga that begins then.
func TestSagasOutliveWhatPasses(t *testing.T) {
	if !proptest.Long() {
		t.Skip("a short loss of the quorum is waited out below the runner of sagas: it takes a minute to lose it for longer")
	}
	cluster := eventstoretest.NewProcessCluster(t, 3)
	up := time.Now()
	b, m := onCluster(t, cluster)
	_, other := onCluster(t, cluster)
	stop := run(t, m)
	run(t, other)
	b.payIn(t, "anna", 1000)
	started := 0
	start := func() (id string) {
		started++
		id = fmt.Sprint(started)
		require.Eventually(t, func() bool {
			_, err := m.Start(t.Context(), id, payment{From: "anna", Amount: 10})
			return err == nil
		}, time.Minute, 100*time.Millisecond, "the cluster is back")
		return id
	}
	outlive := func(name string, trouble func()) {
		t.Log(name)
		before := start()
		until(t, m, before, saga.StateWaiting)
		trouble()
		for _, id := range []string{before, start()} {
			b.answer(t, id, true)
			done, err := m.Wait(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, saga.StateCompleted, done.State)
		}
	}
	outlive("the leader is killed", func() { cluster.KillLeader(t, "bank") })
	<-time.After(time.Until(up.Add(12 * time.Second)))
	outlive("servers retire", func() { cluster.RollingRestart(t, "bank") })
	outlive("the quorum is lost", func() { cluster.LoseQuorum(t, 15*time.Second) })
	stop()
	outlive("one manager is left", func() {})
	anna, err := b.accounts.Load(t.Context(), "anna")
	require.NoError(t, err)
	require.Equal(t, account{Free: 1000 - int64(10*started), Held: []held{}, Paid: int64(10 * started)}, anna.State)
}
