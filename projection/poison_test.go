package projection_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
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
	view, err := projection.NewView(t.Context(), store, "cups", 1, &cfg,
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
	if p.codec {
		return projection.Config{Codec: wrongCodec{wrongs: w}, FoldTimeout: 150 * time.Millisecond}
	}
	return projection.Config{}
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
			_, err = view.Get(soon(t), "bad", projection.At(end))
			require.ErrorIs(t, err, projection.ErrParked)
		}
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
			view, err := projection.NewView(t.Context(), store, "cups", 1,
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
		})
	}
}

// old is how cups were filled once.
type old struct{ Wrong string }

func (old) EventType() string { return "cup.old" }

// An upcaster is code of the user that is called before the key is looked for. The key is known if it is the id of the
// stream.
func TestAnEventWhoseDecodingFailsParksTheKeyThatIsItsStreams(t *testing.T) {
	for _, how := range []string{"panics", "exits", "hangs"} {
		for _, live := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, live %v", how, live), func(t *testing.T) {
				js, w := eventstoretest.JetStream(t), newWrongs(t)
				older, err := eventstore.Open(t.Context(), js, "bar", []eventstore.Event{old{}}, nil)
				require.NoError(t, err)
				defer func() { require.NoError(t, older.Close()) }()
				store, err := eventstore.Open(t.Context(), js, "bar", []eventstore.Event{filled{}}, &eventstore.Config{
					Upcasters: []eventstore.Upcaster{eventstore.Upcast(func(e old) filled { w.does(e.Wrong); return filled{} })},
				})
				require.NoError(t, err)
				defer func() { require.NoError(t, store.Close()) }()
				view, err := projection.NewView(t.Context(), store, "cups", 1,
					&projection.Config{Park: true, FoldTimeout: 100 * time.Millisecond},
					projection.On(func(c cup, _ filled) cup { return cup{N: c.N + 1} }))
				require.NoError(t, err)
				defer func() { require.NoError(t, view.Close()) }()
				if live {
					defer run(t, view)()
					require.NoError(t, view.WaitFor(soon(t), 0))
				}
				_, err = older.Append(t.Context(), eventstore.StreamID{Category: "cup", ID: "bad"}, eventstore.Head{}, old{}, old{how}, old{})
				require.NoError(t, err)
				end := fill(t, store, "good", filled{})
				if !live {
					defer run(t, view)()
				}
				good, err := view.Get(soon(t), "good", projection.At(end))
				require.NoError(t, err)
				require.Equal(t, 1, good.N)
				bad, err := view.Get(soon(t), "bad")
				require.NoError(t, err)
				require.Equal(t, 1, bad.N, "as it was before the event")
				parked := parkedIn(t, view)
				require.Len(t, parked, 1)
				require.Equal(t, 1, parked["bad"].Index)
				require.Equal(t, int64(1), parked["bad"].Waiting)
			})
		}
	}
}

// A document in the bucket that cannot be read any more parks its key alone.
func TestADocumentThatCannotBeReadParksItsKey(t *testing.T) {
	for _, how := range []string{"panics", "exits"} {
		t.Run(how, func(t *testing.T) {
			store, w := cupStore(t), newWrongs(t)
			broken := atomic.Bool{}
			cfg := projection.Config{Park: true, Codec: wrongReader{wrongs: w, how: how, broken: &broken}}
			view := cups(t, store, w, cfg)
			stop := run(t, view)
			require.NoError(t, view.WaitFor(soon(t), fill(t, store, "a", filled{Key: "bad"}, filled{Key: "good"}, filled{Key: "better"})))
			stop() // what it has in memory is gone
			broken.Store(true)
			end := fill(t, store, "b", filled{Key: "good"}, filled{Key: "bad"}, filled{Key: "better"})
			run(t, cups(t, store, w, cfg))
			require.NoError(t, view.WaitFor(soon(t), end))
			broken.Store(false)
			parked := parkedIn(t, view)
			require.Len(t, parked, 1)
			require.Equal(t, end, parked["bad"].Position)
			require.Equal(t, 2, listed(t, view)["good"].N)
			require.Equal(t, 1, listed(t, view)["bad"].N)
		})
	}
}

// wrongReader is a codec that harms whoever reads the first document while it is broken.
type wrongReader struct {
	wrongs
	kv.JSON
	how    string
	broken *atomic.Bool
}

func (c wrongReader) Unmarshal(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if d, ok := v.(*cup); ok && d.Text == "first" && c.broken.Load() {
		c.does(c.how)
	}
	return nil
}

// Five thousand changes stand in one commit, some of which cannot be folded.
func TestManyChangesOfOneCommitWithSomeParked(t *testing.T) {
	const changes = 5000
	store, w := cupStore(t), newWrongs(t)
	view := cups(t, store, w, projection.Config{Park: true})
	run(t, view)
	require.NoError(t, view.WaitFor(soon(t), 0))
	all := make([]filled, changes)
	for i := range all {
		all[i].Key = fmt.Sprint(i % (changes - 100)) // the last hundred come to keys that have been
		switch i % 100 {
		case 7:
			all[i].Wrong = "panics"
		case 8:
			all[i].Wrong = "no number"
		}
	}
	end := fill(t, store, "a", all...)
	check := func() {
		require.NoError(t, view.WaitFor(soon(t), end))
		require.Len(t, parkedIn(t, view), 2*(changes-100)/100)
		docs := listed(t, view)
		require.Len(t, docs, (changes-100)*98/100)
		require.Equal(t, 2, docs["0"].N)
		require.Equal(t, 1, docs["100"].N)
	}
	check()
	require.NoError(t, view.Rebuild(soon(t), nil))
	check()
}

// What the function does that is told of a build's progress is no business of the build.
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

// checkpointsOf counts the batches that are written until stop.
func checkpointsOf(t *testing.T, store *eventstore.Store) (messages chan *nats.Msg) {
	t.Helper()
	messages = make(chan *nats.Msg, 1000)
	sub, err := store.JetStream().Conn().ChanSubscribe("$KV.*.=checkpoint", messages)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sub.Unsubscribe()) })
	return messages
}

// positions returns the positions, and whether only a part is written, of the checkpoints that were written.
func positions(t *testing.T, messages chan *nats.Msg) (parts int) {
	t.Helper()
	for len(messages) > 0 {
		var at struct {
			Part *struct{ Through string }
		}
		require.NoError(t, json.Unmarshal((<-messages).Data, &at))
		if at.Part != nil {
			parts++
		}
	}
	return parts
}

// One commit changes documents of 36 MB together.
func TestABatchIsBoundedByItsBytes(t *testing.T) {
	store := cupStore(t)
	text := strings.Repeat("x", 900_000)
	view, err := projection.NewView(t.Context(), store, "cups", 1, nil,
		projection.On(func(c cup, _ filled) cup { return cup{N: c.N + 1, Text: text} }).By(func(e filled) string { return e.Key }))
	require.NoError(t, err)
	defer func() { require.NoError(t, view.Close()) }()
	run(t, view)
	require.NoError(t, view.WaitFor(soon(t), fill(t, store, "a", filled{Key: "a"})))
	messages := checkpointsOf(t, store)
	all := make([]filled, 40)
	for i := range all {
		all[i] = filled{Key: fmt.Sprint(i)}
	}
	end := fill(t, store, "b", all...)
	require.NoError(t, view.WaitFor(soon(t), end))
	require.GreaterOrEqual(t, positions(t, messages), 2)
	for i := range all {
		got, err := view.Get(soon(t), fmt.Sprint(i))
		require.NoError(t, err)
		require.Equal(t, 1, got.N)
	}
}

// One commit has folds that last for several heartbeats together. What is folded is written meanwhile.
func TestABatchIsBoundedByItsTime(t *testing.T) {
	const heartbeat = 100 * time.Millisecond
	store := cupStore(t)
	view, err := projection.NewView(t.Context(), store, "cups", 1, &projection.Config{Heartbeat: heartbeat, StandBy: time.Minute},
		projection.On(func(c cup, _ filled) cup {
			<-time.After(heartbeat * 6 / 10)
			return cup{N: c.N + 1}
		}).By(func(e filled) string { return e.Key }))
	require.NoError(t, err)
	defer func() { require.NoError(t, view.Close()) }()
	run(t, view)
	require.NoError(t, view.WaitFor(soon(t), fill(t, store, "a", filled{Key: "a"})))
	messages := checkpointsOf(t, store)
	end := fill(t, store, "b", filled{Key: "a"}, filled{Key: "b"}, filled{Key: "c"}, filled{Key: "d"}, filled{Key: "e"})
	require.NoError(t, view.WaitFor(soon(t), end))
	require.GreaterOrEqual(t, positions(t, messages), 4)
}

// Run ends within one fold of its context, however many are waiting.
func TestRunEndsBetweenFolds(t *testing.T) {
	store := cupStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	folds := 0
	view, err := projection.NewView(t.Context(), store, "cups", 1, nil,
		projection.On(func(c cup, _ filled) cup {
			folds++
			cancel()
			return c
		}).By(func(e filled) string { return e.Key }))
	require.NoError(t, err)
	defer func() { require.NoError(t, view.Close()) }()
	for i := range 20 {
		fill(t, store, fmt.Sprint(i), filled{Key: fmt.Sprint(i)})
	}
	require.NoError(t, view.Run(ctx))
	require.Equal(t, 1, folds)
}
