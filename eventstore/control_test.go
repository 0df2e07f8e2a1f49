package eventstore_test

import (
	"bytes"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// The mark says what this server has seen of the log. A copy of the log may end before it.
func TestTheMarkStaysOutOfAnArchive(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, opened{"Ada"})
	require.NoError(t, err)
	require.NoError(t, store.Close()) // it raises the mark
	control, err := js.KeyValue(t.Context(), "bank_control")
	require.NoError(t, err)
	_, err = control.Get(t.Context(), "mark")
	require.NoError(t, err)
	_, err = control.PutString(t.Context(), "view.balances", "{}")
	require.NoError(t, err)

	store = openWith(t, js, nil)
	var archive bytes.Buffer
	summary, err := store.Export(t.Context(), &archive, &eventstore.ExportConfig{Buckets: []string{"bank_control"}})
	require.NoError(t, err)
	require.EqualValues(t, 1, summary.Messages)
	there := eventstoretest.JetStream(t)
	_, err = eventstore.Import(t.Context(), there, &archive, nil)
	require.NoError(t, err)
	control, err = there.KeyValue(t.Context(), "bank_control")
	require.NoError(t, err)
	_, err = control.Get(t.Context(), "mark")
	require.ErrorIs(t, err, jetstream.ErrKeyNotFound)
	entry, err := control.Get(t.Context(), "view.balances")
	require.NoError(t, err)
	require.Equal(t, "{}", string(entry.Value()))
	openWith(t, there, nil)
}
