package eventstore_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/system"
)

// opening begins a stream, and returns its head.
func opening(t *testing.T, store *eventstore.Store, id string) eventstore.Head {
	t.Helper()
	c, err := store.Append(t.Context(), account(id), eventstore.Head{}, opened{id})
	require.NoError(t, err)
	return c.Head()
}

func guard(id string, head eventstore.Head) eventstore.Write {
	return eventstore.Write{Stream: account(id), Expected: head, Guard: true}
}

func writing(id string, head eventstore.Head) eventstore.Write {
	return eventstore.Write{Stream: account(id), Expected: head, Events: []eventstore.Event{deposited{1}}}
}

func TestAGuardHoldsAStreamThatIsNotWritten(t *testing.T) {
	store := open(t, nil)
	a, b := opening(t, store, "a"), opening(t, store, "b")
	commits, err := store.AppendAll(t.Context(), writing("x", eventstore.Head{}), guard("a", a), writing("y", eventstore.Head{}), guard("none", eventstore.Head{}))
	require.NoError(t, err)
	require.Nil(t, commits[1])
	require.Nil(t, commits[3])
	x, y := commits[0], commits[2]
	require.Equal(t, []eventstore.Position{5, 6}, []eventstore.Position{x.Position, y.Position}, "behind both guards")
	require.Equal(t, []int{2, 3, 4}, []int{x.Transaction.Index, y.Transaction.Index, y.Transaction.Count})
	require.True(t, y.Whole())

	moved, err := store.Append(t.Context(), account("a"), a, deposited{1})
	require.NoError(t, err)
	for name, writes := range map[string][]eventstore.Write{
		"moved":       {writing("x", x.Head()), guard("b", b), guard("a", a)},
		"by hand":     {writing("x", x.Head()), guard("a", eventstore.Head{Version: 1}), guard("b", b)},
		"seemed new":  {guard("a", eventstore.Head{}), writing("x", x.Head())},
		"and written": {writing("x", x.Head()), guard("a", a), writing("b", a)},
	} {
		_, err = store.AppendAll(t.Context(), writes...)
		var conflict *eventstore.ConflictError
		require.ErrorAs(t, err, &conflict, name)
		require.Equal(t, account("a"), conflict.Stream, name)
		require.Equal(t, eventstore.Version(2), conflict.Actual, name)
	}
	end, err := store.End(t.Context())
	require.NoError(t, err)
	require.Equal(t, moved.Position, end, "and nothing was stored")
	_, err = store.AppendAll(t.Context(), writing("x", x.Head()), guard("a", eventstore.Head{Version: 2}))
	require.NoError(t, err, "completed")
}

func TestGuardsAreReadByNobodyButAt(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	a := opening(t, store, "a")
	commits, err := store.AppendAll(t.Context(), guard("a", a), writing("x", eventstore.Head{}))
	require.NoError(t, err)
	x := commits[1]

	c, err := store.At(t.Context(), x.Position-eventstore.Position(x.Transaction.Index))
	require.NoError(t, err)
	for recorded := range c.Events() {
		decoded, err := recorded.Decode()
		require.NoError(t, err)
		require.Equal(t, []eventstore.Event{system.StreamGuarded{Stream: system.Stream(account("a")), Version: 1}}, decoded)
	}
	require.Equal(t, x.Transaction.ID, c.Transaction.ID)

	require.Equal(t, []eventstore.Event{opened{"a"}, deposited{1}}, decode(t, store.All(t.Context())))
	require.Equal(t, []eventstore.Event{deposited{1}}, decode(t, store.All(t.Context(), eventstore.After(a.Position))), "from inside a transaction, too")
	require.Equal(t, []eventstore.Event{opened{"a"}}, decode(t, store.Stream(t.Context(), account("a"))), "the guarded stream has not moved")
	guards := eventstore.StreamID{Category: "runnel", ID: "guards"}
	for name, read := range map[string]func() error{
		"load": func() error { _, err := store.Load(t.Context(), guards); return err },
		"head": func() error { _, err := store.Head(t.Context(), guards); return err },
		"backwards": func() (err error) {
			for _, err = range store.Stream(t.Context(), guards, eventstore.Backwards()) {
			}
			return err
		},
		"append": func() error { _, err := store.Append(t.Context(), guards, eventstore.Head{}, deposited{1}); return err },
		"guard": func() error {
			_, err := store.AppendAll(t.Context(), writing("x", x.Head()), eventstore.Write{Stream: guards, Guard: true})
			return err
		},
	} {
		require.ErrorIs(t, read(), eventstore.ErrInvalidID, name)
	}
	for info, err := range store.Streams(t.Context(), "runnel") {
		require.NoError(t, err)
		require.NotEqual(t, guards, info.Stream)
	}
	report, err := store.Verify(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, []int64{3, 2, 1}, []int64{report.Commits, report.Streams, report.Transactions})

	require.NoError(t, importInto(js, export(t, store), &eventstore.ImportConfig{Name: "copy"}))
	imported, err := eventstore.Open(t.Context(), js, "copy", events, nil)
	require.NoError(t, err)
	defer imported.Close()
	_, err = imported.Verify(t.Context(), nil)
	require.NoError(t, err)
	_, err = imported.AppendAll(t.Context(), guard("a", eventstore.Head{Version: 1}), writing("x", eventstore.Head{Version: 1}))
	require.NoError(t, err)
}

func TestGuardsThatCannotBeAreRefused(t *testing.T) {
	store := open(t, nil)
	a := opening(t, store, "a")
	withKey := guard("a", a)
	withKey.Key = "k"
	withEvents := guard("a", a)
	withEvents.Events = []eventstore.Event{deposited{1}}
	for name, writes := range map[string][]eventstore.Write{
		"alone":             {guard("a", a)},
		"only guards":       {guard("a", a), guard("b", eventstore.Head{})},
		"with events":       {withEvents, writing("x", eventstore.Head{})},
		"with a key":        {withKey, writing("x", eventstore.Head{})},
		"written":           {guard("a", a), writing("a", a)},
		"twice":             {guard("a", a), guard("a", a), writing("x", eventstore.Head{})},
		"without the field": {{Stream: account("a"), Expected: a}, writing("x", eventstore.Head{})},
	} {
		_, err := store.AppendAll(t.Context(), writes...)
		require.ErrorIs(t, err, eventstore.ErrRefused, name)
	}
	many := []eventstore.Write{writing("x", eventstore.Head{})}
	for i := range 999 {
		many = append(many, guard(fmt.Sprint("many", i), eventstore.Head{}))
	}
	_, err := store.AppendAll(t.Context(), many...)
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	require.Len(t, decode(t, store.All(t.Context())), 1)
	commits, err := store.AppendAll(t.Context(), many[:999]...)
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(1000), commits[0].Position)
}

func TestAStreamThatHasEndedIsGuarded(t *testing.T) {
	store := openErasing(t, eventstoretest.JetStream(t))
	a := opening(t, store, "a")
	closed, err := store.Append(t.Context(), account("a"), a, eventstore.StreamClosed{})
	require.NoError(t, err)
	commits, err := store.AppendAll(t.Context(), guard("a", closed.Head()), writing("x", eventstore.Head{}))
	require.NoError(t, err, "it stands where it will stand")
	require.NoError(t, store.Erase(t.Context(), account("a"), "asked for"))
	for name, head := range map[string]eventstore.Head{"before": closed.Head(), "by hand": {Version: 2}} {
		_, err = store.AppendAll(t.Context(), guard("a", head), writing("x", commits[1].Head()))
		require.ErrorIs(t, err, eventstore.ErrErased, name)
	}
	_, err = store.Verify(t.Context(), nil)
	require.NoError(t, err, "the guard of what is erased is no fault")
	require.Len(t, decode(t, store.Stream(t.Context(), account("x"))), 1)
}

// Each of the writers has a stream of its own, and all guard the same one.
func TestWhoGuardsOneStreamDoesNotConflict(t *testing.T) {
	for replicas, js := range map[int]jetstream.JetStream{1: eventstoretest.JetStream(t), 3: eventstoretest.NewCluster(t, 3).JetStream(t)} {
		t.Run(fmt.Sprint(replicas, " replicas"), func(t *testing.T) {
			store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Replicas: replicas})
			require.NoError(t, err)
			defer store.Close()
			a := opening(t, store, "a")
			var writers sync.WaitGroup
			errs := make([]error, 8)
			for i := range errs {
				writers.Go(func() {
					head := eventstore.Head{}
					for range 5 {
						commits, err := store.AppendAll(t.Context(), writing(fmt.Sprint(i), head), guard("a", a))
						if err != nil {
							errs[i] = err
							return
						}
						head = commits[0].Head()
					}
				})
			}
			writers.Wait()
			for _, err := range errs {
				require.NoError(t, err)
			}
		})
	}
}

// While an acknowledgement is lost, the guarded stream moves: before our transaction was stored, or after.
func TestATransactionInDoubtIsSettledThoughWhatItGuardsMoves(t *testing.T) {
	d := openDoubtful(t)
	opening(t, d.direct, "a")
	head := func(store *eventstore.Store, id string) eventstore.Head {
		head, err := store.Head(t.Context(), account(id))
		require.NoError(t, err)
		return head
	}
	moved := make(chan struct{}, 1)
	move := func() { // past the proxy, which waits for it
		_, err := d.direct.Append(t.Context(), account("a"), head(d.direct, "a"), deposited{1})
		require.NoError(t, err)
		moved <- struct{}{}
	}
	transact := func() error {
		_, err := d.AppendAll(t.Context(), guard("a", head(d.Store, "a")), writing("x", head(d.Store, "x")))
		<-moved
		return err
	}
	begun := time.Now()
	d.storedUnheard(move)
	require.NoError(t, transact(), "it came before")
	require.Equal(t, int64(1), d.Counters().Resolved)

	lost := false
	d.proxy.DropRequests(func(subject string, _ []byte) bool {
		if lost || subject != "bank.account.x" {
			return false
		}
		lost = true // the last message of the batch, so that nothing is answered
		move()
		return true
	})
	require.Equal(t, &eventstore.ConflictError{Stream: account("a"), Expected: 2, Actual: 3}, transact())

	// It is stored right after it was looked for, and then the guarded stream moves.
	d.proxy.DropRequests(nil)
	d.storedUnheard(move)
	a, x := head(d.Store, "a"), head(d.Store, "x")
	asked := false
	d.answer(func(_ int, answer []byte) []byte {
		if asked || !bytes.Contains(answer, []byte(`"subject":"bank.account.x"`)) {
			return nil
		}
		asked = true
		return []byte(nothingThere)
	})
	_, err := d.AppendAll(t.Context(), guard("a", a), writing("x", x))
	require.NoError(t, err, "that the stream has moved is no proof")
	require.Less(t, time.Since(begun), 20*time.Second, "none waited for its time to be up")
	require.Len(t, decode(t, d.direct.Stream(t.Context(), account("x"))), 2)
}

func TestTheRemainderOfAGuardedTransactionIsNoPartOfTheLog(t *testing.T) {
	for _, kept := range []int{1, 2, 3} {
		store := open(t, nil)
		a := opening(t, store, "a")
		require.NoError(t, store.AppendFirst(t.Context(), kept, guard("a", a), writing("x", eventstore.Head{}), guard("b", eventstore.Head{}), writing("y", eventstore.Head{})))
		c, err := store.Append(t.Context(), account("a"), a, deposited{1})
		require.NoError(t, err)
		commits, err := store.AppendAll(t.Context(), guard("a", c.Head()), writing("x", eventstore.Head{}))
		require.NoError(t, err)
		require.Equal(t, eventstore.Version(1), commits[1].First)
		require.Equal(t, []eventstore.Event{opened{"a"}, deposited{1}, deposited{1}}, decode(t, store.All(t.Context())))
		report, err := store.Verify(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, int64(kept), report.Torn)
	}
}

func TestVerifyFindsAGuardThatDoesNotHold(t *testing.T) {
	store := open(t, nil)
	a := opening(t, store, "a")
	_, err := store.Append(t.Context(), account("a"), a, deposited{1})
	require.NoError(t, err)
	require.NoError(t, store.AppendUnguarded(t.Context(), guard("a", a), writing("x", eventstore.Head{})))
	report, err := store.Verify(t.Context(), nil)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.Len(t, report.Faults, 1)
	require.Equal(t, "guard", report.Faults[0].Kind)
	require.Equal(t, account("a"), report.Faults[0].Stream)
	require.Equal(t, eventstore.Position(3), report.Faults[0].Position)
}
