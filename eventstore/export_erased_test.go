package eventstore

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

type named struct{ Name string }

func (named) EventType() string { return "test.named" }

// An erasure that was cut short between its record and its deletions is complete in an archive.
func TestWhatIsRecordedAsErasedIsNotExportedThoughItIsNotDeletedYet(t *testing.T) {
	store, err := Open(t.Context(), eventstoretest.JetStream(t), "bank", []Event{named{}}, &Config{Erasure: true})
	require.NoError(t, err)
	defer store.Close()
	stream := StreamID{Category: "person", ID: "1"}
	_, err = store.Append(t.Context(), stream, Head{}, named{"Anna Secret"})
	require.NoError(t, err)
	record, err := store.writer.endErased(t.Context(), stream, "asked for")
	require.NoError(t, err)
	left, err := store.writer.leftBefore(t.Context(), record)
	require.NoError(t, err)
	require.NoError(t, store.writer.recordErased(t.Context(), left))

	var archive bytes.Buffer
	summary, err := store.Export(t.Context(), &archive, nil)
	require.NoError(t, err)
	require.Equal(t, int64(1), summary.Erased)
	require.NotContains(t, archive.String(), "Anna Secret")
}
