package eventstore_test

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

func TestAStoreSaysWhatAnAccountDemands(t *testing.T) {
	js := eventstoretest.Limited(t, func(l *server.JetStreamAccountLimits) { l.MaxStore, l.MaxBytesRequired = 64<<20, true })
	_, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.ErrorIs(t, err, eventstore.ErrRefused)
	require.ErrorContains(t, err, "set Config.MaxBytes")
	store := openWith(t, js, &eventstore.Config{MaxBytes: 1 << 20})
	for range 3 { // the mark is overwritten, and its bucket does not fill up
		_, err = store.AppendAll(t.Context(), eventstore.Write{
			Stream: account(time.Now().String()), Events: []eventstore.Event{opened{"Ada"}},
		})
		require.NoError(t, err)
	}
	require.NoError(t, store.Close())
	mark, err := js.Stream(t.Context(), "KV_bank_control")
	require.NoError(t, err)
	require.EqualValues(t, 4<<20, mark.CachedInfo().Config.MaxBytes, "it takes little of an account's room")
	require.EqualValues(t, 1, mark.CachedInfo().State.Msgs)
}

func TestOpenTellsWhereNoMarkCanBeKept(t *testing.T) {
	js := eventstoretest.Limited(t, func(l *server.JetStreamAccountLimits) { l.MaxStreams = 1 })
	var log bytes.Buffer
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	told := log.String() // before the store raises a mark
	require.NoError(t, store.Close())
	require.Contains(t, told, "bank_control")
	require.Contains(t, told, "maximum number of streams reached")
}

func TestAnImportWorksWhereTheDuplicateWindowIsBounded(t *testing.T) {
	from := openWith(t, eventstoretest.JetStream(t), nil)
	_, err := from.Append(t.Context(), account("1"), eventstore.Head{}, opened{"Ada"})
	require.NoError(t, err)
	bucket, err := from.JetStream().CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "notes"})
	require.NoError(t, err)
	_, err = bucket.PutString(t.Context(), "a", "b")
	require.NoError(t, err)
	var archive bytes.Buffer
	_, err = from.Export(t.Context(), &archive, &eventstore.ExportConfig{Buckets: []string{"notes"}})
	require.NoError(t, err)

	js := eventstoretest.Limited(t, func(l *server.JetStreamAccountLimits) { l.MaxStore, l.MaxBytesRequired = 64<<20, true },
		eventstoretest.Options(func(o *server.Options) { o.JetStreamLimits.Duplicates = time.Second }))
	_, err = eventstore.Import(t.Context(), js, &archive, &eventstore.ImportConfig{Store: &eventstore.Config{MaxBytes: 1 << 20}})
	require.NoError(t, err)
	kept, err := js.KeyValue(t.Context(), "notes")
	require.NoError(t, err)
	entry, err := kept.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, "b", string(entry.Value()))
}
