package eventstore_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
)

// versions returns the versions of what a reader of one stream yields.
func versions(t require.TestingT, seq func(func(eventstore.Recorded, error) bool)) []eventstore.Version {
	all := []eventstore.Version{}
	for recorded, err := range seq {
		require.NoError(t, err)
		all = append(all, recorded.Version())
	}
	return all
}

func TestBackwardsIsForwardsReversed(t *testing.T) {
	proptest.Runs(t, 40)
	store := open(t, nil)
	_, err := store.Append(t.Context(), account("foreign"), eventstore.Head{}, deposited{1}) // what false links lead to
	require.NoError(t, err)
	streams := 0
	rapid.Check(t, func(r *rapid.T) {
		streams++
		stream, head, half := account(fmt.Sprint("random", streams)), eventstore.Head{}, eventstore.Position(0)
		for i := range rapid.IntRange(0, 40).Draw(r, "commits") {
			switch rapid.IntRange(0, 19).Draw(r, "before") {
			case 0:
				torn, err := store.AppendTorn(t.Context(), stream, head, deposited{-1})
				require.NoError(r, err)
				head = torn
			case 1:
				if head.Version > 0 {
					head = head.WithLinks(1)
				}
			case 2:
				head = head.WithLinks(head.Links()[:min(1, len(head.Links()))]...)
			case 3:
				if len(head.Links()) > 1 {
					head = head.WithLinks(head.Links()[1:]...)
				}
			}
			events := make([]eventstore.Event, rapid.IntRange(1, 3).Draw(r, "events"))
			for e := range events {
				events[e] = deposited{int64(i)}
			}
			c, err := store.Append(t.Context(), stream, head, events...)
			require.NoError(r, err)
			head = c.Head()
			if i < 20 {
				half = head.Position
			}
		}
		if rapid.IntRange(0, 3).Draw(r, "torn at the end") == 0 {
			_, err := store.AppendTorn(t.Context(), stream, head, deposited{-1})
			require.NoError(r, err)
		}
		up := versions(r, store.Stream(t.Context(), stream))
		require.Len(r, up, int(head.Version))
		down := versions(r, store.Stream(t.Context(), stream, eventstore.Backwards()))
		slices.Reverse(down)
		require.Equal(r, up, down)

		from := eventstore.Version(rapid.Uint64Range(1, uint64(head.Version)+2).Draw(r, "from"))
		below := versions(r, store.Stream(t.Context(), stream, eventstore.Backwards(), eventstore.From(from)))
		slices.Reverse(below)
		require.Equal(r, up[:min(int(from), len(up))], below)
		down = versions(r, store.Stream(t.Context(), stream, eventstore.Backwards(), eventstore.After(half)))
		slices.Reverse(down)
		require.Equal(r, versions(r, store.Stream(t.Context(), stream, eventstore.After(half))), down)
		history, err := store.Load(t.Context(), stream, eventstore.From(from))
		require.NoError(r, err)
		for _, c := range history.Commits {
			require.GreaterOrEqual(r, c.Last(), from)
		}
		require.Equal(r, up[min(int(from)-1, len(up)):], versions(r, store.Stream(t.Context(), stream, eventstore.From(from))))
	})
	if !testing.Short() { // a few draws may have neither
		require.Positive(t, store.Counters().Torn)
		require.Positive(t, store.Counters().LinkMisses)
	}
}

func TestBackwardsReadsNoMoreThanIsPulled(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	head := eventstore.Head{}
	for i := range 200 {
		c, err := store.Append(t.Context(), account("long"), head, deposited{int64(i)})
		require.NoError(t, err)
		head = c.Head()
	}
	for events, messages := range map[int]uint64{1: 1, 2: 17, 17: 17, 18: 33, 200: 200} {
		before := js.Conn().Stats().OutMsgs
		pulled := 0
		for recorded, err := range store.Stream(t.Context(), account("long"), eventstore.Backwards()) {
			require.NoError(t, err)
			require.Equal(t, head.Version-eventstore.Version(pulled), recorded.Version())
			if pulled++; pulled == events {
				break
			}
		}
		require.Equal(t, messages, js.Conn().Stats().OutMsgs-before, "messages sent for the last %d events", events)
	}
}

func TestBackwardsMeetsDamage(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	first, err := store.Append(t.Context(), account("a"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	_, err = store.Append(t.Context(), account("a"), first.Head(), deposited{2})
	require.NoError(t, err)
	replay(t, js, 2, "c") // version 2 without a version 1

	for recorded, err := range store.Stream(t.Context(), account("c"), eventstore.Backwards()) {
		if err != nil {
			require.ErrorIs(t, err, eventstore.ErrCorrupt)
			return
		}
		require.Equal(t, eventstore.Version(2), recorded.Version())
	}
	t.Fatal("the stream ended without an error")
}

// A read must not share its memory with another before its end. The race detector looks on.
func TestStreamsAreReadBothWaysAtTheSameTime(t *testing.T) {
	store := open(t, nil)
	const streams, commits = 32, 5
	for i := range streams {
		head := eventstore.Head{}
		for n := range commits {
			c, err := store.Append(t.Context(), account(fmt.Sprint(i)), head, deposited{int64(n)})
			require.NoError(t, err)
			head = c.Head()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var readers sync.WaitGroup
	for i := range streams {
		readers.Go(func() {
			for n := range proptest.Volume(60, 300) {
				var options []eventstore.StreamOption
				if n%2 == 1 {
					options = append(options, eventstore.Backwards())
				}
				read := 0
				for recorded, err := range store.Stream(ctx, account(fmt.Sprint(i)), options...) {
					if err != nil || recorded.Stream != account(fmt.Sprint(i)) {
						t.Error(recorded.Stream, err)
						return
					}
					read++
				}
				if read != commits {
					t.Errorf("%d of %d events were read", read, commits)
				}
			}
		})
	}
	readers.Wait()
}
