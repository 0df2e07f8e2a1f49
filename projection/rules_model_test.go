package projection_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/projection"
)

// drawn is an event of the model: what each rule does for it depends on its fields alone.
type drawn struct {
	N        int
	Key      string
	Each     []string
	From, To string
	Bad      int // the rule that fails, counted from 1, 0 for none
	How      string
}

func (drawn) EventType() string { return "model.drawn" }

// page is a document of the model. Its map is changed in place.
type page struct {
	Sum   int
	Seen  map[string]int
	Notes []string
	Text  string
}

func (p page) noted(what string, n int) page {
	if p.Seen == nil {
		p.Seen = make(map[string]int)
	}
	p.Seen[what] += n
	p.Sum += n
	p.Notes = append(p.Notes, fmt.Sprint(what, n))
	return p
}

func (p page) copied() page {
	p.Seen, p.Notes = maps.Clone(p.Seen), slices.Clone(p.Notes)
	return p
}

// kinds are the rules that are drawn from.
var kinds = []string{"on", "delete", "each", "move", "on-to", "delete-to", "delete-each"}

// foldKind folds as the rules that do not move documents. It returns the document, and whether it is deleted.
func foldKind(kind string, p page, e drawn) (page, bool) {
	switch kind {
	case "delete", "delete-to", "delete-each":
		return p, p.Sum%3 == 0
	}
	return p.noted(kind, e.N), false
}

func keysOfKind(kind string, e drawn) []string {
	switch kind {
	case "each", "delete-each":
		return e.Each
	case "on-to", "delete-to":
		return []string{e.To}
	}
	return []string{e.Key}
}

// harmed does what is wrong with an event for a rule, behind the fold, so that what the fold changed in place must be
// taken back.
func harmed(p page, e drawn, rule int, mended bool) page {
	if e.Bad != rule+1 || mended {
		return p
	}
	if e.How == "panic" {
		panic("drawn")
	}
	p.Text = strings.Repeat("x", 2<<20)
	return p
}

func drawnRules(kinds []string, mended bool) (rules []projection.Rule[page]) {
	for i, kind := range kinds {
		keys := func(e drawn) []string { return keysOfKind(kind, e) }
		switch {
		case kind == "move":
			rules = append(rules, projection.Move[page](func(e drawn) (from, to string) { return e.From, e.To }))
		case strings.HasPrefix(kind, "delete"):
			rules = append(rules, projection.Delete(func(p page, e drawn) bool {
				_, deleted := foldKind(kind, harmed(p, e, i, mended || e.How != "panic"), e)
				return deleted
			}).ByEach(keys))
		default:
			rules = append(rules, projection.On(func(p page, e drawn) page {
				p, _ = foldKind(kind, p, e)
				return harmed(p, e, i, mended)
			}).ByEach(keys))
		}
	}
	return rules
}

// model is what a view must hold, worked out the plain way: one event after the other, in memory.
type model struct {
	kinds  []string
	mended bool
	docs   map[string]page
	parked map[string]stop
}

// stop says at which event a key is parked, and how many events wait behind.
type stop struct {
	at      eventstore.Position
	index   int
	waiting int64
}

func newModel(kinds []string, mended bool) *model {
	return &model{kinds: kinds, mended: mended, docs: make(map[string]page), parked: make(map[string]stop)}
}

// modelKey is the name under which the model parks a key.
func modelKey(key string) (name string, storable bool) {
	if len(key) > 256 || strings.Contains(key, "\xff") {
		return "unstorable " + key[:1], false
	}
	return key, true
}

// trial is one event while the model folds it.
type trial struct {
	*model
	work   map[string]page // documents as they are so far
	seen   map[string]bool
	failed map[string]bool
}

func (m *model) fold(e drawn, at eventstore.Position, index int) {
	t := trial{model: m, work: make(map[string]page), seen: make(map[string]bool), failed: make(map[string]bool)}
	for i, kind := range m.kinds {
		if kind == "move" {
			t.move(e)
			continue
		}
		for _, key := range slices.Compact(slices.Sorted(slices.Values(keysOfKind(kind, e)))) {
			t.apply(kind, key, e, e.Bad == i+1 && !m.mended)
		}
	}
	for name := range t.seen {
		d, there := t.work[name]
		p, waits := m.parked[name]
		switch {
		case waits:
			p.waiting++
			m.parked[name] = p
		case t.failed[name], there && d.Text != "":
			m.parked[name] = stop{at: at, index: index}
		case there:
			m.docs[name] = d
		default:
			delete(m.docs, name)
		}
	}
}

// look returns the name of a key, and whether the event changes nothing more there.
func (t *trial) look(key string) (name string, out bool) {
	name, _ = modelKey(key)
	if !t.seen[name] {
		t.seen[name] = true
		if d, ok := t.docs[name]; ok {
			t.work[name] = d.copied()
		}
	}
	_, waits := t.parked[name]
	return name, waits || t.failed[name]
}

func (t *trial) move(e drawn) {
	if e.From == "" || e.To == "" || e.From == e.To {
		return
	}
	from, lost := t.look(e.From)
	to, out := t.look(e.To)
	if _, storable := modelKey(e.To); lost || !storable {
		t.failed[to], out = true, true
	}
	d, there := t.work[from]
	if lost || !there {
		return
	}
	if !out {
		t.work[to] = d
	}
	delete(t.work, from)
}

func (t *trial) apply(kind, key string, e drawn, bad bool) {
	if key == "" {
		return
	}
	name, out := t.look(key)
	d, there := t.work[name]
	deletes := strings.HasPrefix(kind, "delete")
	_, storable := modelKey(key)
	switch {
	case out, storable && deletes && !there:
		return
	case !storable, bad && e.How == "panic":
		t.failed[name] = true
		return
	}
	d, deleted := foldKind(kind, d, e)
	if bad && !deletes {
		d.Text = "too large"
	}
	if t.work[name] = d; deleted {
		delete(t.work, name)
	}
}

// requireModel compares a view with the model.
func requireModel(ctx context.Context, t require.TestingT, what string, view *projection.View[page], m *model) {
	docs := make(map[string]page)
	for entry, err := range view.List(ctx) {
		require.NoError(t, err, what)
		docs[entry.Key] = entry.Value
	}
	parked := make(map[string]stop)
	for entry, err := range view.Parked(ctx) {
		require.NoError(t, err, what)
		name := entry.Key
		if p := entry.Value; p.Key != "" {
			name = "unstorable " + strings.Trim(p.Key, `"`)[:1]
		}
		parked[name] = stop{at: entry.Value.Position, index: entry.Value.Index, waiting: entry.Value.Waiting}
	}
	require.Equal(t, m.parked, parked, what)
	require.Equal(t, m.docs, docs, what)
}

func drawEvent(t *rapid.T) drawn {
	names := []string{"a", "b", "c", "d", "e", "f", "x\xff", strings.Repeat("y", 300), ""}
	key := rapid.Custom(func(t *rapid.T) string {
		if rapid.IntRange(0, 9).Draw(t, "odd") > 0 {
			return names[rapid.IntRange(0, 5).Draw(t, "name")]
		}
		return rapid.SampledFrom(names).Draw(t, "any name")
	})
	e := drawn{N: rapid.IntRange(1, 4).Draw(t, "n"), Key: key.Draw(t, "key"), From: key.Draw(t, "from"), To: key.Draw(t, "to")}
	e.Each = rapid.SliceOfN(key, 0, 3).Draw(t, "each")
	for range rapid.IntRange(0, 1).Draw(t, "many") * 12 {
		e.Each = append(e.Each, fmt.Sprint("many", len(e.Each)))
	}
	if rapid.IntRange(0, 11).Draw(t, "is bad") == 0 {
		e.Bad = rapid.IntRange(1, 4).Draw(t, "bad")
		e.How = rapid.SampledFrom([]string{"panic", "large"}).Draw(t, "how")
	}
	return e
}

// Whatever the rules and the events are, a view that runs, one that is built, and a plain fold in memory are equal, in
// what is parked too. Once the rules are mended, a replay leads to what the mended rules would have made.
func TestAViewIsThePlainFoldOfItsRules(t *testing.T) {
	js := eventstoretest.JetStream(t, eventstoretest.Options(func(o *server.Options) { o.JetStreamLimits.MaxBatchSize = 20 }))
	proptest.Runs(t, 15)
	var runs atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		store, err := eventstore.Open(ctx, js, fmt.Sprint("m", runs.Add(1)), []eventstore.Event{drawn{}}, nil)
		require.NoError(rt, err)
		defer func() { require.NoError(rt, store.Close()) }()
		kinds := rapid.SliceOfN(rapid.SampledFrom(kinds), 1, 4).Draw(rt, "rules")
		open := func(mended bool) *projection.View[page] {
			view, err := projection.Open(ctx, store, "pages", 1,
				&projection.Config{Park: true, CacheSize: rapid.SampledFrom([]int{1, 100}).Draw(rt, "cache")}, drawnRules(kinds, mended)...)
			require.NoError(rt, err)
			return view
		}
		start := func(view *projection.View[page]) (stop func()) {
			running, cancel := context.WithCancel(ctx)
			ended := make(chan error, 1)
			go func() { ended <- view.Run(running) }()
			return func() {
				cancel()
				require.NoError(rt, <-ended)
			}
		}
		view, broken, mended := open(false), newModel(kinds, false), newModel(kinds, true)
		defer func() { require.NoError(rt, view.Close()) }()
		stop := start(view)
		require.NoError(rt, view.WaitFor(ctx, 0))
		var head eventstore.Head
		for range rapid.IntRange(1, 6).Draw(rt, "commits") {
			if rapid.IntRange(0, 3).Draw(rt, "restart") == 0 {
				stop()
				stop = start(view)
			}
			events := make([]eventstore.Event, rapid.IntRange(1, 5).Draw(rt, "events"))
			for i := range events {
				events[i] = drawEvent(rt)
			}
			c, err := store.Append(ctx, eventstore.StreamID{Category: "model", ID: "1"}, head, events...)
			require.NoError(rt, err)
			head = c.Head()
			for i, e := range events {
				broken.fold(e.(drawn), c.Position, i)
				mended.fold(e.(drawn), c.Position, i)
			}
			if rapid.Bool().Draw(rt, "wait") {
				require.NoError(rt, view.WaitFor(ctx, c.Position))
			}
		}
		require.NoError(rt, view.WaitFor(ctx, head.Position))
		requireModel(ctx, rt, "live", view, broken)
		require.NoError(rt, view.Rebuild(ctx, nil))
		requireModel(ctx, rt, "rebuilt", view, broken)
		require.NoError(rt, view.Replay(ctx))
		requireReplayed(ctx, rt, view)
		requireModel(ctx, rt, "replayed", view, broken)
		stop()

		after := open(true)
		defer func() { require.NoError(rt, after.Close()) }()
		defer start(after)()
		require.NoError(rt, after.Replay(ctx))
		requireReplayed(ctx, rt, after)
		requireModel(ctx, rt, "mended", after, mended)
	})
}

// requireReplayed waits until no wish is left.
func requireReplayed(ctx context.Context, t require.TestingT, view *projection.View[page]) {
	require.Eventually(t, func() bool {
		for entry, err := range view.Parked(ctx) {
			if err != nil || entry.Value.Wish != "" {
				return false
			}
		}
		return true
	}, 20*time.Second, 5*time.Millisecond, "the wishes are heeded")
}
