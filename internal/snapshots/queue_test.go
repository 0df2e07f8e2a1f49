package snapshots

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func content(text string) encoder {
	return func(context.Context) ([]byte, error) { return []byte(text), nil }
}

// drain closes a queue and returns the ids and documents in it.
func drain(t *testing.T, q *queue) (all []string) {
	t.Helper()
	q.close()
	for id, encode := range q.all() {
		data, err := encode(t.Context())
		require.NoError(t, err)
		all = append(all, id+string(data))
	}
	return all
}

func TestTheNewestSnapshotOfAnAggregateIsSaved(t *testing.T) {
	q := newQueue(3)
	require.True(t, q.put("a", content("1")))
	require.True(t, q.put("b", content("1")))
	require.True(t, q.put("a", content("2")))
	require.Equal(t, []string{"a2", "b1"}, drain(t, q))
	require.False(t, q.put("c", content("1")), "it is closed")
	require.Empty(t, drain(t, q))
}

func TestAFullQueueDropsWhatWaitsLongest(t *testing.T) {
	q := newQueue(2)
	require.True(t, q.put("a", content("1")))
	require.True(t, q.put("b", content("1")))
	require.False(t, q.put("c", content("1")))
	q.drop("b")
	require.True(t, q.put("d", content("1")))
	require.Equal(t, []string{"c1", "d1"}, drain(t, q))
}
