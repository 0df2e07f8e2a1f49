package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/reactor"
)

// calls notes the events that releases have handled, as stream/version, in their order.
type calls struct {
	mu      sync.Mutex
	handled map[string]int
	by      []string // the releases, in the order in which they handled events
	fail    func(id string) error
}

func newCalls() *calls { return &calls{handled: make(map[string]int)} }

func (c *calls) note(release string, r eventstore.Recorded) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := fmt.Sprintf("%s/%d", r.Stream.ID, r.Version())
	if c.fail != nil {
		if err := c.fail(id); err != nil {
			return err
		}
	}
	c.handled[id]++
	c.by = append(c.by, release)
	return nil
}

func (c *calls) failWith(fail func(id string) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fail
}

func (c *calls) times(id string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.handled[id]
}

func (c *calls) last() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.by) == 0 {
		return ""
	}
	return c.by[len(c.by)-1]
}

// onDeposits and onWithdrawals are the reactions of releases. The older one has no reaction to withdrawals.
func (c *calls) onDeposits(release string) reactor.Reaction {
	return reactor.On(func(_ context.Context, _ deposited, r eventstore.Recorded) error { return c.note(release, r) })
}

func (c *calls) onWithdrawals() reactor.Reaction {
	return reactor.On(func(_ context.Context, _ withdrawn, r eventstore.Recorded) error { return c.note("newer", r) })
}

// both appends a deposit and a withdrawal to a stream.
func both(t *testing.T, store *eventstore.Store, id string) eventstore.Position {
	t.Helper()
	head, err := store.Head(t.Context(), account(id))
	require.NoError(t, err)
	c, err := store.Append(t.Context(), account(id), head, deposited{Amount: 1}, withdrawn{1})
	require.NoError(t, err)
	return c.Position
}

func TestANewReleaseReactsToWhatCameSinceItWasOpened(t *testing.T) {
	store, c := open(t), newCalls()
	older := newReactor(t, store, quick(), c.onDeposits("older"))
	stop := react(t, older)
	settled(t, older, both(t, store, "before"))
	newer := newReactor(t, store, quick(), c.onDeposits("newer"), c.onWithdrawals())
	last := both(t, store, "between")
	settled(t, older, last) // the older release passes the withdrawal
	status, err := older.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, map[string]eventstore.Position{"account.withdrawn": last - 1}, status.Waiting)
	status, err = newer.Status(t.Context())
	require.NoError(t, err)
	require.Less(t, status.Position, last, "the newer release has not handled it")
	stop()

	stop = react(t, newer)
	last = both(t, store, "after")
	require.Nil(t, settled(t, newer, last).Waiting)
	stop()
	require.Zero(t, c.times("before/2"), "it was appended before the newer release was opened")
	for _, id := range []string{"before/1", "between/1", "between/2", "after/1", "after/2"} {
		require.Equal(t, 1, c.times(id), id)
	}
}

func TestAReleaseThatHandlesMoreTakesOver(t *testing.T) {
	store, c := open(t), newCalls()
	other, err := eventstore.Open(t.Context(), store.JetStream(), "bank", events, nil)
	require.NoError(t, err)
	defer other.Close()
	older := newReactor(t, store, quick(), c.onDeposits("older"))
	react(t, older)
	settled(t, older, both(t, store, "a"))
	newer := newReactor(t, other, quick(), c.onDeposits("newer"), c.onWithdrawals())
	stop := react(t, newer)
	for c.last() != "newer" {
		settled(t, newer, both(t, store, "a"))
	}
	begun := time.Now()
	for time.Since(begun) < time.Second { // while the newer lives, the older stands by
		settled(t, newer, both(t, store, "a"))
		require.Equal(t, "newer", c.last())
	}
	last := both(t, store, "a")
	settled(t, newer, last)
	for version := range 2 * int(last) {
		if id := fmt.Sprintf("a/%d", version+1); version+1 != 2 {
			require.Equal(t, 1, c.times(id), id)
		}
	}

	stop()
	after := both(t, store, "b")
	eventually(t, func() bool { return c.times("b/1") == 1 }, "the older goes on once the newer has gone")
	require.Zero(t, c.times("b/2"))
	require.Equal(t, after-1, settled(t, older, after).Waiting["account.withdrawn"], "the withdrawal waits for the newer release")
	react(t, newer)
	settled(t, newer, after)
	require.Equal(t, 1, c.times("b/2"))
	require.Equal(t, 1, c.times("b/1"))
}

// The newer release is begun again, as when its machine is restarted. The older one lets it.
func TestAnOlderReleaseLeavesTheNewerTimeToStart(t *testing.T) {
	store, c := open(t), newCalls()
	cfg := quick()
	cfg.Heartbeat = time.Second
	newer := newReactor(t, store, cfg, c.onDeposits("newer"), c.onWithdrawals())
	stop := react(t, newer)
	settled(t, newer, both(t, store, "a"))
	older := newReactor(t, store, cfg, c.onDeposits("older"))
	react(t, older)
	for range 3 {
		stop()
		last := both(t, store, "a")
		<-time.After(cfg.Heartbeat / 2) // the older would have claimed the checkpoint by now
		stop = react(t, newer)
		settled(t, newer, last)
		require.NotContains(t, c.by, "older")
	}
	stop()
}

func TestAHandOverRepeatsNothing(t *testing.T) {
	store, c := open(t), newCalls()
	cfg := quick()
	cfg.Retries, cfg.Backoff, cfg.MaxBackoff = 1000, time.Hour, time.Hour
	c.failWith(func(id string) error {
		if id == "slow/1" {
			return errors.New("not now")
		}
		return nil
	})
	older := newReactor(t, store, cfg, c.onDeposits("older"))
	stop := react(t, older)
	both(t, store, "slow") // the checkpoint stays before it
	for range 20 {
		both(t, store, "fast")
	}
	eventually(t, func() bool { return c.times("fast/39") == 1 }, "what comes behind is handled")
	newer := newReactor(t, store, cfg, c.onDeposits("newer"), c.onWithdrawals())
	last := both(t, store, "fast")
	for range 3 { // a release that stops before it has read anything passes on what it has taken over
		stopNewer := react(t, newer)
		eventually(t, func() bool { return c.times("fast/42") == 1 }, "the newer has taken over")
		stopNewer()
	}
	stop()
	c.failWith(nil)
	react(t, newer)
	settled(t, newer, last)
	for version := range 42 {
		switch id := fmt.Sprintf("fast/%d", version+1); {
		case version%2 == 0, version == 41:
			require.Equal(t, 1, c.times(id), id)
		default:
			require.Zero(t, c.times(id), id)
		}
	}
	require.Equal(t, 1, c.times("slow/1"))
	require.Zero(t, c.times("slow/2"), "it was appended before the newer release was opened")
}

// A stream that one release has parked and another replays.
func TestWhatAReplayPassesWaitsForTheReleaseThatHandlesIt(t *testing.T) {
	store, c := open(t), newCalls()
	c.failWith(func(id string) error {
		if id == "a/1" {
			return reactor.Permanent(errors.New("no"))
		}
		return nil
	})
	newer := newReactor(t, store, quick(), c.onDeposits("newer"), c.onWithdrawals())
	stop := react(t, newer)
	require.Equal(t, 1, settled(t, newer, both(t, store, "a")).Parked)
	stop()
	c.failWith(nil)
	older := newReactor(t, store, quick(), c.onDeposits("older"))
	stop = react(t, older)
	settled(t, older, both(t, store, "b"))
	require.NoError(t, older.ReplayParked(t.Context(), account("a")))
	nothingParked(t, older)
	stop()
	require.Equal(t, 1, c.times("a/1"))
	require.Zero(t, c.times("a/2"))
	react(t, newer)
	settled(t, newer, both(t, store, "c"))
	require.Equal(t, 1, c.times("a/2"))
	require.Equal(t, 1, c.times("b/2"))
}

func TestReactorsOfStoresWhoseNamesRunTogether(t *testing.T) {
	acme := open(t)
	js := acme.JetStream()
	at := func(name, reactorName string) (*eventstore.Store, *reactor.Reactor, *journal) {
		store, err := eventstore.Open(t.Context(), js, name, events, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		j := newJournal()
		r, err := reactor.Open(t.Context(), store, reactorName, quick(), j.reaction())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, r.Close()) })
		react(t, r)
		return store, r, j
	}
	one, first, ofOne := at("acme", "eu-orders")
	two, second, ofTwo := at("acme-eu", "orders")
	settled(t, first, deposit(t, one, "a", 1))
	settled(t, second, deposit(t, two, "b", 1))
	require.Equal(t, upTo(1), ofOne.of("a"))
	require.Equal(t, upTo(1), ofTwo.of("b"))
	require.Empty(t, ofOne.of("b"))
	require.Empty(t, ofTwo.of("a"))
	third, err := reactor.Open(t.Context(), one, "eu-orders-x", quick(), newJournal().reaction())
	require.NoError(t, err)
	defer third.Close()
	require.Empty(t, collect(t, third.Parked(t.Context())))
	_, err = js.KeyValue(t.Context(), "acme-eu-orders-reactor")
	require.ErrorIs(t, err, jetstream.ErrBucketNotFound)
}
