package kv_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/defaults/defaultstest"
	"github.com/runnel-go/runnel/kv"
)

func TestOpenMakesTheBucketThatNATSMakes(t *testing.T) {
	js := eventstoretest.JetStream(t)
	open[doc](t, js, "ours", nil)
	_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "theirs"})
	require.NoError(t, err)

	config := func(name string) jetstream.StreamConfig {
		s, err := js.Stream(t.Context(), name)
		require.NoError(t, err)
		return s.CachedInfo().Config
	}
	ours, theirs := config("KV_ours"), config("KV_theirs")
	require.True(t, ours.AllowAtomicPublish)
	require.Equal(t, "json", ours.Metadata["runnel-kv-codec"])
	theirs.Name, theirs.Subjects, theirs.AllowAtomicPublish = ours.Name, ours.Subjects, true
	ours.Metadata, theirs.Metadata = nil, nil
	require.Equal(t, theirs, ours)
}

func TestOpenComparesTheMetadata(t *testing.T) {
	js := eventstoretest.JetStream(t)
	open[doc](t, js, "docs", &kv.Config{Metadata: map[string]string{"owner": "anna"}})
	for owner, reason := range map[string]error{"anna": nil, "bob": kv.ErrSettings} {
		b, err := kv.Open[doc](t.Context(), js, "docs", &kv.Config{Metadata: map[string]string{"owner": owner}})
		require.ErrorIs(t, err, reason, owner)
		if err == nil {
			require.NoError(t, b.Close())
		}
	}
	// A value that another client has removed does not differ.
	_, err := js.CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "docs"})
	require.NoError(t, err)
	open[doc](t, js, "docs", &kv.Config{Metadata: map[string]string{"owner": "bob"}})
}

func TestOpenOfAnExistingBucketMakesNone(t *testing.T) {
	js := eventstoretest.JetStream(t)
	_, err := kv.Open[doc](t.Context(), js, "docs", &kv.Config{Existing: true})
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	_, err = js.Stream(t.Context(), "KV_docs")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	open[doc](t, js, "docs", nil)
	open[doc](t, js, "docs", &kv.Config{Existing: true})
}

func TestAtomicBatchesAndTheCodecSurviveOtherClients(t *testing.T) {
	js := eventstoretest.JetStream(t)
	packed := &kv.Config{Codec: kv.Msgpack{}}
	b := open[doc](t, js, "docs", packed)
	require.NoError(t, b.Delete(t.Context(), "41"))
	_, err := b.Put(t.Context(), "42", doc{N: 1})
	require.NoError(t, err)
	reset := func() {
		t.Helper()
		_, err = js.CreateOrUpdateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "docs"})
		require.NoError(t, err)
		s, err := js.Stream(t.Context(), "KV_docs")
		require.NoError(t, err)
		require.False(t, s.CachedInfo().Config.AllowAtomicPublish)
		require.Empty(t, s.CachedInfo().Config.Metadata["runnel-kv-codec"])
	}
	mended := func() {
		t.Helper()
		s, err := js.Stream(t.Context(), "KV_docs")
		require.NoError(t, err)
		require.True(t, s.CachedInfo().Config.AllowAtomicPublish)
		require.Equal(t, "msgpack", s.CachedInfo().Config.Metadata["runnel-kv-codec"])
		_, err = kv.Open[doc](t.Context(), js, "docs", nil)
		require.ErrorIs(t, err, kv.ErrSettings, "it is not JSON")
	}
	for name, use := range map[string]func(*testing.T){
		"a batch": func(t *testing.T) {
			batch := b.Batch()
			batch.Put("42", doc{N: 2})
			batch.Put("43", doc{N: 2})
			_, err := batch.Commit(t.Context())
			require.NoError(t, err)
		},
		"the limit of batches": func(t *testing.T) {
			limit, err := b.MaxBatch(t.Context())
			require.NoError(t, err)
			require.Equal(t, maxBatch, limit)
		},
		"another Open": func(t *testing.T) { open[doc](t, js, "docs", packed) },
	} {
		t.Run(name, func(t *testing.T) {
			reset()
			_, err = kv.Open[doc](t.Context(), js, "docs", nil)
			require.ErrorIs(t, err, kv.ErrSettings)
			require.ErrorContains(t, err, "42 is not json", "the document says what the settings do not say any more")
			use(t)
			mended()
		})
	}
}

func TestABucketOfAnotherClientIsTakenIfItsFormatFits(t *testing.T) {
	js := eventstoretest.JetStream(t)
	theirs, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "docs"})
	require.NoError(t, err)
	_, err = theirs.PutString(t.Context(), "42", `{"n":1}`)
	require.NoError(t, err)
	_, err = kv.Open[doc](t.Context(), js, "docs", &kv.Config{Codec: kv.Msgpack{}})
	require.ErrorIs(t, err, kv.ErrSettings)
	open[doc](t, js, "docs", nil)
}

func TestOpenRefusesABucketThatCannotWork(t *testing.T) {
	js := eventstoretest.JetStream(t)
	cases := map[string]jetstream.StreamConfig{
		"other subjects": {Subjects: []string{"$KV.b.x"}, AllowDirect: true},
		"work queue":     {Subjects: []string{"$KV.b.>"}, AllowDirect: true, Retention: jetstream.WorkQueuePolicy},
		"no direct gets": {Subjects: []string{"$KV.b.>"}},
		"no answers":     {Subjects: []string{"$KV.b.>"}, AllowDirect: true, NoAck: true},
		"another codec":  {Subjects: []string{"$KV.b.>"}, AllowDirect: true, Metadata: map[string]string{"runnel-kv-codec": "msgpack"}},
		"asynchronous":   {Subjects: []string{"$KV.b.>"}, AllowDirect: true, PersistMode: jetstream.AsyncPersistMode},
		"moved subjects": {Subjects: []string{"$KV.b.>"}, AllowDirect: true, SubjectTransform: &jetstream.SubjectTransformConfig{
			Source: "$KV.b.*", Destination: "$KV.b.x.{{wildcard(1)}}",
		}},
		"old ones go":  {Subjects: []string{"$KV.b.>"}, AllowDirect: true, MaxMsgs: 2, Discard: jetstream.DiscardOld},
		"old bytes go": {Subjects: []string{"$KV.b.>"}, AllowDirect: true, MaxBytes: 2000, Discard: jetstream.DiscardOld},
		"one per key": {
			Subjects: []string{"$KV.b.>"}, AllowDirect: true, MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		},
		"a mirror": {Mirror: &jetstream.StreamSource{Name: "KV_other"}, AllowDirect: true},
	}
	for name, cfg := range cases {
		t.Run(name, func(t *testing.T) {
			cfg.Name = "KV_b"
			_, err := js.CreateStream(t.Context(), cfg)
			require.NoError(t, err)
			defer func() { require.NoError(t, js.DeleteStream(t.Context(), "KV_b")) }()
			_, err = kv.Open[doc](t.Context(), js, "b", nil)
			require.ErrorIs(t, err, kv.ErrSettings)
			var settings *kv.Error
			require.ErrorAs(t, err, &settings)
			require.Equal(t, "b", settings.Bucket)
		})
	}
}

func TestOpenRefusesNamesAndConnections(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	for _, name := range []string{"", "a.b", "a b", "a*", "ä"} {
		_, err := kv.Open[doc](t.Context(), srv.JetStream(t), name, nil)
		require.ErrorIs(t, err, kv.ErrSettings, "%q", name)
	}
	_, err := kv.Open[doc](t.Context(), srv.JetStream(t, nats.ReconnectBufSize(1024)), "docs", nil)
	require.ErrorContains(t, err, "connect with nats.ReconnectBufSize(-1)")
	_, err = kv.Open[doc](t.Context(), srv.JetStream(t, nats.ReconnectBufSize(0)), "docs", nil)
	require.ErrorContains(t, err, "connect with nats.ReconnectBufSize(-1)", "0 is the client's default of 8 MiB")
}

func TestOpenRefusesWrongSettings(t *testing.T) {
	js := eventstoretest.JetStream(t)
	defaultstest.Refused(t, kv.ErrSettings, func(cfg *kv.Config) error {
		_, err := kv.Open[doc](t.Context(), js, "docs", cfg)
		return err
	}, map[string][]kv.Config{
		"Timeout":  {{Timeout: -time.Second}},
		"Replicas": {{Replicas: -1}, {Replicas: 6}},
		"MaxBytes": {{MaxBytes: -10}},
		"Storage":  {{Storage: 7}},
		"Existing": {{Existing: true, Replicas: 1}, {Existing: true, MaxBytes: 1}, {Existing: true, Storage: jetstream.MemoryStorage}},
		"Metadata": {{Metadata: map[string]string{"runnel-kv-codec": "json"}}, {Metadata: map[string]string{"_nats.req.level": "1"}}},
	})
	_, err := js.Stream(t.Context(), "KV_docs")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}
