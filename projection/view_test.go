package projection_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/projection"
)

type deposited struct {
	Amount int64
	Text   string
}

func (deposited) EventType() string { return "account.deposited" }

type withdrawn struct{ Amount int64 }

func (withdrawn) EventType() string { return "account.withdrawn" }

type unread struct{ A int }

func (unread) EventType() string { return "account.unread" }

var events = []eventstore.Event{deposited{}, withdrawn{}, unread{}}

type balance struct {
	Amount int64
	Events int
}

type entry struct{ Amount int64 }

func account(id string) eventstore.StreamID { return eventstore.StreamID{Category: "account", ID: id} }

func open(t *testing.T) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func balances(t *testing.T, store *eventstore.Store, rules ...projection.Rule[balance]) *projection.View[balance] {
	t.Helper()
	if len(rules) == 0 {
		rules = []projection.Rule[balance]{
			projection.On(func(b balance, e deposited) balance { return balance{b.Amount + e.Amount, b.Events + 1} }),
			projection.On(func(b balance, e withdrawn) balance { return balance{b.Amount - e.Amount, b.Events + 1} }),
		}
	}
	view, err := projection.Open(t.Context(), store, "balances", 1, nil, rules...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	return view
}

// longer returns the time that a test takes in long runs, in which waits are as long as in production.
func longer(short, long time.Duration) time.Duration {
	if proptest.Long() {
		return long
	}
	return short
}

// run starts a view and returns what stops it and waits. A test that ends may close the view, or its store, first. Then
// Run ends with that.
func run[V any](t *testing.T, view *projection.View[V]) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var runner sync.WaitGroup
	runner.Go(func() {
		if err := view.Run(ctx); err != nil && !errors.Is(err, jsapi.ErrClosed) {
			t.Errorf("view ended: %v", err)
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		runner.Wait()
	})
	t.Cleanup(stop)
	return stop
}

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 2*time.Millisecond, what)
}

func deposit(t *testing.T, store *eventstore.Store, id string, amounts ...int64) eventstore.Position {
	t.Helper()
	head, err := store.Head(t.Context(), account(id))
	require.NoError(t, err)
	batch := make([]eventstore.Event, len(amounts))
	for i, a := range amounts {
		batch[i] = deposited{Amount: a}
	}
	c, err := store.Append(t.Context(), account(id), head, batch...)
	require.NoError(t, err)
	return c.Position
}

func TestAViewReadsItsOwnWrites(t *testing.T) {
	store := open(t)
	view := balances(t, store)
	run(t, view)
	for i := range int64(50) {
		at := deposit(t, store, "42", 1, 1)
		got, err := view.Get(t.Context(), "42", projection.At(at))
		require.NoError(t, err)
		require.Equal(t, balance{2 * (i + 1), int(2 * (i + 1))}, got)
	}
	other := balances(t, store)
	got, err := other.Get(t.Context(), "42", projection.At(deposit(t, store, "42", 1)))
	require.NoError(t, err, "a reader without a runner waits for the one elsewhere")
	require.Equal(t, balance{101, 101}, got)

	_, err = view.Get(t.Context(), "43")
	require.ErrorIs(t, err, projection.ErrNotFound)
	_, err = view.Get(t.Context(), "42", projection.At(1000))
	require.ErrorIs(t, err, projection.ErrPositionAhead)
}

func TestAViewGoesOnWhereItStopped(t *testing.T) {
	store := open(t)
	for round := range 5 {
		view := balances(t, store)
		stop := run(t, view)
		at := deposit(t, store, "a", 1)
		require.NoError(t, view.WaitFor(t.Context(), at))
		stop()
		deposit(t, store, "a", 1)
		at, err := view.Position(t.Context())
		require.NoError(t, err)
		require.Equal(t, eventstore.Position(2*round+1), at)
	}
}

// A runner knows nothing of a document, and the next event for it is the first of its stream.
func TestAStreamThatBeginsGoesOnWithTheDocumentThatIsThere(t *testing.T) {
	store := open(t)
	total := projection.On(func(b balance, e deposited) balance { return balance{b.Amount + e.Amount, b.Events + 1} }).
		By(func(deposited) string { return "total" })
	for round := range int64(3) {
		view := balances(t, store, total)
		stop := run(t, view)
		got, err := view.Get(t.Context(), "total", projection.At(deposit(t, store, fmt.Sprint(round), 1)))
		require.NoError(t, err)
		require.Equal(t, balance{round + 1, int(round + 1)}, got)
		stop()
	}
}

func TestTwoRunnersFoldEachEventOnce(t *testing.T) {
	store := open(t)
	one, two := balances(t, store), balances(t, store)
	run(t, one)
	run(t, two)
	var last eventstore.Position
	for i := range 300 {
		last = deposit(t, store, fmt.Sprint(i%7), 1)
	}
	require.NoError(t, one.WaitFor(t.Context(), last))
	sum := 0
	for e, err := range one.List(t.Context()) {
		require.NoError(t, err)
		sum += e.Value.Events
	}
	require.Equal(t, 300, sum)
}

func TestKeysAreChosenByEvents(t *testing.T) {
	store := open(t)
	view, err := projection.Open(t.Context(), store, "statement", 1, nil,
		projection.On(func(_ entry, e deposited) entry { return entry(struct{ Amount int64 }{e.Amount}) }).
			ByRecorded(func(_ deposited, r eventstore.Recorded) string { return fmt.Sprintf("%s.%d", r.Stream.ID, r.Version()) }))
	require.NoError(t, err)
	defer view.Close()
	run(t, view)
	deposit(t, store, "a", 1, 2)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "b", 3)))
	var keys []string
	for e, err := range view.List(t.Context(), "a.*") {
		require.NoError(t, err)
		keys = append(keys, fmt.Sprint(e.Key, "=", e.Value.Amount))
	}
	require.ElementsMatch(t, []string{"a.1=1", "a.2=2"}, keys)
}

func TestMoreDocumentsThanABatchHolds(t *testing.T) {
	t.Parallel()
	store := open(t)
	view, err := projection.Open(t.Context(), store, "entries", 1, nil,
		projection.On(func(_ entry, e deposited) entry { return entry{e.Amount} }).
			ByRecorded(func(_ deposited, r eventstore.Recorded) string { return fmt.Sprint(r.Version()) }))
	require.NoError(t, err)
	defer view.Close()
	amounts := make([]int64, 600)
	for range 4 {
		deposit(t, store, "a", amounts...)
	}
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), 4))
	count := 0
	for _, err := range view.List(t.Context()) {
		require.NoError(t, err)
		count++
	}
	require.Equal(t, 2400, count)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, view.WaitFor(ctx, deposit(t, store, "a", make([]int64, 2500)...)), "one commit of several batches")
	count = 0
	for _, err := range view.List(t.Context()) {
		require.NoError(t, err)
		count++
	}
	require.Equal(t, 4900, count)
}

func TestAPanicStopsTheViewBeforeTheEvent(t *testing.T) {
	store := open(t)
	view := balances(t, store, projection.On(func(b balance, e deposited) balance {
		if e.Amount == 13 {
			panic("unlucky")
		}
		return balance{b.Amount + e.Amount, b.Events + 1}
	}))
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	stop()
	deposit(t, store, "a", 13)
	err := view.Run(t.Context())
	var fold *projection.FoldError
	require.ErrorAs(t, err, &fold)
	require.Equal(t, eventstore.Position(2), fold.Position)
	at, err := view.Position(t.Context())
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(1), at)
}

func TestAnotherStoreIsRefused(t *testing.T) {
	server := eventstoretest.NewServer(t)
	js := server.JetStream(t)
	begin := func() (*eventstore.Store, *projection.View[balance]) {
		store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		return store, balances(t, store)
	}
	store, view := begin()
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	stop()
	require.NoError(t, store.Close())
	require.NoError(t, js.DeleteStream(t.Context(), "bank"))
	_, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	var lost *eventstore.LogRewoundError
	require.ErrorAs(t, err, &lost)
	require.NoError(t, eventstore.AcceptRewind(t.Context(), js, lost))
	store, view = begin()
	deposit(t, store, "a", 1)
	require.ErrorIs(t, view.Run(t.Context()), projection.ErrOtherStore)
}

func TestRulesAreCheckedWhenTheViewIsMade(t *testing.T) {
	store := open(t)
	type foreign struct{ deposited }
	for name, rule := range map[string]projection.Rule[balance]{
		"an interface": projection.On(func(b balance, _ eventstore.Event) balance { return b }),
		"a pointer":    projection.On(func(b balance, _ *deposited) balance { return b }),
		"not known":    projection.On(func(b balance, _ foreign) balance { return b }),
	} {
		_, err := projection.Open(t.Context(), store, "v", 1, nil, rule)
		require.ErrorIs(t, err, projection.ErrInvalidRule, name)
	}
	same := projection.On(func(b balance, _ deposited) balance { return b })
	_, err := projection.Open(t.Context(), store, "v", 1, nil, projection.Rule[balance](same), same)
	require.ErrorIs(t, err, projection.ErrInvalidRule)
	_, err = projection.Open[balance](t.Context(), store, "v", 1, nil)
	require.ErrorIs(t, err, projection.ErrInvalidRule)
	for _, name := range []string{"v.v", "payment-sagas"} {
		_, err = projection.Open(t.Context(), store, name, 1, nil, projection.Rule[balance](same))
		require.ErrorIs(t, err, projection.ErrInvalidView)
	}
}

func TestRunEndsWithoutErrorWhenItIsStopped(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	view := balances(t, open(t))
	cancel(errors.New("enough"))
	require.NoError(t, view.Run(ctx))
}

// received is how deposits were written once, as one event for several amounts.
type received struct{ Amounts []int64 }

func (received) EventType() string { return "account.received" }

func TestAViewFoldsWhatOldEventsStandFor(t *testing.T) {
	js := eventstoretest.JetStream(t)
	older, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{received{}, unread{}}, nil)
	require.NoError(t, err)
	defer older.Close()
	newer, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Upcasters: []eventstore.Upcaster{
		eventstore.UpcastMany(func(e received) (all []eventstore.Event) {
			for _, amount := range e.Amounts {
				all = append(all, deposited{Amount: amount})
			}
			return all
		}, deposited{}),
	}})
	require.NoError(t, err)
	defer newer.Close()
	c, err := older.Append(t.Context(), account("1"), eventstore.Head{}, received{[]int64{1, 2, 3}}, unread{})
	require.NoError(t, err)
	last, err := newer.Append(t.Context(), account("1"), c.Head(), deposited{Amount: 4})
	require.NoError(t, err)

	view := balances(t, newer)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- view.Run(ctx) }()
	document, err := view.Get(t.Context(), "1", projection.At(last.Position))
	require.NoError(t, err)
	require.Equal(t, balance{Amount: 10, Events: 4}, document)
	cancel()
	require.NoError(t, <-ended)
}

// One after the other, the documents of as many new keys would take a round trip each.
func TestDocumentsThatManyEventsChangeAreReadAtTheSameTime(t *testing.T) {
	const keys, delay = 500, 20 * time.Millisecond
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	writer, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer writer.Close()
	distant, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer distant.Close()
	reader := balances(t, writer)
	run(t, balances(t, distant))
	require.NoError(t, reader.WaitFor(t.Context(), deposit(t, writer, "first", 1)))

	proxy.Delay(delay)
	var last eventstore.Position
	for i := range keys {
		last = deposit(t, writer, fmt.Sprint(i), int64(i))
	}
	begin := time.Now()
	require.NoError(t, reader.WaitFor(t.Context(), last))
	require.Less(t, time.Since(begin), keys*delay/4)
	proxy.Delay(0)
	requireFolded(t, writer, reader)
}

// Rebuild returns when this view's readers read what it built, however slowly word of it comes.
func TestAViewReadsWhatItHasRebuilt(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	deposit(t, store, "a", 30)
	view := balances(t, store)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	before := view.Bucket()
	proxy.Delay(20 * time.Millisecond)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	require.NotEqual(t, before, view.Bucket())
	proxy.Delay(0)
}

func TestAClosedViewSaysSo(t *testing.T) {
	store := open(t)
	view, err := projection.Open(t.Context(), store, "balances", 1, nil,
		projection.On(func(b balance, e deposited) balance { return balance{b.Amount + e.Amount, b.Events + 1} }))
	require.NoError(t, err)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	require.NoError(t, view.Close())
	_, err = view.Get(t.Context(), "a")
	require.ErrorContains(t, err, "the view is closed")
	require.ErrorContains(t, view.WaitFor(t.Context(), 0), "the view is closed")
	require.ErrorContains(t, view.Run(soon(t)), "closed")
	require.ErrorContains(t, view.Rebuild(soon(t), nil), "closed")
}

// A document that was read ahead is outdated once the batch was written in the middle.
func TestADocumentReadAheadIsNotUsedOnceItIsWritten(t *testing.T) {
	store := open(t)
	view, err := projection.Open(t.Context(), store, "texts", 1, &projection.Config{CacheSize: 1},
		projection.On(func(b balance, e deposited) balance { return balance{b.Amount + e.Amount, b.Events + 1} }).
			By(func(e deposited) string { return e.Text }))
	require.NoError(t, err)
	defer view.Close()
	require.NoError(t, view.Rebuild(t.Context(), nil))
	const keys, commits = 1200, 36 // more keys than one batch holds, each three times
	head := eventstore.Head{}
	for n := range commits {
		batch := make([]eventstore.Event, 100)
		for i := range batch {
			batch[i] = deposited{Amount: 1, Text: fmt.Sprint((100*n + i) % keys)}
		}
		c, err := store.Append(t.Context(), account("many"), head, batch...)
		require.NoError(t, err)
		head = c.Head()
	}
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), head.Position))
	got := make(map[string]balance)
	for entry, err := range view.List(t.Context()) {
		require.NoError(t, err)
		got[entry.Key] = entry.Value
	}
	require.Len(t, got, keys)
	for key, b := range got {
		require.Equal(t, balance{3, 3}, b, "key %s", key)
	}
}
