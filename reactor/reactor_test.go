package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/reactor"
)

// quick makes a reactor that is not for patient people.
func quick() *reactor.Config {
	return &reactor.Config{
		Retries: 3, Backoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond, Interval: 5 * time.Millisecond, Heartbeat: 200 * time.Millisecond,
	}
}

// journal keeps what reactions were called for, and lets tests decide what they return.
type journal struct {
	mu      sync.Mutex
	handled map[string][]eventstore.Version // by the stream's id; those without an error
	calls   int
	fail    func(e deposited, r eventstore.Recorded) error
}

func newJournal() *journal { return &journal{handled: make(map[string][]eventstore.Version)} }

func (j *journal) failWith(fail func(e deposited, r eventstore.Recorded) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = fail
}

func (j *journal) reaction() reactor.Reaction {
	return reactor.On(func(_ context.Context, e deposited, r eventstore.Recorded) error {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.calls++
		if j.fail != nil {
			if err := j.fail(e, r); err != nil {
				return err
			}
		}
		j.handled[r.Stream.ID] = append(j.handled[r.Stream.ID], r.Version())
		return nil
	})
}

func (j *journal) of(id string) []eventstore.Version {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]eventstore.Version(nil), j.handled[id]...)
}

// upTo is 1, 2, ... n.
func upTo(n int) (versions []eventstore.Version) {
	for v := range n {
		versions = append(versions, eventstore.Version(v+1))
	}
	return versions
}

func newReactor(t *testing.T, store *eventstore.Store, cfg *reactor.Config, reactions ...reactor.Reaction) *reactor.Reactor {
	t.Helper()
	mails, err := reactor.Open(t.Context(), store, "mails", cfg, reactions...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, mails.Close()) })
	return mails
}

// react starts a reactor and returns what stops it and waits. A test that ends may close the reactor, or its store,
// first. Then Run ends with that.
func react(t *testing.T, mails *reactor.Reactor) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- mails.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, jsapi.ErrClosed) {
			t.Errorf("reactor ended: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 2*time.Millisecond, what)
}

func parkedList(t *testing.T, mails *reactor.Reactor) (all []reactor.Parked) {
	t.Helper()
	return collect(t, mails.Parked(t.Context()))
}

func collect[T any](t *testing.T, items iter.Seq2[T, error]) (all []T) {
	t.Helper()
	for item, err := range items {
		require.NoError(t, err)
		all = append(all, item)
	}
	return all
}

// settled waits until the reactor has passed a position.
func settled(t *testing.T, mails *reactor.Reactor, position eventstore.Position) reactor.Status {
	t.Helper()
	var status reactor.Status
	eventually(t, func() bool {
		var err error
		status, err = mails.Status(t.Context()) // the server may be away for now
		return err == nil && status.Position >= position
	}, fmt.Sprint("the checkpoint reaches position ", position))
	return status
}

func TestEventsOfAStreamAreHandledInOrderByManyWorkers(t *testing.T) {
	store, j := open(t), newJournal()
	var together, most int
	var mu sync.Mutex
	count := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		together += n
		most = max(most, together)
	}
	all := make(chan struct{})
	mails := newReactor(t, store, quick(), reactor.On(func(_ context.Context, _ deposited, r eventstore.Recorded) error {
		count(1)
		defer count(-1)
		if r.Version() == 1 {
			<-all // the first events of all streams are handled together, or this waits for ever
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.handled[r.Stream.ID] = append(j.handled[r.Stream.ID], r.Version())
		return nil
	}))
	react(t, mails)
	var last eventstore.Position
	for range 20 {
		for id := range 16 {
			last = deposit(t, store, fmt.Sprint(id), 1, 2)
		}
	}
	eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return together == 16 }, "16 at once")
	close(all)
	status := settled(t, mails, last)
	require.Equal(t, 16, most)
	require.Zero(t, status.UnderWay)
	for id := range 16 {
		require.Equal(t, upTo(40), j.of(fmt.Sprint(id)))
	}
}

func TestAReactorBeginsAtTheLogsEndUnlessItIsToldOtherwise(t *testing.T) {
	store := open(t)
	deposit(t, store, "a", 1)
	second := deposit(t, store, "a", 1)
	live, history, two := newJournal(), newJournal(), newJournal()
	a := newReactor(t, store, quick(), live.reaction())
	for name, c := range map[string]struct {
		from eventstore.Position
		j    *journal
	}{"history": {1, history}, "second": {second, two}} {
		cfg := quick()
		cfg.From = c.from
		r, err := reactor.Open(t.Context(), store, name, cfg, c.j.reaction())
		require.NoError(t, err)
		defer r.Close()
		defer react(t, r)()
	}
	cfg := quick()
	cfg.From = 99
	_, err := reactor.Open(t.Context(), store, "ahead", cfg, live.reaction())
	require.ErrorIs(t, err, eventstore.ErrPositionAhead)

	last := deposit(t, store, "a", 1) // appended before it runs, and after it was made
	react(t, a)
	settled(t, a, last)
	require.Equal(t, []eventstore.Version{3}, live.of("a"))
	eventually(t, func() bool { return len(history.of("a")) == 3 && len(two.of("a")) == 2 }, "history")
	require.Equal(t, upTo(3), history.of("a"))
}

func TestAReactorGoesOnWhereItStopped(t *testing.T) {
	store, j := open(t), newJournal()
	for round := range 4 {
		mails := newReactor(t, store, quick(), j.reaction())
		stop := react(t, mails)
		at := deposit(t, store, "a", 1)
		eventually(t, func() bool { return len(j.of("a")) == 2*round+1 }, "handled")
		stop()
		status, err := mails.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, at, status.Position, "what was handled is written when the reactor stops")
		require.Empty(t, status.Runner)
		deposit(t, store, "a", 1)
		stop = react(t, mails)
		eventually(t, func() bool { return len(j.of("a")) == 2*round+2 }, "handled")
		stop()
	}
	require.Equal(t, upTo(8), j.of("a"), "each once: nothing crashed")
}

func TestTheCheckpointPassesNothingThatIsUnderWay(t *testing.T) {
	store, j := open(t), newJournal()
	cfg := quick()
	cfg.Retries, cfg.Backoff, cfg.MaxBackoff = 1000, time.Hour, time.Hour
	j.failWith(func(_ deposited, r eventstore.Recorded) error {
		if r.Stream.ID == "a" {
			return errors.New("not now")
		}
		return nil
	})
	mails := newReactor(t, store, cfg, j.reaction())
	stop := react(t, mails)
	waits := deposit(t, store, "a", 1)
	deposit(t, store, "b", 1)
	eventually(t, func() bool { return len(j.of("b")) == 1 }, "what comes behind is handled")
	stop()
	status, err := mails.Status(t.Context())
	require.NoError(t, err)
	require.Less(t, status.Position, waits)

	j.failWith(nil)
	react(t, mails)
	eventually(t, func() bool { return len(j.of("a")) == 1 }, "what waited is handled")
	settled(t, mails, deposit(t, store, "b", 1))
	require.Equal(t, upTo(2), j.of("b"), "what was done is not repeated, because nothing crashed")
}

func TestAFailingStreamDoesNotHoldOthers(t *testing.T) {
	store, j := open(t), newJournal()
	cfg := quick()
	cfg.Workers, cfg.Retries, cfg.Backoff, cfg.MaxBackoff = 2, 1000, time.Hour, time.Hour
	j.failWith(func(_ deposited, r eventstore.Recorded) error {
		if r.Stream.ID[0] == 'f' {
			return errors.New("not now")
		}
		return nil
	})
	mails := newReactor(t, store, cfg, j.reaction())
	react(t, mails)
	before := deposit(t, store, "good", 1)
	for id := range 5 {
		deposit(t, store, fmt.Sprint("failing", id), 1)
	}
	for range 50 {
		deposit(t, store, "good", 1)
	}
	eventually(t, func() bool { return len(j.of("good")) == 51 }, "others go on")
	eventually(t, func() bool {
		status, err := mails.Status(t.Context())
		require.NoError(t, err)
		return status.UnderWay == 5 && status.Position == before
	}, "the checkpoint stands before what is not done")
}

func TestAStreamIsParkedAfterItsRetriesAndReplayedInOrder(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(func(e deposited, _ eventstore.Recorded) error {
		if e.Amount == 13 {
			return errors.New("unlucky")
		}
		return nil
	})
	mails := newReactor(t, store, quick(), j.reaction())
	react(t, mails)
	deposit(t, store, "a", 1, 13, 3)
	last := deposit(t, store, "a", 4)
	deposit(t, store, "b", 1)
	last = max(last, deposit(t, store, "b", 2))
	require.Equal(t, 1, settled(t, mails, last).Parked)
	require.Equal(t, upTo(2), j.of("b"))
	require.Equal(t, upTo(1), j.of("a"))

	parked, err := mails.ShowParked(t.Context(), account("a"))
	require.NoError(t, err)
	require.Equal(t, []reactor.Parked{parked}, parkedList(t, mails))
	require.Equal(t, eventstore.Version(2), parked.Version)
	require.Equal(t, "account.deposited", parked.Type)
	require.Equal(t, "unlucky", parked.Error)
	require.Equal(t, 4, parked.Attempts, "one try and three retries")
	require.Equal(t, 3, parked.Waiting)
	require.False(t, parked.First.After(parked.Last))
	require.False(t, parked.Replaying)
	c, err := store.At(t.Context(), parked.Position)
	require.NoError(t, err)
	require.Equal(t, c.ID.String()+"/1", parked.EventID)

	require.NoError(t, mails.ReplayParked(t.Context(), account("a")))
	eventually(t, func() bool {
		p, err := mails.ShowParked(t.Context(), account("a"))
		return err == nil && !p.Replaying
	}, "parked again")

	j.failWith(nil)
	require.NoError(t, mails.ReplayParked(t.Context(), account("a")))
	eventually(t, func() bool { return len(j.of("a")) == 4 }, "replayed")
	require.Equal(t, upTo(4), j.of("a"))
	eventually(t, func() bool { return len(parkedList(t, mails)) == 0 }, "nothing is parked")
	settled(t, mails, deposit(t, store, "a", 5))
	require.Equal(t, upTo(5), j.of("a"))

	require.ErrorIs(t, mails.ReplayParked(t.Context(), account("a")), reactor.ErrNotParked)
	require.ErrorIs(t, mails.Discard(t.Context(), account("a"), 2), reactor.ErrNotParked)
	_, err = mails.ShowParked(t.Context(), account("a"))
	require.ErrorIs(t, err, reactor.ErrNotParked)
}

func TestADiscardedEventIsLeftOutAndRecorded(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(func(e deposited, _ eventstore.Recorded) error {
		if e.Amount == 13 {
			return reactor.Permanent(errors.New("unlucky"))
		}
		return nil
	})
	mails := newReactor(t, store, quick(), j.reaction())
	stop := react(t, mails)
	settled(t, mails, deposit(t, store, "a", 1, 13, 3, 13, 5))
	parked := parkedList(t, mails)
	require.Len(t, parked, 1)
	require.Equal(t, 1, parked[0].Attempts, "a permanent error is not tried again")
	require.ErrorIs(t, mails.Discard(t.Context(), account("a"), 4), reactor.ErrNotParked, "it is parked at 2")
	stop()
	require.NoError(t, mails.Discard(t.Context(), account("a"), 2), "another process may wish, and nobody runs")
	stop = react(t, mails)
	eventually(t, func() bool {
		p, err := mails.ShowParked(t.Context(), account("a"))
		return err == nil && p.Version == 4 && !p.Replaying
	}, "parked at 4")
	require.NoError(t, mails.Discard(t.Context(), account("a"), 4))
	eventually(t, func() bool { return len(parkedList(t, mails)) == 0 }, "the stream goes on")
	require.Equal(t, []eventstore.Version{1, 3, 5}, j.of("a"))
	discarded := collect(t, mails.Discarded(t.Context()))
	require.Len(t, discarded, 2)
	require.Equal(t, eventstore.Version(2), discarded[0].Version)
	require.Equal(t, eventstore.Version(4), discarded[1].Version)
	require.Equal(t, "unlucky", discarded[1].Error)
	stop()
}

func TestAllParkedStreamsAreReplayed(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(func(deposited, eventstore.Recorded) error { return reactor.Permanent(errors.New("no")) })
	cfg := quick()
	cfg.Workers = 2
	mails := newReactor(t, store, cfg, j.reaction())
	react(t, mails)
	var last eventstore.Position
	for round := range 3 {
		for id := range 10 {
			last = deposit(t, store, fmt.Sprint(id), int64(round))
		}
	}
	require.Equal(t, 10, settled(t, mails, last).Parked)
	j.failWith(nil)
	n, err := mails.ReplayAllParked(t.Context())
	require.NoError(t, err)
	require.Equal(t, 10, n)
	eventually(t, func() bool { return len(parkedList(t, mails)) == 0 }, "nothing is parked")
	for id := range 10 {
		require.Equal(t, upTo(3), j.of(fmt.Sprint(id)))
	}
}

func TestAPanicIsAFailure(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(func(e deposited, _ eventstore.Recorded) error {
		if e.Amount == 13 {
			panic("unlucky")
		}
		return nil
	})
	mails := newReactor(t, store, quick(), j.reaction())
	react(t, mails)
	settled(t, mails, deposit(t, store, "a", 13))
	parked := parkedList(t, mails)
	require.Len(t, parked, 1)
	require.Equal(t, 4, parked[0].Attempts)
	require.Contains(t, parked[0].Error, `the reaction to "account.deposited": panicked: unlucky`)
}

func TestAReactionThatTakesTooLongIsAFailure(t *testing.T) {
	store := open(t)
	cfg := quick()
	cfg.Timeout, cfg.Retries = time.Millisecond, -1
	mails := newReactor(t, store, cfg, reactor.On(func(ctx context.Context, _ deposited, _ eventstore.Recorded) error {
		<-ctx.Done()
		return ctx.Err()
	}))
	react(t, mails)
	require.Equal(t, 1, settled(t, mails, deposit(t, store, "a", 1)).Parked)
}

func TestReactionsAreCheckedWhenTheReactorIsMade(t *testing.T) {
	store := open(t)
	type foreign struct{ deposited }
	nothing := reactor.On(func(context.Context, deposited, eventstore.Recorded) error { return nil })
	for name, reactions := range map[string][]reactor.Reaction{
		"an interface": {reactor.On(func(context.Context, eventstore.Event, eventstore.Recorded) error { return nil })},
		"a pointer":    {reactor.On(func(context.Context, *deposited, eventstore.Recorded) error { return nil })},
		"not known":    {reactor.On(func(context.Context, foreign, eventstore.Recorded) error { return nil })},
		"twice":        {nothing, nothing},
		"empty":        {{}},
		"none":         nil,
	} {
		_, err := reactor.Open(t.Context(), store, "r", nil, reactions...)
		require.ErrorIs(t, err, reactor.ErrInvalid, name)
	}
	_, err := reactor.Open(t.Context(), store, "r.r", nil, nothing)
	require.ErrorIs(t, err, reactor.ErrInvalid)
}

func TestAReactorRefusesAnotherStore(t *testing.T) {
	js := eventstoretest.JetStream(t)
	j := newJournal()
	begin := func() (*eventstore.Store, *reactor.Reactor) {
		store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		return store, newReactor(t, store, quick(), j.reaction())
	}
	store, mails := begin()
	stop := react(t, mails)
	settled(t, mails, deposit(t, store, "a", 1))
	stop()
	require.NoError(t, js.DeleteStream(t.Context(), "bank"))
	anew, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer anew.Close()
	_, err = reactor.Open(t.Context(), anew, "mails", quick(), j.reaction())
	require.ErrorIs(t, err, reactor.ErrOtherStore)
	require.ErrorContains(t, err, "nats stream purge KV_bank_control --subject='$KV.bank_control.reactor.mails.>'")
}

func TestAReactorRunsOnceAtATime(t *testing.T) {
	store := open(t)
	mails := newReactor(t, store, quick(), newJournal().reaction())
	react(t, mails)
	eventually(t, func() bool { s, err := mails.Status(t.Context()); return err == nil && s.Runner != "" }, "it runs")
	require.ErrorIs(t, mails.Run(t.Context()), reactor.ErrRunning)
}

// A bucket that its owner has closed does not come back, so Run waits for nothing.
func TestAReactorThatIsClosedEnds(t *testing.T) {
	store := open(t)
	mails, err := reactor.Open(t.Context(), store, "mails", quick(), newJournal().reaction())
	require.NoError(t, err)
	ended := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { ended <- mails.Run(ctx) }()
	settled(t, mails, deposit(t, store, "a", 1))
	require.NoError(t, mails.Close())
	require.ErrorContains(t, <-ended, "closed")
	require.ErrorContains(t, mails.Run(ctx), "closed")
}
