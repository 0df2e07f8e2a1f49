//go:build unix

package projection_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// stormDoc is a document of the storm's view.
type stormDoc struct {
	Fold     int                 // the fold version that made it
	Position eventstore.Position // of the last event that was folded in
	Events   int
	Sum      int64 // depends on the events and on their order
}

const (
	stormView   = "storm"
	stormSum    = "all" // the key of a document that each event changes
	victim      = "victim-"
	poisonous   = 13
	stormWidth  = 16 // accounts
	stormAppend = 2  // goroutines that append
)

// stormKeys returns the keys of the documents that an event changes. A victim's event changes no other document,
// because what is poisonous parks all of its keys.
func stormKeys(e deposited) []string {
	if strings.HasPrefix(e.Text, victim) {
		return []string{e.Text}
	}
	return []string{e.Text, stormSum}
}

// stormFold folds one event as a release does. Release 2 counts ten times as much.
func stormFold(release int, d stormDoc, e deposited, r eventstore.Recorded) stormDoc {
	amount := e.Amount
	if release == 2 {
		amount *= 10
	}
	return stormDoc{Fold: release, Position: r.Position, Events: d.Events + 1, Sum: (d.Sum*31 + amount + int64(r.Version())) % 1_000_000_007}
}

// stormRules returns the rules of a release. Before each fold of a deposit they call a function, which may take its
// time.
func stormRules(release int, before func(deposited, eventstore.Recorded)) []projection.Rule[stormDoc] {
	return []projection.Rule[stormDoc]{
		projection.OnRecorded(func(d stormDoc, e deposited, r eventstore.Recorded) stormDoc {
			before(e, r)
			return stormFold(release, d, e, r)
		}).ByEach(stormKeys),
		projection.Delete(func(stormDoc, withdrawn) bool { return true }),
	}
}

// accounts is what is appended to the log. Nothing stands between it and the servers but their own failures.
type accounts struct {
	storm   *storm
	store   *eventstore.Store
	burst   atomic.Bool // appends ten times as fast
	victims atomic.Int64

	mu     sync.Mutex
	latest map[string]eventstore.Position // of the last commit under a key that was acknowledged
}

func newAccounts(s *storm) *accounts {
	s.t.Helper()
	store, err := eventstore.Open(s.t.Context(), s.sky.connect(s.t), "bank", events, &eventstore.Config{Replicas: s.sky.replicas()})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, store.Close()) })
	return &accounts{storm: s, store: store, latest: make(map[string]eventstore.Position)}
}

// append appends until ctx ends, about 100 commits a second, and 1,000 in a burst.
func (a *accounts) append(ctx context.Context) {
	var appending sync.WaitGroup
	for i := range stormAppend {
		random := rand.New(rand.NewPCG(a.storm.seed, uint64(100+i)))
		appending.Go(func() {
			for ctx.Err() == nil {
				pause := 20 * time.Millisecond
				if a.burst.Load() {
					pause = time.Millisecond
				}
				idle(ctx, pause)
				if err := a.appendTo(ctx, fmt.Sprint(random.IntN(stormWidth/stormAppend)*stormAppend+i), random); err != nil {
					a.storm.count("appends without an answer")
				}
			}
		})
	}
	appending.Wait()
}

// appendTo appends some events to one account.
func (a *accounts) appendTo(ctx context.Context, id string, random *rand.Rand) error {
	var batch []eventstore.Event
	for range 1 + random.IntN(3) {
		batch = append(batch, deposited{Amount: random.Int64N(100), Text: id})
	}
	if random.IntN(20) == 0 {
		batch = append(batch, withdrawn{})
	}
	return a.commit(ctx, id, batch...)
}

func (a *accounts) commit(ctx context.Context, id string, batch ...eventstore.Event) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	head, err := a.store.Head(ctx, account(id))
	if err != nil {
		return err
	}
	c, err := a.store.Append(ctx, account(id), head, batch...)
	if err != nil {
		return err
	}
	a.storm.count("commits appended")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.latest[id] = c.Position
	if !strings.HasPrefix(id, victim) {
		a.latest[stormSum] = max(a.latest[stormSum], c.Position)
	}
	return nil
}

// appendPoison appends an event that cannot be folded yet.
func (a *accounts) appendPoison(ctx context.Context) {
	id := fmt.Sprint(victim, a.victims.Add(1))
	for _, amount := range []int64{1, poisonous, 2} {
		if a.commit(ctx, id, deposited{Amount: amount, Text: id}) != nil {
			return
		}
	}
	a.storm.count("events that cannot be folded yet")
}

// appendOne appends an event in the calm.
func (a *accounts) appendOne() eventstore.Position {
	a.storm.t.Helper()
	require.NoError(a.storm.t, a.commit(a.storm.t.Context(), "0", deposited{Amount: 1, Text: "0"}))
	return a.lastOf("0")
}

// lastOf returns the position of the last acknowledged commit under a key.
func (a *accounts) lastOf(key string) eventstore.Position {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.latest[key]
}

// end returns where the log ends, once the servers say so.
func (a *accounts) end() (end eventstore.Position) {
	a.storm.t.Helper()
	require.Eventually(a.storm.t, func() (ok bool) {
		var err error
		end, err = a.store.End(a.storm.t.Context())
		return err == nil
	}, time.Minute, 50*time.Millisecond)
	return end
}

// past is all documents that one release makes of the log, at all positions.
type past struct {
	states map[string][]state
}

// state is a document from a position on.
type state struct {
	from    eventstore.Position
	doc     stormDoc
	deleted bool
}

// past folds the log as both releases do.
func (a *accounts) past() map[int]*past {
	a.storm.t.Helper()
	all := map[int]*past{1: {make(map[string][]state)}, 2: {make(map[string][]state)}}
	for r, err := range a.store.All(a.storm.t.Context()) {
		require.NoError(a.storm.t, err)
		decoded, err := r.Decode()
		require.NoError(a.storm.t, err)
		for release, p := range all {
			switch e := decoded[0].(type) {
			case deposited:
				for _, key := range stormKeys(e) {
					p.add(key, state{from: r.Position, doc: stormFold(release, p.last(key).doc, e, r)})
				}
			case withdrawn:
				p.add(r.Stream.ID, state{from: r.Position, deleted: true})
			}
		}
	}
	return all
}

// add adds a state. Only the last one of a commit is ever seen.
func (p *past) add(key string, next state) {
	states := p.states[key]
	if n := len(states); n > 0 && states[n-1].from == next.from {
		states = states[:n-1]
	}
	p.states[key] = append(states, next)
}

func (p *past) last(key string) state {
	if states := p.states[key]; len(states) > 0 {
		return states[len(states)-1]
	}
	return state{deleted: true}
}

// latest returns the documents at the end of the log.
func (p *past) latest() map[string]stormDoc {
	docs := make(map[string]stormDoc)
	for key := range p.states {
		if last := p.last(key); !last.deleted {
			docs[key] = last.doc
		}
	}
	return docs
}

// at returns the document that was changed at a position.
func (p *past) at(key string, position eventstore.Position) (stormDoc, bool) {
	if p == nil {
		return stormDoc{}, false
	}
	i, ok := slices.BinarySearchFunc(p.states[key], position, func(s state, position eventstore.Position) int { return int(s.from) - int(position) })
	if !ok || p.states[key][i].deleted {
		return stormDoc{}, false
	}
	return p.states[key][i].doc, true
}

// deletedBehind reports whether the key's document was deleted after a position.
func (p *past) deletedBehind(key string, position eventstore.Position) bool {
	return slices.ContainsFunc(p.states[key], func(s state) bool { return s.deleted && s.from > position })
}

// keys are the keys of the documents that readers read.
func (a *accounts) keys() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Sorted(maps.Keys(a.latest))
}
