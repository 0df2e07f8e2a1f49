package eventstore_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// A store in whose account there is no room for the bucket of the mark works without a mark.
func TestAStoreWithoutAControlBucketIsHealthy(t *testing.T) {
	js := eventstoretest.Limited(t, func(limits *server.JetStreamAccountLimits) { limits.MaxStreams = 1 })
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	_, err = js.KeyValue(t.Context(), "bank_control")
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
	require.NoError(t, health(t.Context(), store))
}

// Another program's message takes the place of the mark. Then nobody knows whether the log has lost its end.
func TestAMarkThatIsNoneIsALossThatMustBeAccepted(t *testing.T) {
	for what, data := range map[string]string{"text": "x", "another document": `{"name":"x"}`, "nothing": "", "no commit": `{"store":"1","position":7,"commit":"x"}`} {
		t.Run(what, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
			require.NoError(t, err)
			_, err = store.Append(t.Context(), account("a"), eventstore.Head{}, deposited{1})
			require.NoError(t, err)
			require.NoError(t, store.Close()) // it raises the mark
			_, err = js.Publish(t.Context(), "$KV.bank_control.mark", []byte(data))
			require.NoError(t, err)

			begin := time.Now()
			_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
			require.ErrorIs(t, err, eventstore.ErrLogRewound)
			require.NotErrorIs(t, err, eventstore.ErrUnavailable)
			require.ErrorContains(t, err, "key mark of bucket bank_control")
			require.ErrorContains(t, err, "AcceptRewind")
			require.Less(t, time.Since(begin), 5*time.Second, "a repetition changes nothing")
			salvaged, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Salvage: true})
			require.NoError(t, err)
			defer salvaged.Close()
			require.Equal(t, []eventstore.Event{deposited{1}}, decode(t, salvaged.All(t.Context())))

			var lost *eventstore.LogRewoundError
			_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
			require.ErrorAs(t, err, &lost)
			require.NoError(t, eventstore.AcceptRewind(t.Context(), js, lost))
			store, err = eventstore.Open(t.Context(), js, "bank", events, nil)
			require.NoError(t, err)
			require.NoError(t, store.Close())
			bucket, err := js.KeyValue(t.Context(), "bank_control")
			require.NoError(t, err)
			accepted, err := bucket.Get(t.Context(), "accepted")
			require.NoError(t, err)
			require.Equal(t, data, string(accepted.Value()))
		})
	}
}

// A bucket that somebody else has made may lose the mark, or keep it elsewhere.
func TestABucketThatLosesTheMarkIsRefused(t *testing.T) {
	for setting, edit := range map[string]func(*jetstream.StreamConfig){
		"max age":   func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"discard":   func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardOld, 2 },
		"max bytes": func(c *jetstream.StreamConfig) { c.Discard, c.MaxBytes = jetstream.DiscardOld, 4096 },
		"retention": func(c *jetstream.StreamConfig) { c.Retention = jetstream.InterestPolicy },
		"storage":   func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage },
		"subjects":  func(c *jetstream.StreamConfig) { c.Subjects = []string{"$KV.bank_control.view.>"} },
		"subject transform": func(c *jetstream.StreamConfig) {
			c.SubjectTransform = &jetstream.SubjectTransformConfig{Source: "$KV.bank_control.mark", Destination: "$KV.bank_control.x"}
		},
	} {
		t.Run(setting, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
			require.NoError(t, err)
			require.NoError(t, store.Close())
			stream, err := js.Stream(t.Context(), "KV_bank_control")
			require.NoError(t, err)
			cfg := stream.CachedInfo().Config
			require.NoError(t, js.DeleteStream(t.Context(), cfg.Name))
			edit(&cfg)
			_, err = js.CreateStream(t.Context(), cfg)
			require.NoError(t, err)
			_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
			require.ErrorIs(t, err, eventstore.ErrSettings)
			require.ErrorContains(t, err, "KV_bank_control")
		})
	}
}
