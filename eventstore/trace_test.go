package eventstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// traced is what a trace was told about one append or load.
type traced struct {
	streams         []string
	events, commits int
	tries           int
	err             error
}

// tracing returns a trace that adds to the lists.
func tracing(appends, loads *[]traced) *eventstore.Trace {
	return &eventstore.Trace{
		Append: func(_ context.Context, writes []eventstore.Write) func([]*eventstore.Commit, int, error) {
			var told traced
			for _, w := range writes {
				told.streams = append(told.streams, w.Stream.String())
				told.events += len(w.Events)
			}
			return func(commits []*eventstore.Commit, tries int, err error) {
				told.commits, told.tries, told.err = len(commits), tries, err
				*appends = append(*appends, told)
			}
		},
		Load: func(_ context.Context, stream eventstore.StreamID) func(eventstore.History, error) {
			return func(history eventstore.History, err error) {
				told := traced{streams: []string{stream.String()}, commits: len(history.Commits), err: err}
				for _, c := range history.Commits {
					told.events += c.Len()
				}
				*loads = append(*loads, told)
			}
		},
	}
}

func TestATraceIsToldOfEachAppendAndLoadWithItsOutcome(t *testing.T) {
	var appends, loads []traced
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{deposited{}}, &eventstore.Config{Trace: tracing(&appends, &loads)})
	require.NoError(t, err)
	defer store.Close()
	told := func(list *[]traced) []traced {
		all := *list
		*list = nil
		return all
	}

	c, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1}, deposited{2})
	require.NoError(t, err)
	require.Equal(t, []traced{{streams: []string{"account/1"}, events: 2, commits: 1, tries: 1}}, told(&appends))

	_, err = store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("1"), Expected: c.Head(), Events: []eventstore.Event{deposited{3}}},
		eventstore.Write{Stream: account("2"), Events: []eventstore.Event{deposited{4}}})
	require.NoError(t, err)
	require.Equal(t, []traced{{streams: []string{"account/1", "account/2"}, events: 2, commits: 2, tries: 1}}, told(&appends))

	_, err = store.Append(t.Context(), account("1"), c.Head(), deposited{5})
	require.ErrorIs(t, err, eventstore.ErrConflict)
	require.Equal(t, []traced{{streams: []string{"account/1"}, events: 1, tries: 1, err: err}}, told(&appends))

	_, err = store.Append(t.Context(), account("1"), c.Head())
	require.ErrorIs(t, err, eventstore.ErrRefused)
	require.Equal(t, []traced{{streams: []string{"account/1"}, err: err}}, told(&appends), "it was never sent")

	told(&loads)
	_, err = store.Load(t.Context(), account("1"))
	require.NoError(t, err)
	require.Equal(t, []traced{{streams: []string{"account/1"}, events: 3, commits: 2}}, told(&loads))

	for _, err := range store.Stream(t.Context(), account("1"), eventstore.Backwards()) {
		require.NoError(t, err)
	}
	require.Equal(t, []traced{
		{streams: []string{"account/1"}, events: 1, commits: 1}, {streams: []string{"account/1"}, events: 2, commits: 1},
	}, told(&loads))

	_, err = store.Load(t.Context(), eventstore.StreamID{Category: "a.b", ID: "1"})
	require.ErrorIs(t, err, eventstore.ErrInvalidID)
	require.Equal(t, []traced{{streams: []string{"a.b/1"}, err: err}}, told(&loads))
}

func TestATraceIsToldHowOftenAnAppendWasSent(t *testing.T) {
	var appends, loads []traced
	proxy := eventstoretest.NewServer(t).Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", []eventstore.Event{deposited{}},
		&eventstore.Config{AckTimeout: 50 * time.Millisecond, Trace: tracing(&appends, &loads)})
	require.NoError(t, err)
	defer store.Close()
	lost := 0
	proxy.DropRequests(func(subject string, _ []byte) bool {
		if subject != "bank.account.1" || lost == 2 {
			return false
		}
		lost++
		return true
	})
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	require.Len(t, appends, 1)
	require.Equal(t, 3, appends[0].tries)
}

func TestATraceMayLeaveFunctionsOut(t *testing.T) {
	for name, trace := range map[string]*eventstore.Trace{
		"no functions": {},
		"no ends": {
			Append: func(context.Context, []eventstore.Write) func([]*eventstore.Commit, int, error) { return nil },
			Load:   func(context.Context, eventstore.StreamID) func(eventstore.History, error) { return nil },
		},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", []eventstore.Event{deposited{}}, &eventstore.Config{Trace: trace})
			require.NoError(t, err)
			defer store.Close()
			_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
			require.NoError(t, err)
			history, err := store.Load(t.Context(), account("1"))
			require.NoError(t, err)
			require.Len(t, history.Commits, 1)
			for _, err := range store.Stream(t.Context(), account("1"), eventstore.Backwards()) {
				require.NoError(t, err)
			}
		})
	}
}
