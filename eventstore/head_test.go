package eventstore_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// heads are what a program may take for the head of account/1, which is at version 2, when its last commit and one of
// another stream are given. Each says whether an append on top of it is right.
func heads(last, other, loaded eventstore.Head) map[string]struct {
	head  eventstore.Head
	right bool
} {
	edited := func(h eventstore.Head, edit func(*eventstore.Head)) eventstore.Head {
		edit(&h)
		return h
	}
	return map[string]struct {
		head  eventstore.Head
		right bool
	}{
		"zero":                        {eventstore.Head{}, false},
		"position only":               {eventstore.Head{Position: last.Position}, false},
		"version only":                {eventstore.Head{Version: last.Version}, true},
		"both":                        {eventstore.Head{Version: last.Version, Position: last.Position}, true},
		"another position":            {eventstore.Head{Version: last.Version, Position: last.Position - 1}, false},
		"lower version":               {edited(last, func(h *eventstore.Head) { h.Version-- }), false},
		"higher version":              {edited(last, func(h *eventstore.Head) { h.Version++ }), false},
		"version 0":                   {edited(last, func(h *eventstore.Head) { h.Version = 0 }), false},
		"loaded, higher version":      {edited(loaded, func(h *eventstore.Head) { h.Version += 7 }), false},
		"loaded, no position":         {edited(loaded, func(h *eventstore.Head) { h.Position = 0 }), true},
		"other stream":                {other, false},
		"other stream, edited":        {edited(other, func(h *eventstore.Head) { h.Version = last.Version }), false},
		"other stream, made to match": {edited(other, func(h *eventstore.Head) { *h = withFields(*h, last) }), true},
		"last":                        {last, true},
		"loaded":                      {loaded, true},
	}
}

// withFields returns a head with the exported fields of another.
func withFields(h, other eventstore.Head) eventstore.Head {
	h.Version, h.Position = other.Version, other.Position
	return h
}

func TestAHeadMadeByHandIsCompletedOrRefused(t *testing.T) {
	store := open(t, nil)
	other, err := store.Append(t.Context(), account("other"), eventstore.Head{}, deposited{1}, deposited{2}, deposited{3})
	require.NoError(t, err)
	first, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	last, err := store.Append(t.Context(), account("1"), first.Head(), deposited{2})
	require.NoError(t, err)
	total := 2
	for _, transaction := range []bool{false, true} {
		loaded, err := store.Head(t.Context(), account("1"))
		require.NoError(t, err)
		for name := range heads(last.Head(), other.Head(), loaded) {
			loaded, err := store.Head(t.Context(), account("1"))
			require.NoError(t, err)
			test := heads(last.Head(), other.Head(), loaded)[name]
			writes := []eventstore.Write{{Stream: account("1"), Expected: test.head, Events: []eventstore.Event{deposited{3}}}}
			if transaction {
				writes = append(writes, eventstore.Write{Stream: account(name), Events: []eventstore.Event{deposited{4}}})
			}
			commits, err := store.AppendAll(t.Context(), writes...)
			if test.right {
				require.NoError(t, err, name)
				last = commits[0]
				total++
			} else {
				conflict := &eventstore.ConflictError{Stream: account("1"), Expected: test.head.Version, Actual: last.Last()}
				require.Equal(t, conflict, err, name)
			}
			require.Len(t, decode(t, store.Stream(t.Context(), account("1"))), total, "%s: all of the history is read", name)
		}
	}
	_, err = store.Verify(t.Context(), nil)
	require.NoError(t, err)
}

// In the other store, another history has come to the same position of the same stream.
func TestTheHeadOfAnotherStoreIsNoHeadOfThisOne(t *testing.T) {
	js := eventstoretest.JetStream(t)
	stores := make(map[string]*eventstore.Store)
	for _, name := range []string{"here", "there"} {
		store, err := eventstore.Open(t.Context(), js, name, events, nil)
		require.NoError(t, err)
		defer store.Close()
		stores[name] = store
	}
	here, there := stores["here"], stores["there"]
	first, err := here.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1}, deposited{2}, deposited{3})
	require.NoError(t, err)
	theirs, err := there.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	require.Equal(t, first.Position, theirs.Position)
	_, err = here.Append(t.Context(), account("1"), theirs.Head(), deposited{4})
	require.Equal(t, &eventstore.ConflictError{Stream: account("1"), Expected: 1, Actual: 3}, err)

	again, err := eventstore.Open(t.Context(), js, "here", events, nil)
	require.NoError(t, err)
	defer again.Close()
	c, err := again.Append(t.Context(), account("1"), first.Head(), deposited{4})
	require.NoError(t, err, "of the same log, given by another Store")
	require.Len(t, c.Head().Links(), 2, "and completed")
	require.Len(t, decode(t, here.Stream(t.Context(), account("1"))), 4)
}

func TestACommitThatNoStoreGaveHasAHeadMadeByHand(t *testing.T) {
	store := open(t, nil)
	first, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1}, deposited{2})
	require.NoError(t, err)
	made := eventstore.Commit{Stream: account("1"), Position: first.Position, First: 1}
	_, err = store.Append(t.Context(), account("1"), made.Head(), deposited{3})
	require.ErrorIs(t, err, eventstore.ErrConflict)
}

func TestAnEmptyHeadGoesOnFromRemaindersOfTornTransactions(t *testing.T) {
	store := open(t, nil)
	_, err := store.AppendTorn(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	_, err = store.Append(t.Context(), account("end"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	c, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{2})
	require.NoError(t, err, "there is nothing to conflict with")
	require.Equal(t, eventstore.Version(1), c.First)
}

// So were commits stored whose heads were made by hand, by releases that believed them.
func TestHistoryThatLinksLeaveOutIsDamageUnlessItIsProvenTorn(t *testing.T) {
	for name, torn := range map[string]bool{"whole": false, "torn": true} {
		t.Run(name, func(t *testing.T) {
			store := open(t, nil)
			c, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
			require.NoError(t, err)
			c, err = store.Append(t.Context(), account("1"), c.Head(), deposited{2})
			require.NoError(t, err)
			forged := store.Give(account("1"), eventstore.Head{Position: c.Position})
			if torn {
				_, err = store.AppendTorn(t.Context(), account("1"), forged, deposited{3})
				require.NoError(t, err)
				_, err = store.Append(t.Context(), account("end"), eventstore.Head{}, deposited{1})
				require.NoError(t, err)
				_, err = store.Head(t.Context(), account("1"))
				require.ErrorIs(t, err, eventstore.ErrCorrupt)
				for _, err = range store.Stream(t.Context(), account("1"), eventstore.Backwards()) {
					require.ErrorIs(t, err, eventstore.ErrCorrupt)
				}
				require.Error(t, err)
			} else {
				_, err = store.Append(t.Context(), account("1"), forged, deposited{3})
				require.NoError(t, err)
			}
			_, err = store.Load(t.Context(), account("1"))
			var corrupt *eventstore.ReadError
			require.ErrorAs(t, err, &corrupt)
			require.ErrorIs(t, err, eventstore.ErrCorrupt)
			require.Equal(t, c.Position+1, corrupt.Position, "version 1 again")
		})
	}
}

func TestAnOutcomeIsFoundWhateverVersionItIsSoughtAt(t *testing.T) {
	store := open(t, nil)
	head, commits := eventstore.Head{}, []*eventstore.Commit(nil)
	for range 3 {
		c, err := store.Append(t.Context(), account("1"), head, deposited{1}, deposited{2})
		require.NoError(t, err)
		commits, head = append(commits, c), c.Head()
	}
	for version := range eventstore.Version(9) {
		for _, want := range commits {
			c, err := store.Outcome(t.Context(), account("1"), version, want.ID)
			require.NoError(t, err, version)
			require.Equal(t, want.First, c.First)
		}
		_, err := store.Outcome(t.Context(), account("1"), version, [16]byte{1})
		if version == 1 || version == 3 || version == 5 {
			require.ErrorIs(t, err, eventstore.ErrConflict, version)
		} else {
			require.ErrorIs(t, err, eventstore.ErrUnknownOutcome, version)
		}
	}
	_, err := store.Outcome(t.Context(), account("none"), 0, [16]byte{1})
	require.ErrorIs(t, err, eventstore.ErrUnknownOutcome)
}

// Store.At also returns the remainder of a torn transaction. None of its versions count.
func TestNothingIsAppendedOnTopOfARemainderThatWasReadAlone(t *testing.T) {
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	ctx := t.Context()
	first, err := store.Append(ctx, account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	head, err := store.AppendTorn(ctx, account("1"), first.Head(), deposited{2})
	require.NoError(t, err)
	remainder, err := store.At(ctx, head.Position)
	require.NoError(t, err)

	var conflict *eventstore.ConflictError
	_, err = store.Append(ctx, account("1"), remainder.Head(), deposited{3})
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, eventstore.ConflictError{Stream: account("1"), Expected: 2, Actual: 1}, *conflict)
	_, err = store.AppendAll(ctx, writing("2", eventstore.Head{}), guard("1", remainder.Head()))
	require.ErrorAs(t, err, &conflict)
	require.Equal(t, account("1"), conflict.Stream)

	whole, err := store.AppendAll(ctx, writing("3", eventstore.Head{}), writing("4", eventstore.Head{}))
	require.NoError(t, err)
	alone, err := store.At(ctx, whole[0].Position)
	require.NoError(t, err)
	_, err = store.Append(ctx, account("3"), alone.Head(), deposited{1})
	require.NoError(t, err)
}
