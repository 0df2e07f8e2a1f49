package aggregate_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/snapshot"
)

// program is one run of a program over a store. Only stored data outlives stop.
type program[S aggregate.State[S, event]] struct {
	js        jetstream.JetStream
	store     *eventstore.Store
	snapshots *snapshot.Cache
	accounts  *aggregate.Repository[S, event]
}

func start[S aggregate.State[S, event]](t testing.TB, js jetstream.JetStream, initial S, cfg snapshot.Config, ac aggregate.Config, more ...eventstore.Event) *program[S] {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", append(more, events...), nil)
	require.NoError(t, err)
	p := &program[S]{js: js, store: store}
	p.snapshots, err = snapshot.Open(t.Context(), store, "account", &cfg)
	require.NoError(t, err)
	ac.Snapshots = p.snapshots
	p.accounts, err = aggregate.New(store, "account", initial, &ac)
	require.NoError(t, err)
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop waits until the snapshots are saved.
func (p *program[S]) stop(t testing.TB) {
	t.Helper()
	require.NoError(t, p.snapshots.Close())
	require.NoError(t, p.store.Close())
}

func (p *program[S]) deposit(t testing.TB, id string, times int) aggregate.Result[S, event] {
	t.Helper()
	var result aggregate.Result[S, event]
	for range times {
		var err error
		result, err = p.accounts.Do(t.Context(), id, any(deposit{1}).(aggregate.Command[S, event]))
		require.NoError(t, err)
	}
	return result
}

// from returns where a repository took states from.
func from[S aggregate.State[S, event]](accounts *aggregate.Repository[S, event]) aggregate.Counters {
	counters := accounts.Counters()
	counters.Snapshots = snapshot.Counters{}
	return counters
}

func TestAStateIsTakenFromItsSnapshot(t *testing.T) {
	js := eventstoretest.JetStream(t)
	cfg := snapshot.Config{Every: 10}
	first := start(t, js, balance{}, cfg, aggregate.Config{})
	last := first.deposit(t, "1", 25)
	require.Equal(t, aggregate.Counters{Cached: 24, Replayed: 1}, from(first.accounts))
	first.stop(t)
	require.Equal(t, int64(2), first.accounts.Counters().Snapshots.Saved, "after 10 and 20 commits")

	second := start(t, js, balance{}, cfg, aggregate.Config{})
	state, err := second.accounts.Load(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, balance{25}, state.State)
	require.Equal(t, last.Version, state.Version)
	require.Equal(t, last.Position, state.Position)
	require.Equal(t, aggregate.Counters{Restored: 1}, from(second.accounts))
	require.Equal(t, balance{29}, second.deposit(t, "1", 4).State)
	second.stop(t)
	require.Zero(t, second.accounts.Counters().Snapshots.Saved)

	third := start(t, js, balance{}, cfg, aggregate.Config{})
	require.Equal(t, balance{30}, third.deposit(t, "1", 1).State)
	require.Equal(t, aggregate.Counters{Restored: 1}, from(third.accounts))
	third.stop(t)
	require.Equal(t, int64(1), third.accounts.Counters().Snapshots.Saved, "10 commits beyond the one that was found")
}

// cents is a balance whose field was renamed.
type cents struct{ Cents int64 }

func (c cents) Evolve(e event) cents { c.Cents = balance{c.Cents}.Evolve(e).Amount; return c }

// audited is an event that a later release knows.
type audited struct{}

func (audited) EventType() string { return "account.audited" }
func (audited) account()          {}

func TestASnapshotOfAnotherReleaseIsNotRead(t *testing.T) {
	js := eventstoretest.JetStream(t)
	cfg := snapshot.Config{Every: 10}
	first := start(t, js, balance{}, cfg, aggregate.Config{})
	first.deposit(t, "1", 20)
	first.stop(t)

	for name, check := range map[string]func(name string){
		"of another fold version": func(name string) {
			replays(t, name, start(t, js, balance{}, snapshot.Config{Every: 1000, FoldVersion: 2}, aggregate.Config{}), balance{20})
		},
		"of another state type": func(name string) {
			replays(t, name, start(t, js, cents{}, snapshot.Config{Every: 1000}, aggregate.Config{}), cents{20})
		},
		"of other events": func(name string) {
			replays(t, name, start(t, js, balance{}, snapshot.Config{Every: 1000}, aggregate.Config{}, audited{}), balance{20})
		},
	} {
		check(name)
	}
	same := start(t, js, balance{}, snapshot.Config{Every: 1000}, aggregate.Config{})
	_, err := same.accounts.Load(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, int64(1), same.accounts.Counters().Restored, "of the same release it is")
}

func replays[S aggregate.State[S, event]](t *testing.T, name string, p *program[S], want S) {
	t.Helper()
	state, err := p.accounts.Load(t.Context(), "1")
	require.NoError(t, err, name)
	require.Equal(t, want, state.State, name)
	require.Equal(t, aggregate.Counters{Replayed: 1}, from(p.accounts), name)
	require.Equal(t, int64(1), p.accounts.Counters().Snapshots.Ignored, name)
}

// paid is the old type of deposited.
type paid struct{ Amount int64 }

func (paid) EventType() string { return "account.paid" }

func TestASnapshotOfAnotherUpcasterIsNotRead(t *testing.T) {
	js := eventstoretest.JetStream(t)
	old, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{paid{}}, nil)
	require.NoError(t, err)
	defer old.Close()
	var head eventstore.Head
	for range 12 {
		c, err := old.Append(t.Context(), eventstore.StreamID{Category: "account", ID: "1"}, head, paid{1})
		require.NoError(t, err)
		head = c.Head()
	}
	load := func(factor int64) (balance, aggregate.Counters) {
		upcaster := eventstore.Upcast(func(e paid) deposited { return deposited{factor * e.Amount} })
		store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Upcasters: []eventstore.Upcaster{upcaster}})
		require.NoError(t, err)
		defer store.Close()
		snapshots, err := snapshot.Open(t.Context(), store, "account", &snapshot.Config{Every: 10, FoldVersion: int(factor)})
		require.NoError(t, err)
		defer snapshots.Close()
		accounts, err := aggregate.New(store, "account", balance{}, &aggregate.Config{Snapshots: snapshots})
		require.NoError(t, err)
		state, err := accounts.Load(t.Context(), "1")
		require.NoError(t, err)
		return state.State, from(accounts)
	}
	for _, step := range []struct {
		factor int64
		from   aggregate.Counters
	}{{1, aggregate.Counters{Replayed: 1}}, {1, aggregate.Counters{Restored: 1}}, {3, aggregate.Counters{Replayed: 1}}, {3, aggregate.Counters{Restored: 1}}} {
		state, from := load(step.factor)
		require.Equal(t, balance{12 * step.factor}, state)
		require.Equal(t, step.from, from)
	}
}

// Two stores have one name, as if a store was made anew beside a bucket of the old one.
func TestASnapshotOfAnotherStoreIsNotRead(t *testing.T) {
	js := eventstoretest.JetStream(t)
	first := start(t, js, balance{}, snapshot.Config{Every: 10}, aggregate.Config{})
	first.deposit(t, "1", 20)
	first.stop(t)
	require.NoError(t, js.DeleteStream(t.Context(), "bank"))
	_, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	var lost *eventstore.LogRewoundError
	require.ErrorAs(t, err, &lost)
	require.NoError(t, eventstore.AcceptRewind(t.Context(), js, lost))

	second := start(t, js, balance{}, snapshot.Config{Every: 1000}, aggregate.Config{})
	require.Equal(t, balance{1}, second.deposit(t, "1", 1).State)
	require.Equal(t, int64(1), second.accounts.Counters().Snapshots.Ignored)
}

func TestADamagedSnapshotIsNotRead(t *testing.T) {
	js := eventstoretest.JetStream(t)
	first := start(t, js, balance{}, snapshot.Config{Every: 10}, aggregate.Config{})
	first.deposit(t, "1", 20)
	first.stop(t)
	bucket, err := js.KeyValue(t.Context(), "bank_account_snapshots")
	require.NoError(t, err)
	entry, err := bucket.Get(t.Context(), "1")
	require.NoError(t, err)
	damaged := bytes.Clone(entry.Value())
	damaged[len(damaged)-2] ^= 4 // in the state
	_, err = bucket.Put(t.Context(), "1", damaged)
	require.NoError(t, err)

	second := start(t, js, balance{}, snapshot.Config{Every: 1000}, aggregate.Config{})
	require.Equal(t, balance{21}, second.deposit(t, "1", 1).State)
	require.Equal(t, int64(1), second.accounts.Counters().Snapshots.Ignored)
}

func TestAnErasedStreamHasNoState(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Erasure: true})
	require.NoError(t, err)
	defer store.Close()
	snapshots, err := snapshot.Open(t.Context(), store, "account", &snapshot.Config{Every: 1})
	require.NoError(t, err)
	defer snapshots.Close()
	accounts, err := aggregate.New(store, "account", balance{}, &aggregate.Config{Snapshots: snapshots, CacheSize: -1})
	require.NoError(t, err)
	_, err = accounts.Do(t.Context(), "1", deposit{5})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return accounts.Counters().Snapshots.Saved == 1 }, eventuallyWait, eventuallyTick)
	require.NoError(t, store.Erase(t.Context(), eventstore.StreamID{Category: "account", ID: "1"}, "asked to"))
	_, err = accounts.Load(t.Context(), "1")
	require.ErrorIs(t, err, eventstore.ErrErased, "with its snapshot still there")
	require.NoError(t, snapshots.Delete(t.Context(), "1"))
	_, err = accounts.Load(t.Context(), "1")
	require.ErrorIs(t, err, eventstore.ErrErased)
}

// secretive has a field that no codec sees.
type secretive struct{ amount int64 }

func (s secretive) Evolve(event) secretive { s.amount++; return s }

// listed holds a slice and cannot be cloned.
type listed struct{ Amounts []int64 }

func (l listed) Evolve(event) listed { return l }

func TestSnapshotsThatCannotWorkAreRefused(t *testing.T) {
	store := open(t)
	snapshots, err := snapshot.Open(t.Context(), store, "account", nil)
	require.NoError(t, err)
	defer snapshots.Close()
	cfg := &aggregate.Config{Snapshots: snapshots}

	_, err = aggregate.New(store, "account", secretive{}, cfg)
	require.ErrorIs(t, err, aggregate.ErrInvalid)
	require.EqualError(t, err, "aggregate: account: invalid repository: state of account: "+
		"aggregate_test.secretive.amount is not exported, so it would be lost: export it, or leave it out with the tag `msgpack:\"-\"`")
	_, err = aggregate.New(store, "account", listed{}, cfg)
	require.ErrorIs(t, err, aggregate.ErrInvalid)
	require.ErrorContains(t, err, "give it a method Clone() aggregate_test.listed")
	_, err = aggregate.New(store, "savings", balance{}, cfg)
	require.ErrorIs(t, err, aggregate.ErrInvalid)
	_, err = snapshot.Open(t.Context(), store, "no category", nil)
	require.ErrorIs(t, err, eventstore.ErrInvalidID)
}

// fewest returns the number of messages that came in for a command or a load. It takes the fewest of several times,
// because the store writes its mark meanwhile.
func fewest(js jetstream.JetStream, do func(try int)) uint64 {
	least := ^uint64(0)
	for try := range 5 {
		before := js.Conn().Stats().InMsgs
		do(try)
		least = min(least, js.Conn().Stats().InMsgs-before)
	}
	return least
}

// The cost of a load is counted in messages, because other work on the machine does not change their number.
func TestALoadCostsTheSameHoweverLongTheStreamIs(t *testing.T) {
	js := eventstoretest.JetStream(t)
	cfg := snapshot.Config{Every: 50}
	first := start(t, js, balance{}, cfg, aggregate.Config{})
	lengths := []int{1, 49, 50, 99, 100, 149, 1000, 1049}
	for _, length := range lengths {
		first.deposit(t, fmt.Sprint(length), length)
	}
	first.stop(t)
	require.Zero(t, first.accounts.Counters().Snapshots.Failed)

	second := start(t, js, balance{}, cfg, aggregate.Config{CacheSize: -1})
	most := uint64(51)
	if replicated(t, js) {
		most++ // the leader is also asked if there is no snapshot
	}
	for _, length := range lengths {
		// The snapshot, the stream's newest commit, and at most 49 more back to the snapshot's own.
		require.LessOrEqual(t, fewest(js, func(int) {
			state, err := second.accounts.Load(t.Context(), fmt.Sprint(length))
			require.NoError(t, err)
			require.Equal(t, int64(length), state.State.Amount)
		}), most, "a stream of %d", length)
	}
	require.Equal(t, int64(6*5), second.accounts.Counters().Restored)

	// More commits came since than links reach, so only this load reads the log with a filter.
	for range 100 {
		_, err := second.store.Append(t.Context(), eventstore.StreamID{Category: "account", ID: "1049"}, headOf(t, second.store, "1049"), deposited{1})
		require.NoError(t, err)
	}
	third := start(t, js, balance{}, snapshot.Config{Every: 1000}, aggregate.Config{CacheSize: -1}) // saves no snapshot
	require.LessOrEqual(t, fewest(js, func(int) {
		state, err := third.accounts.Load(t.Context(), "1049")
		require.NoError(t, err)
		require.Equal(t, int64(1149), state.State.Amount)
	}), uint64(1+65+150+8))
}

// replicated reports whether the store has several replicas.
func replicated(t *testing.T, js jetstream.JetStream) bool {
	t.Helper()
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	return stream.CachedInfo().Config.Replicas > 1
}

func headOf(t *testing.T, store *eventstore.Store, id string) eventstore.Head {
	t.Helper()
	head, err := store.Head(t.Context(), eventstore.StreamID{Category: "account", ID: id})
	require.NoError(t, err)
	return head
}
