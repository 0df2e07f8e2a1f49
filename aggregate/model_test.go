package aggregate_test

import (
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/snapshot"
)

// TestAggregatesBehaveAsAMapOfBalances sends random commands through several repositories over one store, with
// different caches and snapshots. It compares their answers with plain maps and slices. Meanwhile, the server is
// stopped and started, and acknowledgements are lost.
func TestAggregatesBehaveAsAMapOfBalances(t *testing.T) {
	proptest.Runs(t, 5)
	server := eventstoretest.NewServer(t, eventstoretest.Memory())
	proxy := server.Proxy(t)
	js := proxy.JetStream(t)
	names := 0
	rapid.Check(t, func(rt *rapid.T) {
		names++
		m := &bankModel{t: t, server: server, proxy: proxy, js: js, name: fmt.Sprintf("bank%d", names),
			accounts: make(map[string][]done), owners: make(map[string]string)}
		m.open(rt)
		rt.Repeat(map[string]func(*rapid.T){
			"do": m.do, "transact": m.transact, "again": m.again, "claim": m.claim, "load": m.load, "race": m.race, "race for a key": m.raceForAKey,
			"reopen": m.reopen, "restart": m.restart, "": m.check,
		})
		m.close(rt)
		require.NoError(rt, js.DeleteStream(t.Context(), m.name))
		for _, bucket := range []string{m.name + "_control", m.name + "_account_snapshots"} {
			if err := js.DeleteKeyValue(t.Context(), bucket); !errors.Is(err, jetstream.ErrBucketNotFound) {
				require.NoError(rt, err)
			}
		}
	})
}

const (
	modelWindow   = 4
	modelRestarts = 2
)

func (b balance) total() int64 { return b.Amount }

// purse counts coins by their worth, in a map that Evolve changes in place.
type purse struct{ Coins map[int64]int64 }

func (p purse) Clone() purse { p.Coins = maps.Clone(p.Coins); return p }

func (p purse) Evolve(e event) purse {
	switch e := e.(type) {
	case deposited:
		p.Coins[e.Amount]++
	case withdrawn:
		p.Coins[e.Amount]--
	}
	return p
}

func (p purse) total() (sum int64) {
	for worth, count := range p.Coins {
		sum += worth * count
	}
	return sum
}

type counter[S any] interface {
	aggregate.State[S, event]
	total() int64
}

// add deposits an amount, with two events if it is above five, or withdraws a negative amount.
type add[S counter[S]] struct{ Amount int64 }

func (c add[S]) Decide(s S) ([]event, error) {
	if s.total()+c.Amount < 0 {
		return nil, errFunds
	}
	return c.events(), nil
}

func (c add[S]) events() []event { return decided(c.Amount) }

func decided(amount int64) []event {
	switch {
	case amount == 0:
		return nil
	case amount < 0:
		return []event{withdrawn{-amount}}
	case amount > 5:
		return []event{deposited{5}, deposited{amount - 5}}
	default:
		return []event{deposited{amount}}
	}
}

// outcome is the result of a command, whatever the type of the state.
type outcome struct {
	Balance  int64
	Version  eventstore.Version
	Position eventstore.Position
	Events   []event
	Repeated bool
}

func outcomeOf[S counter[S]](r aggregate.Result[S, event]) outcome {
	if len(r.Events) == 0 {
		r.Events = nil
	}
	return outcome{r.State.total(), r.Version, r.Position, r.Events, r.Repeated}
}

// party is a repository, whatever the type of its states.
type party struct {
	kind string // of its commands, which count as different under one key
	load func(id string) (outcome, error)
	do   func(id string, amount int64, options ...aggregate.Option) (outcome, error)
	on   func(id string, amount int64, options ...aggregate.Option) (aggregate.Operation, func() outcome)
}

func partyOf[S counter[S]](m *bankModel, rt *rapid.T, initial S, cfg aggregate.Config) party {
	cfg.KeyWindow, cfg.KeyAge = modelWindow, 1
	r, err := aggregate.New(m.store, "account", initial, &cfg)
	require.NoError(rt, err)
	return party{
		kind: fmt.Sprintf("%T", initial),
		load: func(id string) (outcome, error) {
			result, err := r.Load(m.t.Context(), id)
			return outcomeOf(result), err
		},
		do: func(id string, amount int64, options ...aggregate.Option) (outcome, error) {
			result, err := r.Do(m.t.Context(), id, add[S]{amount}, options...)
			return outcomeOf(result), err
		},
		on: func(id string, amount int64, options ...aggregate.Option) (aggregate.Operation, func() outcome) {
			op := r.On(id, add[S]{amount}, options...)
			return op, func() outcome { return outcomeOf(op.Result()) }
		},
	}
}

// bankModel is a store with repositories, and the commits that it must hold.
type bankModel struct {
	t         *testing.T
	server    *eventstoretest.Server
	proxy     *eventstoretest.Proxy
	js        jetstream.JetStream
	name      string
	restarts  int
	store     *eventstore.Store
	snapshots *snapshot.Cache
	parties   []party
	bare      party // keeps nothing
	names     *aggregate.Unique

	accounts map[string][]done // the commits of each account, oldest first
	owners   map[string]string // of unique values
	end      eventstore.Position
	sent     [][]step // the steps that were done under a key
}

// done is one commit.
type done struct {
	key, kind   string
	amount      int64
	last        eventstore.Version
	position    eventstore.Position
	transaction eventstore.Position // the position of its first commit; 0 outside of a transaction
	guarded     []string            // the accounts whose commands had nothing to do in the transaction
}

func (m *bankModel) open(rt *rapid.T) {
	var err error
	m.store, err = eventstore.Open(m.t.Context(), m.js, m.name, events, &eventstore.Config{AckTimeout: 20 * time.Millisecond})
	require.NoError(rt, err)
	m.snapshots, err = snapshot.Open(m.t.Context(), m.store, "account", &snapshot.Config{Every: 2})
	require.NoError(rt, err)
	m.names, err = aggregate.NewUnique(m.store, "name", secret, nil)
	require.NoError(rt, err)
	m.bare = partyOf(m, rt, balance{}, aggregate.Config{CacheSize: -1})
	m.parties = []party{
		m.bare,
		partyOf(m, rt, balance{}, aggregate.Config{CacheSize: 1}),
		partyOf(m, rt, balance{}, aggregate.Config{}),
		partyOf(m, rt, balance{}, aggregate.Config{CacheSize: -1, Snapshots: m.snapshots}),
		partyOf(m, rt, purse{Coins: map[int64]int64{}}, aggregate.Config{}),
	}
}

func (m *bankModel) close(rt *rapid.T) {
	require.NoError(rt, m.snapshots.Close())
	require.NoError(rt, m.store.Close())
}

// reopen begins again with empty caches, as another process would.
func (m *bankModel) reopen(rt *rapid.T) {
	m.close(rt)
	m.open(rt)
}

func (m *bankModel) restart(rt *rapid.T) {
	if m.restarts == modelRestarts {
		rt.Skip("often enough")
	}
	m.restarts++
	before := m.js.Conn().Stats().Reconnects
	m.server.Restart()
	// A question that is under way when the connection breaks waits 5 seconds for its answer.
	require.Eventually(rt, func() bool { return m.js.Conn().Stats().Reconnects > before }, 10*time.Second, time.Millisecond)
}

// now returns the present state of an account.
func (m *bankModel) now(id string) outcome {
	var o outcome
	for _, d := range m.accounts[id] {
		o.Balance += d.amount
		o.Version, o.Position = d.last, d.position
	}
	return o
}

// step is one command on one account.
type step struct {
	repository int // in parties
	kind       string
	id         string
	amount     int64
	key        string
	issuedAt   *eventstore.Position
	ifVersion  *eventstore.Version
}

var (
	someAccount = rapid.SampledFrom([]string{"a", "b", "c"})
	someAmount  = rapid.Int64Range(-6, 9)
	someKey     = rapid.SampledFrom([]string{"k", "l"})
)

func (m *bankModel) step(rt *rapid.T, id string, keyed bool) step {
	s := step{repository: rapid.IntRange(0, len(m.parties)-1).Draw(rt, "repository"), id: id, amount: someAmount.Draw(rt, "amount")}
	s.kind = m.parties[s.repository].kind
	if keyed {
		s.key = someKey.Draw(rt, "key")
		if rapid.Bool().Draw(rt, "exactly") {
			issued := eventstore.Position(rapid.Uint64Range(0, uint64(m.end)).Draw(rt, "issued at"))
			s.issuedAt = &issued
		}
	}
	if rapid.IntRange(0, 5).Draw(rt, "conditional") == 5 {
		version := eventstore.Version(rapid.Uint64Range(0, uint64(m.now(id).Version)+1).Draw(rt, "version"))
		s.ifVersion = &version
	}
	return s
}

func (s step) options() []aggregate.Option {
	var options []aggregate.Option
	switch {
	case s.issuedAt != nil:
		options = append(options, aggregate.KeyIssuedAt(s.key, *s.issuedAt))
	case s.key != "":
		options = append(options, aggregate.Key(s.key))
	}
	if s.ifVersion != nil {
		options = append(options, aggregate.IfVersion(*s.ifVersion))
	}
	return options
}

// hasNothingToDo reports whether the step decides no events.
func (s step) hasNothingToDo(now outcome) bool {
	return s.amount == 0 && (s.ifVersion == nil || *s.ifVersion == now.Version)
}

func (m *bankModel) do(rt *rapid.T) {
	m.run(rt, m.step(rt, someAccount.Draw(rt, "account"), rapid.Bool().Draw(rt, "keyed")))
}

func (m *bankModel) transact(rt *rapid.T) {
	ids := rapid.SliceOfNDistinct(someAccount, 2, 3, rapid.ID).Draw(rt, "accounts")
	keyed := rapid.IntRange(-1, len(ids)-1).Draw(rt, "keyed")
	steps := make([]step, len(ids))
	for i, id := range ids {
		steps[i] = m.step(rt, id, i == keyed)
	}
	m.run(rt, steps...)
}

// again repeats steps that were done under a key.
func (m *bankModel) again(rt *rapid.T) {
	if len(m.sent) == 0 {
		rt.Skip("nothing was done under a key")
	}
	m.run(rt, rapid.SampledFrom(m.sent).Draw(rt, "sent")...)
}

func (m *bankModel) run(rt *rapid.T, steps ...step) {
	defer m.loseAcknowledgements(rt)()
	if len(steps) == 1 {
		s := steps[0]
		result, err := m.parties[s.repository].do(s.id, s.amount, s.options()...)
		m.verify(rt, steps, []outcome{result}, err)
		return
	}
	ops := make([]aggregate.Operation, len(steps))
	results := make([]func() outcome, len(steps))
	for i, s := range steps {
		ops[i], results[i] = m.parties[s.repository].on(s.id, s.amount, s.options()...)
	}
	err := aggregate.Transact(m.t.Context(), m.store, nil, ops...)
	outcomes := make([]outcome, len(steps))
	for i, result := range results {
		outcomes[i] = result()
	}
	m.verify(rt, steps, outcomes, err)
}

func (m *bankModel) loseAcknowledgements(rt *rapid.T) (callOff func()) {
	if rapid.IntRange(0, 7).Draw(rt, "lost") == 7 {
		m.proxy.DropAcks(1)
	}
	return func() { m.proxy.DropAcks(0) }
}

// claim claims or releases a unique value together with a command of its owner.
func (m *bankModel) claim(rt *rapid.T) {
	s := m.step(rt, someAccount.Draw(rt, "account"), false)
	value := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "value")
	release := rapid.Bool().Draw(rt, "release")
	claim, owner := m.names.Claim(value, s.id), s.id
	if release {
		claim, owner = m.names.Release(value, s.id), ""
	}
	op, result := m.parties[s.repository].on(s.id, s.amount, s.options()...)
	defer m.loseAcknowledgements(rt)()
	err := aggregate.Transact(m.t.Context(), m.store, nil, op, claim)
	want := m.no([]step{s})
	if before := m.owners[value]; want == nil && before != "" && before != s.id {
		want = aggregate.ErrTaken
	}
	if want != nil {
		require.ErrorIs(rt, err, want)
		return
	}
	require.NoError(rt, err)
	if (s.amount != 0) != (m.owners[value] != owner) {
		m.end++ // the guard of the one that decided nothing
	}
	m.stored(rt, []step{s}, []outcome{result()})
	if m.owners[value] != owner {
		m.owners[value] = owner
		m.end++
	}
}

func (m *bankModel) load(rt *rapid.T) {
	id := someAccount.Draw(rt, "account")
	result, err := rapid.SampledFrom(m.parties).Draw(rt, "repository").load(id)
	require.NoError(rt, err)
	require.Equal(rt, m.now(id), result)
}

// race lets all repositories deposit at once. Each deposit must succeed.
func (m *bankModel) race(rt *rapid.T) {
	id := someAccount.Draw(rt, "account")
	results, errs := m.atOnce(m.parties, id, 3)
	seen := make(map[eventstore.Version]bool)
	for i, err := range errs {
		require.NoError(rt, err)
		seen[results[i].Version] = true
	}
	require.Len(rt, seen, len(m.parties))
	for _, p := range m.parties {
		m.end++
		now := m.now(id)
		m.accounts[id] = append(m.accounts[id], done{kind: p.kind, amount: 3, last: now.Version + 1, position: m.end})
	}
}

// raceForAKey lets all repositories of one kind send the same command under one key. It is done once.
func (m *bankModel) raceForAKey(rt *rapid.T) {
	s := step{kind: m.bare.kind, id: someAccount.Draw(rt, "account"), amount: 4, key: fmt.Sprintf("of %d", m.end)}
	results, errs := m.atOnce(m.parties[:4], s.id, s.amount, s.options()...)
	var first outcome
	for i, err := range errs {
		require.NoError(rt, err)
		if !results[i].Repeated {
			require.Zero(rt, first.Version)
			first = results[i]
		}
	}
	m.stored(rt, []step{s}, []outcome{first})
	first.Repeated = true
	for _, result := range results {
		result.Repeated = true
		require.Equal(rt, first, result)
	}
}

func (m *bankModel) atOnce(parties []party, id string, amount int64, options ...aggregate.Option) ([]outcome, []error) {
	results, errs := make([]outcome, len(parties)), make([]error, len(parties))
	var all sync.WaitGroup
	for i, p := range parties {
		all.Go(func() { results[i], errs[i] = p.do(id, amount, options...) })
	}
	all.Wait()
	return results, errs
}

// check compares everything that a repository without a cache reads.
func (m *bankModel) check(rt *rapid.T) {
	for _, id := range []string{"a", "b", "c"} {
		result, err := m.bare.load(id)
		require.NoError(rt, err)
		require.Equal(rt, m.now(id), result)
	}
	for _, value := range []string{"x", "y"} {
		owner, _, err := m.names.Owner(m.t.Context(), value)
		require.NoError(rt, err)
		require.Equal(rt, m.owners[value], owner)
	}
	end, err := m.store.End(m.t.Context())
	require.NoError(rt, err)
	require.Equal(rt, m.end, end)
}
