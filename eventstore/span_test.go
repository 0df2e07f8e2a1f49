package eventstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// fiveAndThree opens a store in which messages can be deleted, with five commits and a transaction of three. It returns
// when the server stored each, by position.
func fiveAndThree(t *testing.T) (*eventstore.Store, jetstream.Stream, map[eventstore.Position]time.Time) {
	t.Helper()
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Erasure: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	for i := range 5 {
		_, err := store.Append(t.Context(), account(fmt.Sprint(i+1)), eventstore.Head{}, deposited{int64(i)})
		require.NoError(t, err)
	}
	var writes []eventstore.Write
	for i := range 3 {
		writes = append(writes, eventstore.Write{Stream: account(fmt.Sprint("t", i)), Events: []eventstore.Event{deposited{1}}})
	}
	_, err = store.AppendAll(t.Context(), writes...)
	require.NoError(t, err)
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	times := make(map[eventstore.Position]time.Time)
	for position := eventstore.Position(1); position <= 8; position++ {
		times[position] = stored(t, stream, position)
	}
	return store, stream, times
}

func stored(t *testing.T, stream jetstream.Stream, position eventstore.Position) time.Time {
	t.Helper()
	msg, err := stream.GetMsg(t.Context(), uint64(position))
	require.NoError(t, err)
	return msg.Time
}

// positions returns the positions of what a reader yields.
func positions(t *testing.T, seq func(func(eventstore.Recorded, error) bool)) []eventstore.Position {
	t.Helper()
	all := []eventstore.Position{}
	for recorded, err := range seq {
		require.NoError(t, err)
		all = append(all, recorded.Position)
	}
	return all
}

func upTo8(first eventstore.Position) []eventstore.Position {
	all := []eventstore.Position{}
	for ; first <= 8; first++ {
		all = append(all, first)
	}
	return all
}

func TestAReadFromATimeBeginsWithTheFirstCommitStoredThen(t *testing.T) {
	store, _, times := fiveAndThree(t)
	from := func(at time.Time) []eventstore.Position {
		return positions(t, store.All(t.Context(), eventstore.FromTime(at)))
	}
	for position := eventstore.Position(1); position <= 5; position++ {
		require.True(t, times[position].Before(times[position+1]))
		require.Equal(t, upTo8(position), from(times[position]))
		require.Equal(t, upTo8(position), from(times[position].Add(-time.Nanosecond)))
		require.Equal(t, upTo8(position+1), from(times[position].Add(time.Nanosecond)))
	}
	require.Equal(t, upTo8(6), from(times[8]), "the transaction is read whole")
	require.Empty(t, from(times[8].Add(time.Nanosecond)))
	require.Empty(t, from(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.Equal(t, upTo8(1), from(time.Date(1066, 10, 14, 9, 0, 0, 0, time.UTC)))
	require.Equal(t, upTo8(1), from(time.Time{}))
	require.Equal(t, upTo8(4), positions(t, store.All(t.Context(), eventstore.FromTime(times[2]), eventstore.After(3))))
	require.Equal(t, upTo8(4), positions(t, store.All(t.Context(), eventstore.FromTime(times[4]), eventstore.After(2))))
}

func TestAHoleAtTheTimeOfTheBeginIsNotPassedOver(t *testing.T) {
	store, stream, times := fiveAndThree(t)
	require.NoError(t, store.Erase(t.Context(), account("1"), "asked to"))
	require.Equal(t, upTo8(2), positions(t, store.All(t.Context(), eventstore.FromTime(times[2]), eventstore.Until(8))), "an erasure is no damage")

	require.NoError(t, stream.DeleteMsg(t.Context(), 3))
	beginsWithDamage(t, store, times[4]) // what is missing may have been stored then
	require.Equal(t, upTo8(5), positions(t, store.All(t.Context(), eventstore.FromTime(times[5]), eventstore.Until(8))), "what is missing before does not matter")
}

func TestAHoleAtTheEndIsFoundByAReadFromItsTime(t *testing.T) {
	eventstoretest.Bubble(t, func(t *testing.T) { // the reader waits for what the server does not have
		store, stream, _ := fiveAndThree(t)
		<-time.After(time.Second)
		c, err := store.Append(t.Context(), account("last"), eventstore.Head{}, deposited{1})
		require.NoError(t, err)
		last := stored(t, stream, c.Position)
		require.NoError(t, stream.DeleteMsg(t.Context(), uint64(c.Position)))
		beginsWithDamage(t, store, last)
	})
}

func beginsWithDamage(t *testing.T, store *eventstore.Store, at time.Time) {
	t.Helper()
	for _, err := range store.All(t.Context(), eventstore.FromTime(at)) {
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
		return
	}
	t.Fatal("the hole was passed over")
}

func TestALiveReadFromATimeToComeBeginsThen(t *testing.T) {
	store, stream, times := fiveAndThree(t)
	for _, begin := range []time.Time{times[8].Add(time.Nanosecond), time.Now().Add(100 * time.Millisecond)} {
		ctx, cancel := context.WithCancel(t.Context())
		appended := make(chan struct{})
		go func() {
			defer close(appended)
			head := eventstore.Head{}
			for ctx.Err() == nil {
				c, err := store.Append(t.Context(), account(fmt.Sprint("live", begin.UnixNano())), head, deposited{1})
				if err != nil {
					t.Error(err)
					return
				}
				head = c.Head()
			}
		}()
		for recorded, err := range store.All(ctx, eventstore.FromTime(begin), eventstore.Live()) {
			require.NoError(t, err)
			require.False(t, stored(t, stream, recorded.Position).Before(begin))
			require.True(t, stored(t, stream, recorded.Position-1).Before(begin), "it is the first")
			break
		}
		cancel()
		<-appended
	}
}

func TestAReadEndsAtAPosition(t *testing.T) {
	store, _, _ := fiveAndThree(t)
	until := func(options ...eventstore.AllOption) []eventstore.Position {
		return positions(t, store.All(t.Context(), options...))
	}
	for _, live := range []eventstore.AllOption{eventstore.Until(8), eventstore.Live()} {
		require.Equal(t, []eventstore.Position{1, 2, 3}, until(live, eventstore.Until(3)))
		require.Empty(t, until(live, eventstore.Until(0)))
		require.Empty(t, until(live, eventstore.Until(3), eventstore.After(3)))
		require.Equal(t, []eventstore.Position{5, 6, 7, 8}, until(live, eventstore.Until(6), eventstore.After(4)), "the transaction is read whole")
	}
	require.Equal(t, upTo8(1), until(eventstore.Until(100)))
}

func TestAReadThatBeginsInsideATransactionYieldsTheRest(t *testing.T) {
	store, _, _ := fiveAndThree(t)
	require.Equal(t, []eventstore.Position{7, 8}, positions(t, store.All(t.Context(), eventstore.After(6))))
	require.Equal(t, []eventstore.Position{8}, positions(t, store.All(t.Context(), eventstore.After(7))))
	require.Zero(t, store.Counters().Torn)
}
