package eventstore

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

// A replica whose copy of a message is damaged does not list it, so the leader is asked whether anything is left.
func TestAnErasureSaysWhatItHasNotDeleted(t *testing.T) {
	store, err := Open(t.Context(), eventstoretest.JetStream(t), "bank", []Event{named{}}, &Config{Erasure: true, ReadTimeout: 100 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	stream := StreamID{Category: "account", ID: "1"}
	first, err := store.Append(t.Context(), stream, Head{}, named{})
	require.NoError(t, err)
	require.NoError(t, store.writer.nothingBefore(t.Context(), first))
	second, err := store.Append(t.Context(), stream, first.Head(), named{})
	require.NoError(t, err)
	err = store.writer.nothingBefore(t.Context(), second)
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "position 1 is still there: erase it again")
}
