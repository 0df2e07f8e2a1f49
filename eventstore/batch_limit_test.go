package eventstore_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// takingBatches returns a server that takes no larger batches.
func takingBatches(t *testing.T, messages int) jetstream.JetStream {
	t.Helper()
	return eventstoretest.JetStream(t, eventstoretest.Options(func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = messages }))
}

func writesTo(streams int) []eventstore.Write {
	writes := make([]eventstore.Write, streams)
	for i := range writes {
		writes[i] = eventstore.Write{
			Stream: eventstore.StreamID{Category: "account", ID: fmt.Sprint(i)}, Events: []eventstore.Event{deposited{Amount: 1}},
		}
	}
	return writes
}

func TestATransactionOfTooManyStreamsSaysSo(t *testing.T) {
	store := openWith(t, eventstoretest.JetStream(t), nil)
	_, err := store.AppendAll(t.Context(), writesTo(1000)...)
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	require.ErrorContains(t, err, "1 to 999")
	_, err = store.AppendAll(t.Context(), writesTo(999)...)
	require.NoError(t, err)

	store = openWith(t, takingBatches(t, 7), nil)
	_, err = store.AppendAll(t.Context(), writesTo(8)...)
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	require.ErrorContains(t, err, "the transaction has 8 messages and the server takes 7 in one batch")
	require.ErrorContains(t, err, "max_batch_size")
	_, err = store.AppendAll(t.Context(), writesTo(7)...)
	require.NoError(t, err)
}

func TestATransactionWhereBatchesWereSwitchedOffSaysSo(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := openWith(t, js, nil)
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.AllowAtomicPublish = false
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = store.AppendAll(t.Context(), writesTo(2)...)
	require.ErrorIs(t, err, eventstore.ErrSettings)
	require.ErrorContains(t, err, "allow atomic publish")
}

func TestAnImportFitsItsBatchesToTheServer(t *testing.T) {
	from := openWith(t, eventstoretest.JetStream(t), nil)
	_, err := from.AppendAll(t.Context(), writesTo(20)...)
	require.NoError(t, err)
	_, err = from.AppendAll(t.Context(), writesTo(0)...)
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	var archive bytes.Buffer
	_, err = from.Export(t.Context(), &archive, nil)
	require.NoError(t, err)
	for _, messages := range []int{1, 3, 20} {
		js := takingBatches(t, messages)
		_, err = eventstore.Import(t.Context(), js, bytes.NewReader(archive.Bytes()), nil)
		require.NoError(t, err)
		into := openWith(t, js, nil)
		commits := 0
		for c, err := range into.Log(t.Context()) {
			require.NoError(t, err)
			require.Equal(t, 20, c.Transaction.Count, "a transaction is whole, whatever the batches of the import")
			commits++
		}
		require.Equal(t, 20, commits)
	}
}
