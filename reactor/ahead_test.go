package reactor_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/reactor"
)

// appendTo appends events to a stream in one commit.
func appendTo(t *testing.T, store *eventstore.Store, id string, all ...eventstore.Event) eventstore.Position {
	t.Helper()
	head, err := store.Head(t.Context(), account(id))
	require.NoError(t, err)
	c, err := store.Append(t.Context(), account(id), head, all...)
	require.NoError(t, err)
	return c.Position
}

// refuse makes some events park their streams.
func refuse(ids ...string) func(id string) error {
	return func(id string) error {
		if slices.Contains(ids, id) {
			return reactor.Permanent(errors.New("no"))
		}
		return nil
	}
}

// parkedAt waits until stream a is parked at a version.
func parkedAt(t *testing.T, mails *reactor.Reactor, version eventstore.Version) (parked reactor.Parked) {
	t.Helper()
	eventually(t, func() bool {
		var err error
		parked, err = mails.ShowParked(t.Context(), account("a"))
		return err == nil && parked.Version == version && !parked.Replaying
	}, "the stream is parked there")
	return parked
}

// The older release passes a withdrawal, which waits for the newer one, and parks the stream after it.
func TestAnEventBeforeTheParkedOneIsHandledByTheReleaseThatHandlesIt(t *testing.T) {
	store, c := open(t), newCalls()
	c.failWith(refuse("a/2"))
	older := newReactor(t, store, quick(), c.onDeposits("older"))
	stop := react(t, older)
	newer := newReactor(t, store, quick(), c.onDeposits("newer"), c.onWithdrawals())
	at := appendTo(t, store, "a", withdrawn{1}, deposited{Amount: 1}, withdrawn{1})
	require.Equal(t, 1, settled(t, older, at).Parked)
	stop()

	react(t, newer)
	settled(t, newer, both(t, store, "b"))
	require.Equal(t, 1, c.times("a/1"), "it does not wait for the replay")
	parkedAt(t, newer, 2)
	c.failWith(nil)
	require.NoError(t, newer.ReplayParked(t.Context(), account("a")))
	nothingParked(t, newer)
	settled(t, newer, both(t, store, "b"))
	for _, id := range []string{"a/1", "a/2", "a/3"} {
		require.Equal(t, 1, c.times(id), id)
	}
}

// The event before the parked one fails as well.
func TestAStreamIsParkedAtItsFirstEventThatFails(t *testing.T) {
	store, c := open(t), newCalls()
	c.failWith(refuse("a/2", "a/3"))
	older := newReactor(t, store, quick(), c.onDeposits("older"))
	stop := react(t, older)
	newer := newReactor(t, store, quick(), c.onDeposits("newer"), c.onWithdrawals())
	at := appendTo(t, store, "a", withdrawn{1}, withdrawn{1}, deposited{Amount: 1})
	require.Equal(t, 1, settled(t, older, at).Parked)
	parkedAt(t, older, 3)
	stop()

	react(t, newer)
	require.Equal(t, 2, parkedAt(t, newer, 2).Waiting)
	settled(t, newer, both(t, store, "b"))
	c.failWith(nil)
	require.NoError(t, newer.ReplayParked(t.Context(), account("a")))
	nothingParked(t, newer)
	for _, id := range []string{"a/1", "a/2", "a/3"} {
		require.Equal(t, 1, c.times(id), id)
	}
}

// The older release replays a stream, passes a withdrawal, and parks the stream after it.
func TestWhatAReplayPassesBeforeItParksAgainIsHandled(t *testing.T) {
	store, c := open(t), newCalls()
	c.failWith(refuse("a/1"))
	newer := newReactor(t, store, quick(), c.onDeposits("newer"), c.onWithdrawals())
	stop := react(t, newer)
	all := []eventstore.Event{deposited{Amount: 1}, withdrawn{1}, deposited{Amount: 1}}
	require.Equal(t, 1, settled(t, newer, appendTo(t, store, "a", all...)).Parked)
	stop()
	c.failWith(refuse("a/3"))
	older := newReactor(t, store, quick(), c.onDeposits("older"))
	stop = react(t, older)
	settled(t, older, both(t, store, "b"))
	require.NoError(t, older.ReplayParked(t.Context(), account("a")))
	parkedAt(t, older, 3)
	settled(t, older, both(t, store, "b"))
	stop()

	c.failWith(nil)
	react(t, newer)
	settled(t, newer, both(t, store, "c"))
	require.NoError(t, newer.ReplayParked(t.Context(), account("a")))
	nothingParked(t, newer)
	for _, id := range []string{"a/1", "a/2", "a/3"} {
		require.Equal(t, 1, c.times(id), id)
	}
}

// The newer release stopped in good order while an event was open, and so has left a note of what is done after that.
func TestWhatAReplayPassesIsHandledThoughItWasCalledDone(t *testing.T) {
	store, c := open(t), newCalls()
	parked := refuse("a/1")
	c.failWith(func(id string) error {
		if id == "slow/1" {
			return errors.New("not now")
		}
		return parked(id)
	})
	newer := newReactor(t, store, patient(), c.onDeposits("newer"), c.onWithdrawals())
	stop := react(t, newer)
	appendTo(t, store, "slow", withdrawn{1})
	appendTo(t, store, "a", deposited{Amount: 1}, withdrawn{1})
	appendTo(t, store, "fast", deposited{Amount: 1}, withdrawn{1})
	eventually(t, func() bool { return c.times("fast/2") == 1 && isParked(t, newer) }, "handled, or parked")
	stop()
	c.failWith(nil)
	older := newReactor(t, store, quick(), c.onDeposits("older"))
	stop = react(t, older)
	settled(t, older, appendTo(t, store, "fast", deposited{Amount: 1}))
	require.NoError(t, older.ReplayParked(t.Context(), account("a")))
	nothingParked(t, older)
	stop()

	react(t, newer)
	settled(t, newer, both(t, store, "c"))
	for _, id := range []string{"slow/1", "a/1", "a/2", "fast/1", "fast/2", "fast/3"} {
		require.Equal(t, 1, c.times(id), id)
	}
}
