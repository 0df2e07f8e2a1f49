package eventstore_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// replayed returns the positions of the events that a replay calls its function with, and where it came to.
func replayed(t *testing.T, store *eventstore.Store, options ...eventstore.ReplayOption) ([]eventstore.Position, eventstore.Progress) {
	t.Helper()
	all := []eventstore.Position{}
	progress, err := store.Replay(t.Context(), func(r eventstore.Recorded) error {
		all = append(all, r.Position)
		return nil
	}, options...)
	require.NoError(t, err)
	require.Equal(t, int64(len(all)), progress.Events)
	require.InDelta(t, 1, progress.Fraction(), 0)
	progress.Elapsed = 0
	return all, progress
}

func TestAReplayGivesAnyPartOfTheLog(t *testing.T) {
	store, _, times := fiveAndThree(t)
	other := eventstore.StreamID{Category: "other", ID: "1"}
	c, err := store.Append(t.Context(), other, eventstore.Head{}, opened{"anna"}, deposited{1})
	require.NoError(t, err)
	_, err = store.Append(t.Context(), other, c.Head(), deposited{2}, opened{"anna"})
	require.NoError(t, err)

	type position = eventstore.Position
	for name, test := range map[string]struct {
		options []eventstore.ReplayOption
		want    []position
		come    eventstore.Progress
	}{
		"all": {nil, []position{1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 10}, eventstore.Progress{Position: 10, End: 10, Commits: 10}},
		"between positions": {[]eventstore.ReplayOption{eventstore.After(2), eventstore.Until(4)}, []position{3, 4},
			eventstore.Progress{Begin: 2, Position: 4, End: 4, Commits: 2}},
		"from a time": {[]eventstore.ReplayOption{eventstore.FromTime(times[5]), eventstore.Until(5)}, []position{5},
			eventstore.Progress{Begin: 4, Position: 5, End: 5, Commits: 1}},
		"a category":   {[]eventstore.ReplayOption{eventstore.Categories("other")}, []position{9, 9, 10, 10}, eventstore.Progress{Position: 10, End: 10, Commits: 2}},
		"a type":       {[]eventstore.ReplayOption{eventstore.Types("account.opened")}, []position{9, 10}, eventstore.Progress{Position: 10, End: 10, Commits: 2}},
		"no such type": {[]eventstore.ReplayOption{eventstore.Types("none")}, []position{}, eventstore.Progress{Position: 10, End: 10}},
		"a stream":     {[]eventstore.ReplayOption{eventstore.OfStream(other)}, []position{9, 9, 10, 10}, eventstore.Progress{Position: 10, End: 10, Commits: 2}},
		"from a version": {[]eventstore.ReplayOption{eventstore.OfStream(other), eventstore.From(2)}, []position{9, 10, 10},
			eventstore.Progress{Position: 10, End: 10, Commits: 2}},
		"a stream between positions": {[]eventstore.ReplayOption{eventstore.OfStream(other), eventstore.After(8), eventstore.Until(9)}, []position{9, 9},
			eventstore.Progress{Begin: 8, Position: 9, End: 9, Commits: 1}},
		"a stream behind a position": {[]eventstore.ReplayOption{eventstore.OfStream(other), eventstore.After(9), eventstore.Types("account.opened")}, []position{10},
			eventstore.Progress{Begin: 9, Position: 10, End: 10, Commits: 1}},
		"a stream in a transaction": {[]eventstore.ReplayOption{eventstore.OfStream(account("t2")), eventstore.Until(6)}, []position{8},
			eventstore.Progress{Position: 8, End: 6, Commits: 1}},
		"an empty stream": {[]eventstore.ReplayOption{eventstore.OfStream(account("none"))}, []position{}, eventstore.Progress{Position: 10, End: 10}},
		"nothing":         {[]eventstore.ReplayOption{eventstore.Until(0)}, []position{}, eventstore.Progress{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, come := replayed(t, store, test.options...)
			require.Equal(t, test.want, got)
			test.come.Events = int64(len(test.want))
			require.Equal(t, test.come, come)
		})
	}
}

func TestAReplayReadsOldTypesAsWhatTheyStandFor(t *testing.T) {
	js := eventstoretest.JetStream(t)
	old, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer old.Close()
	_, err = old.Append(t.Context(), account("1"), eventstore.Head{}, opened{"anna"}, deposited{1})
	require.NoError(t, err)

	store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{opened{}, numbered{}}, &eventstore.Config{
		Upcasters: []eventstore.Upcaster{eventstore.Upcast(func(d deposited) numbered { return numbered{} })},
	})
	require.NoError(t, err)
	defer store.Close()
	for _, name := range []string{numbered{}.EventType(), deposited{}.EventType()} {
		got, _ := replayed(t, store, eventstore.Types(name))
		require.Equal(t, []eventstore.Position{1}, got, name)
	}
}

func TestAReplayThatFailedGoesOn(t *testing.T) {
	store, _, _ := fiveAndThree(t)
	broken := errors.New("the disk is full")
	for position := eventstore.Position(1); position <= 8; position++ {
		progress, err := store.Replay(t.Context(), func(r eventstore.Recorded) error {
			if r.Position == position {
				return broken
			}
			return nil
		})
		require.ErrorIs(t, err, broken)
		require.ErrorContains(t, err, fmt.Sprintf(`version 1 at position %d: "account.deposited"`, position))
		require.Equal(t, position-1, progress.Position)
		require.Equal(t, int64(position-1), progress.Events)

		got, _ := replayed(t, store, eventstore.After(progress.Position))
		require.Equal(t, upTo8(position), got, "also inside of a transaction")
	}
}

func TestAReplayEndsAtDamage(t *testing.T) {
	store, stream, _ := fiveAndThree(t)
	require.NoError(t, stream.DeleteMsg(t.Context(), 3))
	progress, err := store.Replay(t.Context(), func(eventstore.Recorded) error { return nil })
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.Equal(t, eventstore.Position(2), progress.Position)
	require.Equal(t, int64(2), progress.Commits)
}

func TestProgressIsOfWhatThereIsToDo(t *testing.T) {
	for position, want := range map[eventstore.Position]float64{0: 0, 900: 0, 925: 0.25, 1000: 1, 1001: 1} {
		progress := eventstore.Progress{Begin: 900, Position: position, End: 1000}
		require.InDelta(t, want, progress.Fraction(), 1e-9, "at position %d", position)
	}
	progress := eventstore.Progress{Begin: 900, Position: 925, End: 1000, Events: 50, Elapsed: time.Second}
	require.Equal(t, 3*time.Second, progress.Left())
	require.InDelta(t, 50, progress.Rate(), 1e-9)
}

func TestAReplayReportsItsProgress(t *testing.T) {
	eventstoretest.Bubble(t, func(t *testing.T) {
		store, _, _ := fiveAndThree(t)
		var reports []eventstore.Progress
		progress, err := store.Replay(t.Context(), func(eventstore.Recorded) error {
			<-time.After(100 * time.Millisecond)
			return nil
		}, eventstore.OnProgress(func(p eventstore.Progress) { reports = append(reports, p) }))
		require.NoError(t, err)
		require.Equal(t, []eventstore.Progress{
			{Position: 3, End: 8, Commits: 3, Events: 3, Elapsed: 300 * time.Millisecond},
			{Position: 6, End: 8, Commits: 6, Events: 6, Elapsed: 600 * time.Millisecond},
			progress,
		}, reports)
		require.Equal(t, 800*time.Millisecond, progress.Elapsed)
		require.Equal(t, 500*time.Millisecond, reports[0].Left())
	})
}
