package snapshots

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
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

func TestDroppingTellsOfASaveUnderWay(t *testing.T) {
	q := newQueue(2)
	require.True(t, q.put("a", content("1")))
	require.Nil(t, q.drop("b"))
	require.True(t, q.put("b", content("1")))
	var saved <-chan struct{}
	q.close()
	for id := range q.all() {
		if id == "a" {
			require.Nil(t, q.drop("other"))
			saved = q.drop("a")
			require.NotNil(t, saved)
			select {
			case <-saved:
				require.Fail(t, "it is not saved yet")
			default:
			}
			continue
		}
		<-saved
		require.Nil(t, q.drop("a"))
	}
	require.Nil(t, q.drop("b"))
}

// A save that has begun would bring a deleted snapshot back.
func TestADeletedSnapshotStaysDeleted(t *testing.T) {
	store := openStore(t, eventstoretest.JetStream(t), nil)
	saved := fill(t, store, "1", 5)
	c := openCache(t, store)
	states := statesOf(t, c)
	began, release := make(chan struct{}), make(chan struct{})
	c.queue.put("1", func(ctx context.Context) ([]byte, error) {
		close(began)
		<-release
		return states.encode(ctx, "1", saved)
	})
	<-began
	require.NoError(t, c.Delete(t.Context(), "2"), "the snapshot of another aggregate is saved")
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := c.Delete(short, "1")
	close(release)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "its snapshot is being saved")

	require.NoError(t, c.Delete(t.Context(), "1"))
	require.Equal(t, int64(1), c.Counters().Saved, "Delete has waited")
	found, _, err := states.Restore(t.Context(), "1")
	require.NoError(t, err)
	require.Nil(t, found)
}
