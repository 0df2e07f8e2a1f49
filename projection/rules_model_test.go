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

// foldKind folds as the rules do that are no moves. It returns the document, and whether it is deleted.
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

// stop is where a key is parked, and how many events wait behind.
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

func (m *model) fold(e drawn, at eventstore.Position, index int) {
	work, there := make(map[string]page), make(map[string]bool)
	seen, failed := make(map[string]bool), make(map[string]bool)
	look := func(key string) (name string, out bool) {
		name, _ = modelKey(key)
		_, waits := m.parked[name]
		if !seen[name] {
			seen[name] = true
			if d, ok := m.docs[name]; ok {
				work[name], there[name] = d.copied(), true
			}
		}
		return name, waits || failed[name]
	}
	for i, kind := range m.kinds {
		if kind == "move" {
			if e.From == "" || e.To == "" || e.From == e.To {
				continue
			}
			from, lost := look(e.From)
			to, out := look(e.To)
			if _, storable := modelKey(e.To); !storable && !out {
				failed[to], out = true, true
			}
			switch {
			case lost:
				failed[to] = true
			case there[from]:
				if !out {
					work[to], there[to] = work[from], true
				}
				delete(work, from)
				there[from] = false
			}
			continue
		}
		used := make(map[string]bool)
		for _, key := range keysOfKind(kind, e) {
			if key == "" || used[key] {
				continue
			}
			used[key] = true
			name, out := look(key)
			if out {
				continue
			}
			if _, storable := modelKey(key); !storable {
				failed[name] = true
				continue
			}
			if strings.HasPrefix(kind, "delete") && !there[name] {
				continue
			}
			bad := e.Bad == i+1 && !m.mended && (e.How == "panic" || !strings.HasPrefix(kind, "delete"))
			p, deleted := foldKind(kind, work[name], e)
			switch {
			case bad && e.How == "panic":
				failed[name] = true
			case deleted:
				delete(work, name)
				there[name] = false
			default:
				if bad {
					p.Text = "too large"
				}
				work[name], there[name] = p, true
			}
		}
	}
	for name := range seen {
		p, waits := m.parked[name]
		switch {
		case waits:
			p.waiting++
			m.parked[name] = p
		case failed[name], there[name] && work[name].Text != "":
			m.parked[name] = stop{at: at, index: index}
		case there[name]:
			m.docs[name] = work[name]
		default:
			delete(m.docs, name)
		}
	}
}

// requireModel compares a view with the model.
func requireModel(t require.TestingT, ctx context.Context, what string, view *projection.View[page], m *model) {
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
	proptest.Runs(t, 25)
	var runs atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		store, err := eventstore.Open(ctx, js, fmt.Sprint("m", runs.Add(1)), []eventstore.Event{drawn{}}, nil)
		require.NoError(rt, err)
		defer func() { require.NoError(rt, store.Close()) }()
		kinds := rapid.SliceOfN(rapid.SampledFrom(kinds), 1, 4).Draw(rt, "rules")
		open := func(mended bool) *projection.View[page] {
			view, err := projection.NewView(ctx, store, "pages", 1,
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
		requireModel(rt, ctx, "live", view, broken)
		require.NoError(rt, view.Rebuild(ctx, nil))
		requireModel(rt, ctx, "rebuilt", view, broken)
		require.NoError(rt, view.Replay(ctx))
		requireReplayed(rt, ctx, view)
		requireModel(rt, ctx, "replayed", view, broken)
		stop()

		after := open(true)
		defer func() { require.NoError(rt, after.Close()) }()
		defer start(after)()
		require.NoError(rt, after.Replay(ctx))
		requireReplayed(rt, ctx, after)
		requireModel(rt, ctx, "mended", after, mended)
	})
}

// requireReplayed waits until no wish is left.
func requireReplayed(t require.TestingT, ctx context.Context, view *projection.View[page]) {
	require.Eventually(t, func() bool {
		for entry, err := range view.Parked(ctx) {
			if err != nil || entry.Value.Wish != "" {
				return false
			}
		}
		return true
	}, 20*time.Second, 5*time.Millisecond, "the wishes are heeded")
}
