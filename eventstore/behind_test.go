package eventstore_test

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// grow appends commits of some events each to a stream, and returns its commits.
func grow(t testing.TB, store *eventstore.Store, id string, sizes ...int) []*eventstore.Commit {
	t.Helper()
	head, err := store.Head(t.Context(), account(id))
	require.NoError(t, err)
	for _, size := range sizes {
		batch := make([]eventstore.Event, size)
		for i := range batch {
			batch[i] = deposited{int64(i)}
		}
		c, err := store.Append(t.Context(), account(id), head, batch...)
		require.NoError(t, err)
		head = c.Head()
	}
	history, err := store.Load(t.Context(), account(id))
	require.NoError(t, err)
	return history.Commits
}

func ids(commits []*eventstore.Commit) []string {
	var all []string
	for _, c := range commits {
		all = append(all, c.ID.String())
	}
	return all
}

// behind returns the commits that a load from a version and after a position must give.
func behind(commits []*eventstore.Commit, from eventstore.Version, after eventstore.Position) []*eventstore.Commit {
	var want []*eventstore.Commit
	for _, c := range commits {
		if c.Last() >= from && c.Position > after {
			want = append(want, c)
		}
	}
	return want
}

func TestALoadBehindAPositionGivesWhatCameSince(t *testing.T) {
	store := open(t, nil)
	count := 0
	rapid.Check(t, func(r *rapid.T) {
		count++
		id := fmt.Sprint("s", count)
		sizes := rapid.SliceOfN(rapid.IntRange(1, 3), 1, 90).Draw(r, "sizes")
		cut := rapid.IntRange(0, len(sizes)).Draw(r, "cut")
		grow(t, store, id, sizes[:cut]...)
		grow(t, store, "between"+id, 1)
		commits := grow(t, store, id, sizes[cut:]...)
		last := commits[len(commits)-1]

		after := eventstore.Position(rapid.Uint64Range(uint64(commits[0].Position)-1, uint64(last.Position)+1).Draw(r, "after"))
		from := eventstore.Version(rapid.Uint64Range(0, uint64(last.Last())+1).Draw(r, "from"))
		history, err := store.Load(t.Context(), account(id), eventstore.After(after), eventstore.From(from))
		end, endErr := store.End(t.Context())
		require.NoError(t, endErr)
		if after > end {
			require.ErrorIs(t, err, eventstore.ErrPositionAhead)
			return
		}
		require.NoError(t, err)
		require.Equal(t, ids(behind(commits, from, after)), ids(history.Commits))
		require.Equal(t, last.Head(), history.Head)
	})
}

// fewest returns how many messages came in for a read: the fewest of several times, since the store keeps its mark
// meanwhile.
func fewest(js jetstream.JetStream, read func()) uint64 {
	least := ^uint64(0)
	for range 5 {
		before := js.Conn().Stats().InMsgs
		read()
		least = min(least, js.Conn().Stats().InMsgs-before)
	}
	return least
}

func TestALoadBehindAPositionCostsWhatCameSince(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	sizes := make([]int, 1000)
	for i := range sizes {
		sizes[i] = 1
	}
	commits := grow(t, store, "long", sizes...)
	for came, most := range map[int]uint64{0: 1, 1: 2, 10: 11, 60: 61, 100: 101} {
		at := commits[len(commits)-1-came]
		require.LessOrEqual(t, fewest(js, func() {
			history, err := store.Load(t.Context(), account("long"), eventstore.After(at.Position), eventstore.From(at.Last()+1))
			require.NoError(t, err)
			require.Len(t, history.Commits, came)
		}), most, "%d commits came since", came)
	}
	require.LessOrEqual(t, fewest(js, func() {
		_, err = store.Load(t.Context(), account("long"), eventstore.After(commits[989].Position))
		require.NoError(t, err)
	}), uint64(11), "the newest, nine linked ones, and the one that vouches")
}

// The links of what was copied here lead to another stream, so that only the versions tell which commits belong
// together.
func TestALoadBehindAPositionDoesNotTrustLinks(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	for _, c := range grow(t, store, "original", 1, 2, 1, 1) {
		replay(t, js, c.Position, "copy")
	}
	for after := range eventstore.Position(9) {
		history, err := store.Load(t.Context(), account("copy"), eventstore.After(after))
		require.NoError(t, err)
		require.Len(t, history.Commits, int(min(4, 8-after)), "after %d", after)
	}
	require.Positive(t, store.Counters().LinkMisses)

	replay(t, js, 2, "copy") // a commit of versions 2 to 3 on top of version 5
	_, err = store.Load(t.Context(), account("copy"), eventstore.After(7))
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
}
