//go:build unix

package jsapi_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// The servers ask a replica at random, and go on asking one that stands still.
func TestAReplicaThatStandsStillDelaysNoDirectGet(t *testing.T) {
	cluster := eventstoretest.NewProcessCluster(t, 3)
	js := cluster.JetStream(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "docs", Subjects: []string{"docs.*"}, Replicas: 3, AllowDirect: true,
	})
	require.NoError(t, err)
	cluster.WaitForLeader(t, "docs")
	const messages = 16
	for range messages {
		_, err := js.Publish(t.Context(), "docs.a", []byte("1"))
		require.NoError(t, err)
	}
	leader := cluster.StreamLeader(t, "docs")
	at := slices.IndexFunc(cluster.Nodes(), func(node *eventstoretest.Process) bool { return node.URL() != leader.URL() })
	client := newClient(t, cluster.Nodes()[at].JetStream(t))
	leader.Pause()
	t.Cleanup(leader.Continue)
	require.Eventually(t, func() bool {
		_, err := client.LeaderLast(t.Context(), "docs", "docs.a")
		return err == nil
	}, time.Minute, 10*time.Millisecond, "another leads")
	within := func(t *testing.T, read func(ctx context.Context) error) {
		t.Helper()
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			require.NoError(t, read(ctx))
			cancel()
		}
	}
	silent := 0
	within(t, func(ctx context.Context) error {
		gets := client.Gets("docs")
		defer gets.Release()
		for sequence := range uint64(messages) {
			gets.AskData(sequence + 1)
		}
		for sequence := range uint64(messages) {
			m, err := gets.Sequence(ctx, sequence+1)
			if errors.Is(err, jsapi.ErrReplicaSilent) { // callers ask the leader
				silent++
				m, err = client.LeaderSequence(ctx, "docs", sequence+1)
			}
			if err != nil {
				return err
			}
			require.Equal(t, "1", string(m.Data))
		}
		return nil
	})
	require.Positive(t, silent, "the replica that stands still was asked")
	within(t, func(ctx context.Context) error {
		_, err := client.DirectLast(ctx, "docs", "docs.a")
		return err
	})
	within(t, func(ctx context.Context) error {
		part, err := client.DirectLastMany(ctx, "docs", []string{"docs.a"}, 1<<20)
		if errors.Is(err, jsapi.ErrNoReply) { // callers try again
			part, err = client.DirectLastMany(ctx, "docs", []string{"docs.a"}, 1<<20)
		}
		if err == nil {
			require.Len(t, part.Found, 1)
		}
		return err
	})
	within(t, func(ctx context.Context) error {
		_, err := client.DirectLast(ctx, "docs", "docs.b")
		require.ErrorIs(t, err, jsapi.ErrNotFound)
		return nil
	})
}
