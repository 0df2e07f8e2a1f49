package eventstore_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// A replica whose copy of a message is damaged does not list it, so the leader is asked whether anything is left.
func TestAnErasureSaysWhatItHasNotDeleted(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events,
		&eventstore.Config{Erasure: true, ReadTimeout: 500 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	first, err := store.Append(t.Context(), account("1"), eventstore.Head{}, opened{Owner: "Anna"})
	require.NoError(t, err)
	_, err = store.Append(t.Context(), account("1"), first.Head(), deposited{1})
	require.NoError(t, err)

	proxy.DropReplies(func(_ string, payload []byte) bool { return bytes.Contains(payload, []byte("Anna")) })
	err = store.Erase(t.Context(), account("1"), "asked for")
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.ErrorContains(t, err, "position 1 is still there: erase it again")
	proxy.DropReplies(nil)
	require.NoError(t, store.Erase(t.Context(), account("1"), "asked for"))
	_, err = store.At(t.Context(), first.Position)
	require.ErrorIs(t, err, eventstore.ErrErased)
}
