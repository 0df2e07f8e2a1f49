package projection_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

// filled says what is wrong with the fold of an event, with its document or with its key.
type filled struct{ Key, Wrong string }

func (filled) EventType() string { return "cup.filled" }

type cup struct {
	N     int
	Text  string
	Ratio float64
}

// wrongs are the ways in which a fold, the methods of its document, or its key harm a view.
type wrongs struct {
	stuck chan struct{} // closed once what never returns may return
}

func newWrongs(t *testing.T) wrongs {
	w := wrongs{stuck: make(chan struct{})}
	t.Cleanup(func() { close(w.stuck) })
	return w
}

func (w wrongs) does(how string) {
	switch how {
	case "panics":
		panic("no \xff luck")
	case "exits":
		runtime.Goexit()
	case "hangs":
		<-w.stuck
	}
}

func (w wrongs) fold(c cup, e filled) cup {
	w.does(e.Wrong)
	c.N++
	c.Text = map[bool]string{true: "first"}[e.Key == "bad"]
	switch e.Wrong {
	case "too large":
		c.Text = strings.Repeat("x", 2<<20)
	case "no number":
		c.Ratio = math.NaN()
	case "encoding panics", "encoding exits", "encoding hangs":
		c.Text = e.Wrong
	}
	return c
}

// wrongCodec is a codec whose methods harm the view for some documents.
type wrongCodec struct {
	wrongs
	kv.JSON
}

func (wrongCodec) Name() string { return "wrong" }

func (c wrongCodec) Marshal(v any) ([]byte, error) {
	if d, ok := v.(cup); ok {
		if how, wrong := strings.CutPrefix(d.Text, "encoding "); wrong {
			c.does(how)
		}
	}
	return json.Marshal(v)
}

func cups(t *testing.T, store *eventstore.Store, w wrongs, cfg projection.Config) *projection.View[cup] {
	t.Helper()
	if cfg.FoldTimeout == 0 {
		cfg.FoldTimeout = 150 * time.Millisecond
	}
	view, err := projection.Open(t.Context(), store, "cups", 1, &cfg,
		projection.On(w.fold).By(func(e filled) string { return e.Key }))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	return view
}

func cupStore(t *testing.T) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bar", []eventstore.Event{filled{}}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func fill(t *testing.T, store *eventstore.Store, id string, all ...filled) eventstore.Position {
	t.Helper()
	stream := eventstore.StreamID{Category: "cup", ID: id}
	head, err := store.Head(t.Context(), stream)
	require.NoError(t, err)
	batch := make([]eventstore.Event, len(all))
	for i, e := range all {
		batch[i] = e
	}
	c, err := store.Append(t.Context(), stream, head, batch...)
	require.NoError(t, err)
	return c.Position
}

// poison is an event that cannot be folded, with what its error matches and how its key is shown if that cannot be
// stored.
type poison struct {
	filled
	is    error
	shown string
	codec bool // it takes a codec of the user
}

func poisons() map[string]poison {
	long := strings.Repeat("k", 300)
	return map[string]poison{
		"the fold panics":          {filled: filled{"bad", "panics"}, is: projection.ErrFold},
		"the fold exits":           {filled: filled{"bad", "exits"}, is: projection.ErrFold},
		"the fold hangs":           {filled: filled{"bad", "hangs"}, is: projection.ErrFoldTimeout},
		"the document is large":    {filled: filled{"bad", "too large"}, is: kv.ErrTooLarge},
		"the document has no JSON": {filled: filled{"bad", "no number"}, is: kv.ErrEncode},
		"the encoding panics":      {filled: filled{"bad", "encoding panics"}, is: kv.ErrEncode, codec: true},
		"the encoding exits":       {filled: filled{"bad", "encoding exits"}, is: projection.ErrFold, codec: true},
		"the encoding hangs":       {filled: filled{"bad", "encoding hangs"}, is: projection.ErrFoldTimeout, codec: true},
		"the key is long":          {filled: filled{Key: long}, is: kv.ErrInvalidKey, shown: `"` + long[:256] + `"... (300 bytes)`},
		"the key is not UTF-8":     {filled: filled{Key: "a\xff"}, is: kv.ErrInvalidKey, shown: `"a\xff"`},
		"the key is a stand-in's":  {filled: filled{Key: "\uFFFDa"}, is: kv.ErrInvalidKey, shown: `"\ufffda"`},
	}
}

func eachPoison(t *testing.T, test func(t *testing.T, p poison, live bool)) {
	for name, p := range poisons() {
		for _, live := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, live %v", name, live), func(t *testing.T) { test(t, p, live) })
		}
	}
}

func (p poison) config(w wrongs) projection.Config {
	cfg := projection.Config{FoldTimeout: time.Minute} // a busy machine takes its time for a large document
	if errors.Is(p.is, projection.ErrFoldTimeout) {
		cfg.FoldTimeout = 150 * time.Millisecond
	}
	if p.codec {
		cfg.Codec = wrongCodec{wrongs: w}
	}
	return cfg
}

func TestPoisonParksItsKeyAndNoOther(t *testing.T) {
	eachPoison(t, func(t *testing.T, p poison, live bool) {
		store, w := cupStore(t), newWrongs(t)
		cfg := p.config(w)
		cfg.Park = true
		view := cups(t, store, w, cfg)
		stop := func() {}
		first := fill(t, store, "first", filled{Key: "good"})
		if live {
			stop = run(t, view)
			require.NoError(t, view.WaitFor(soon(t), first))
		}
		at := fill(t, store, "poison", filled{Key: "good"}, p.filled, filled{Key: "good"})
		if live { // what comes next in the same batch may mend the document
			require.NoError(t, view.WaitFor(soon(t), at))
		}
		end := fill(t, store, "last", filled{Key: "good"}, filled{Key: p.Key})
		if !live {
			stop = run(t, view)
		}
		good, err := view.Get(soon(t), "good", projection.At(end))
		require.NoError(t, err)
		require.Equal(t, 4, good.N)

		var found []kv.Entry[projection.Parked]
		for entry, err := range view.Parked(t.Context()) {
			require.NoError(t, err)
			found = append(found, entry)
		}
		require.Len(t, found, 1)
		parked := found[0].Value
		require.Equal(t, at, parked.Position)
		require.Equal(t, 1, parked.Index)
		require.Equal(t, "cup/poison", parked.Stream.String())
		require.Equal(t, int64(1), parked.Waiting)
		require.Equal(t, p.shown, parked.Key)
		if p.shown == "" {
			require.Equal(t, "bad", found[0].Key)
		}
		_, err = view.Get(soon(t), p.Key, projection.At(end))
		require.ErrorIs(t, err, projection.ErrParked)
		_, err = view.Get(soon(t), found[0].Key, projection.At(end))
		require.ErrorIs(t, err, projection.ErrParked, "by the name that Parked lists")
		stop()

		again := cups(t, store, w, cfg)
		run(t, again)
		require.NoError(t, again.WaitFor(soon(t), fill(t, store, "after", filled{Key: "good"})), "a new start does not meet it again")
		require.NoError(t, again.Discard(t.Context(), p.Key), "by the key itself")
		count := func() (n int) {
			for _, err := range again.Parked(t.Context()) {
				require.NoError(t, err)
				n++
			}
			return n
		}
		if p.shown == "" {
			eventually(t, func() bool { return count() == 0 }, "it is left out")
			bad, err := again.Get(soon(t), "bad", projection.At(fill(t, store, "bad", filled{Key: "bad"})))
			require.NoError(t, err)
			require.Equal(t, 2, bad.N)
		}
	})
}

func TestPoisonStopsAViewThatDoesNotPark(t *testing.T) {
	eachPoison(t, func(t *testing.T, p poison, live bool) {
		store, w := cupStore(t), newWrongs(t)
		view := cups(t, store, w, p.config(w))
		fill(t, store, "first", filled{Key: "good"})
		if live {
			stop := run(t, view)
			require.NoError(t, view.WaitFor(soon(t), 1))
			stop()
		}
		at := fill(t, store, "poison", filled{Key: "good"}, p.filled)
		fill(t, store, "last", filled{Key: "good"})
		for range 2 {
			err := view.Run(soon(t))
			require.ErrorIs(t, err, projection.ErrFold)
			require.ErrorIs(t, err, p.is)
			var fold *projection.FoldError
			require.ErrorAs(t, err, &fold)
			require.Equal(t, at, fold.Position)
			require.Equal(t, eventstore.Version(2), fold.Version)
			require.Equal(t, "cup/poison", fold.Stream.String())
			require.Equal(t, "cup.filled", fold.Type)
			require.Equal(t, p.Key, fold.Key)
		}
	})
}

// A rule whose key is not known when it fails stops a view that parks keys as well: nobody can say which document is
// stale.
func TestAKeyFunctionThatFailsStopsTheViewAtTheEvent(t *testing.T) {
	for _, how := range []string{"panics", "exits", "hangs"} {
		t.Run(how, func(t *testing.T) {
			store, w := cupStore(t), newWrongs(t)
			view, err := projection.Open(t.Context(), store, "cups", 1,
				&projection.Config{Park: true, FoldTimeout: 100 * time.Millisecond},
				projection.On(func(c cup, _ filled) cup { return c }).By(func(e filled) string { w.does(e.Wrong); return e.Key }))
			require.NoError(t, err)
			defer func() { require.NoError(t, view.Close()) }()
			at := fill(t, store, "a", filled{Key: "good"}, filled{Key: "bad", Wrong: how})
			var fold *projection.FoldError
			require.ErrorAs(t, view.Run(soon(t)), &fold)
			require.Equal(t, at, fold.Position)
			require.Equal(t, eventstore.Version(2), fold.Version)
			require.Empty(t, fold.Key)
			require.ErrorContains(t, fold, `returns "" is left out`)

			mended, err := projection.Open(t.Context(), store, "cups", 1, nil,
				projection.On(func(c cup, _ filled) cup { return c }).By(func(e filled) string {
					if e.Wrong != "" {
						return ""
					}
					return e.Key
				}))
			require.NoError(t, err)
			defer func() { require.NoError(t, mended.Close()) }()
			run(t, mended)
			_, err = mended.Get(soon(t), "good", projection.At(at))
			require.NoError(t, err, "the rule says that the event is left out")
		})
	}
}

// A function that reports a build's progress cannot harm the build.
func TestAReportThatPanicsDoesNotEndTheBuild(t *testing.T) {
	for _, how := range []string{"panics", "exits", "hangs"} {
		t.Run(how, func(t *testing.T) {
			store, w := cupStore(t), newWrongs(t)
			end := fill(t, store, "a", filled{Key: "good"})
			var told atomic.Int64
			view := cups(t, store, w, projection.Config{OnBuild: func(eventstore.Progress) {
				told.Add(1)
				w.does(how)
			}})
			run(t, view)
			require.NoError(t, view.WaitFor(soon(t), end))
			require.Equal(t, int64(1), told.Load())
		})
	}
}

// A key that no document can have is not found, with the reason.
func TestAKeyThatNoDocumentCanHaveIsNotFound(t *testing.T) {
	store, w := cupStore(t), newWrongs(t)
	view := cups(t, store, w, projection.Config{Park: true})
	end := fill(t, store, "a", filled{Key: "good"})
	run(t, view)
	require.NoError(t, view.WaitFor(soon(t), end))
	for _, key := range []string{strings.Repeat("k", 300), "a\xff", "\uFFFDa"} {
		for _, at := range []eventstore.Position{0, end} {
			_, err := view.Get(soon(t), key, projection.At(at))
			require.ErrorIs(t, err, projection.ErrNotFound)
			require.ErrorIs(t, err, kv.ErrInvalidKey)
		}
		many, err := view.GetMany(soon(t), key, "good")
		require.NoError(t, err)
		require.Len(t, many, 1)
	}
}

// Keys that look as if they did harm are keys like others.
func TestOddKeysAreKeys(t *testing.T) {
	store, w := cupStore(t), newWrongs(t)
	view := cups(t, store, w, projection.Config{Park: true})
	keys := []string{" ", "a b", "*", ">", "a.*", "a.>", "=checkpoint", "=parked.a", "=", ".", "..", "a..b", "\x00", "\n", "ключ", strings.Repeat("k", 256)}
	var odd []filled
	for _, key := range append(keys, "") {
		odd = append(odd, filled{Key: key})
	}
	fill(t, store, "built", odd...)
	run(t, view)
	require.NoError(t, view.WaitFor(soon(t), 1))
	end := fill(t, store, "live", odd...)
	for _, key := range keys {
		got, err := view.Get(soon(t), key, projection.At(end))
		require.NoErrorf(t, err, "%q", key)
		require.Equalf(t, 2, got.N, "%q", key)
	}
	status, err := view.Status(t.Context())
	require.NoError(t, err)
	require.Zero(t, status.Parked)
}
