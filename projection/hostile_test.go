package projection_test

import (
	"context"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
)

// rude is an error whose text panics, and so does the text of that panic.
type rude struct{}

func (rude) Error() string { panic(rude{}) }

// hostile is an error that harms who asks what it matches.
type hostile struct{ harm func() }

func (hostile) Error() string { return "no luck" }

func (h hostile) Is(error) bool {
	h.harm()
	return true
}

func (h hostile) As(any) bool {
	h.harm()
	return true
}

// TestAnErrorWithWhichAFoldPanicsHarmsItsKeyAlone looks at errors whose methods are code of the user as well, and at
// one that matches what a lost connection says.
func TestAnErrorWithWhichAFoldPanicsHarmsItsKeyAlone(t *testing.T) {
	for what, err := range map[string]error{
		"text that panics twice": rude{}, "a match that panics": hostile{func() { panic("no") }}, "a match that exits": hostile{runtime.Goexit},
		"a time that has run out": context.DeadlineExceeded,
	} {
		for _, park := range []bool{true, false} {
			t.Run(what, func(t *testing.T) {
				store := cupStore(t)
				view, openErr := projection.Open(t.Context(), store, "cups", 1, &projection.Config{Park: park},
					projection.On(func(c cup, e filled) cup {
						if e.Wrong != "" {
							panic(err)
						}
						return cup{N: c.N + 1}
					}).By(func(e filled) string { return e.Key }))
				require.NoError(t, openErr)
				defer func() { require.NoError(t, view.Close()) }()
				end := fill(t, store, "a", filled{Key: "good"}, filled{Key: "bad", Wrong: "yes"})
				if !park {
					require.ErrorIs(t, view.Run(soon(t)), projection.ErrFold)
					return
				}
				defer run(t, view)()
				good, err := view.Get(soon(t), "good", projection.At(end))
				require.NoError(t, err)
				require.Equal(t, 1, good.N)
				require.Len(t, parkedIn(t, view), 1)
			})
		}
	}
}

// label is text that is written and not read, if it is bad.
type label struct{ text string }

func (l label) MarshalText() ([]byte, error) { return []byte(l.text), nil }

func (l *label) UnmarshalText(text []byte) error {
	if l.text = string(text); l.text == "late" {
		return context.DeadlineExceeded
	} else if l.text == "bad" {
		panic(rude{})
	}
	return nil
}

type labelled struct{ Label label }

func (labelled) EventType() string { return "cup.labelled" }

type labels struct{ All []label }

func labelStore(t *testing.T) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bar", []eventstore.Event{labelled{}, filled{}}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// A decoder may return an error that looks as if it passed by itself. It does not, so the view does not try for ever.
func TestAnErrorOfADecoderDoesNotPass(t *testing.T) {
	store := labelStore(t)
	view, err := projection.Open(t.Context(), store, "labels", 1, nil,
		projection.On(func(l labels, e labelled) labels { return labels{append(l.All, e.Label)} }))
	require.NoError(t, err)
	defer func() { require.NoError(t, view.Close()) }()
	_, err = store.Append(t.Context(), eventstore.StreamID{Category: "cup", ID: "a"}, eventstore.Head{}, labelled{label{"late"}})
	require.NoError(t, err)
	require.ErrorIs(t, view.Run(soon(t)), eventstore.ErrUndecodable)
}

// A fold that fails may have changed its document in place, so the document is decoded as it was. That may fail too.
func TestADocumentThatIsNotDecodedIsParked(t *testing.T) {
	for _, live := range []bool{true, false} {
		store := labelStore(t)
		view, err := projection.Open(t.Context(), store, "labels", 1, &projection.Config{Park: true},
			projection.On(func(l labels, e filled) labels {
				if e.Wrong == "panics" {
					panic("no luck")
				}
				return labels{append(slices.Clip(l.All), label{e.Wrong})}
			}).By(func(e filled) string { return e.Key }))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, view.Close()) })
		if live {
			run(t, view)
			require.NoError(t, view.WaitFor(soon(t), 0))
		}
		end := fill(t, store, "a", filled{"bad", "bad"}, filled{"bad", "panics"}, filled{"good", "fine"})
		if !live {
			run(t, view)
		}
		good, err := view.Get(soon(t), "good", projection.At(end))
		require.NoError(t, err)
		require.Equal(t, labels{[]label{{"fine"}}}, good)
		require.Equal(t, 1, parkedIn(t, view)["bad"].Index)
		require.NoError(t, view.Discard(t.Context(), "bad"))
		eventually(t, func() bool { return len(parkedIn(t, view)) == 0 }, "it is left out")
	}
}
