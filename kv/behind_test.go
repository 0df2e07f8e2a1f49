package kv_test

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/kv"
)

// behind answers some direct gets as a replica that catches up: it has the messages up to a sequence, and has deleted
// those that a later message replaces. It answers the direct gets after them as a replica that has all messages.
type behind struct {
	upTo uint64
	left atomic.Int64
}

// between returns a JetStream context whose direct gets it answers.
func (b *behind) between(t *testing.T, js jetstream.JetStream) jetstream.JetStream {
	t.Helper()
	nc := js.Conn()
	between, err := nc.Subscribe("behind.>", func(msg *nats.Msg) {
		request := strings.TrimPrefix(msg.Subject, "behind.")
		data := msg.Data
		if strings.HasPrefix(request, "DIRECT.GET.") && b.left.Add(-1) >= 0 {
			data = upToSequence(t, msg.Data, b.upTo)
		}
		require.NoError(t, nc.PublishRequest("$JS.API."+request, msg.Reply, data))
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, between.Unsubscribe()) })
	prefixed, err := jetstream.NewWithAPIPrefix(nc, "behind")
	require.NoError(t, err)
	return prefixed
}

// raise raises a stream to three replicas, and waits until they are up to date.
func raise(t *testing.T, js jetstream.JetStream, stream string) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	cfg.Replicas = 3
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		info, err := s.Info(t.Context())
		return err == nil && info.Cluster != nil && len(info.Cluster.Replicas) == 2 && info.Cluster.Replicas[0].Current && info.Cluster.Replicas[1].Current
	}, 30*time.Second, 20*time.Millisecond)
}

// upToSequence makes a request for last messages one for those up to a sequence.
func upToSequence(t *testing.T, data []byte, upTo uint64) []byte {
	t.Helper()
	var request map[string]any
	require.NoError(t, json.Unmarshal(data, &request))
	if subject, ok := request["last_by_subj"]; ok {
		delete(request, "last_by_subj")
		request["multi_last"] = []any{subject}
	}
	request["up_to_seq"] = upTo
	edited, err := json.Marshal(request)
	require.NoError(t, err)
	return edited
}

// missesNothing opens a bucket that is made with some replicas, and raises it to three while it is open.
func missesNothing(t *testing.T, js jetstream.JetStream, bucket string, replicas int) {
	replica := &behind{}
	b := open[doc](t, replica.between(t, js), bucket, &kv.Config{Replicas: replicas, Timeout: 2 * time.Second})
	if replicas < 3 {
		raise(t, js, "KV_"+bucket)
	}
	_, err := b.Put(t.Context(), "replaced", doc{N: 1})
	require.NoError(t, err)
	replica.upTo, err = b.Put(t.Context(), "other", doc{})
	require.NoError(t, err)
	_, err = b.Put(t.Context(), "replaced", doc{N: 2})
	require.NoError(t, err)

	replica.left.Store(1_000_000)
	got, err := b.Get(t.Context(), "replaced")
	require.NoError(t, err)
	require.Equal(t, 2, got.Value.N)
	_, err = b.Get(t.Context(), "never")
	require.ErrorIs(t, err, kv.ErrNotFound)
	none, err := b.GetMany(t.Context(), "never")
	require.NoError(t, err)
	require.Empty(t, none)
	_, err = b.GetMany(t.Context(), "replaced", "never")
	require.ErrorIs(t, err, kv.ErrUnavailable, "while the replica is behind, no answer is of one point in time")

	replica.left.Store(2)
	many, err := b.GetMany(t.Context(), "replaced", "never")
	require.NoError(t, err)
	require.Equal(t, 2, many["replaced"].Value.N)
	require.Len(t, many, 1)
}
