package saga_test

import (
	"context"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// spiteful is an error that harms who asks what it matches, or what it says.
type spiteful struct{ text, match func() }

func (s spiteful) Error() string {
	s.text()
	return "no luck"
}

func (s spiteful) Is(error) bool {
	s.match()
	return true
}

func (s spiteful) As(any) bool {
	s.match()
	return true
}

// ruder is an error whose text panics, and so does the text of that panic.
type ruder struct{}

func (ruder) Error() string { panic(ruder{}) }

// spite is data that is encoded or decoded with an error.
type spite struct{ What string }

func (s spite) MarshalText() ([]byte, error) {
	if s.What == "encode" {
		return nil, spiteful{func() {}, runtime.Goexit}
	}
	return []byte(s.What), nil
}

func (s *spite) UnmarshalText(text []byte) error {
	if s.What = string(text); s.What == "decode" {
		return spiteful{runtime.Goexit, func() { panic(ruder{}) }}
	}
	return nil
}

// The methods of an error are functions of the user, whether an error is returned or is the value of a panic.
func TestAnErrorWithMethodsHarmsItsSagaAlone(t *testing.T) {
	t.Parallel()
	nothing := func() {}
	for what, err := range map[string]error{
		"text that panics twice": ruder{}, "text that exits": spiteful{runtime.Goexit, nothing},
		"a match that panics": spiteful{nothing, func() { panic(ruder{}) }}, "a match that exits": spiteful{nothing, runtime.Goexit},
	} {
		for where, may := range map[string]func(spite) error{
			"returned": func(s spite) error {
				if s.What == "bad" {
					return err
				}
				return nil
			},
			"in a panic": func(s spite) error {
				if s.What == "bad" {
					panic(err)
				}
				return nil
			},
		} {
			do := func(_ context.Context, _ saga.Call, s spite) (spite, error) { return s, may(s) }
			for step, part := range map[string]saga.Part[spite]{
				"Do":       saga.Step("it", do).NoUndo().Retry(saga.Retry{Tries: 1}),
				"Else":     saga.Await[spite]("it").Within(time.Millisecond).Else(func(s spite) (spite, error) { return s, may(s) }),
				"deadline": saga.Await[spite]("it").Until(func(s spite) time.Time { _ = may(s); return time.Now() }).Else(func(s spite) (spite, error) { return s, nil }),
			} {
				if step == "deadline" && where == "returned" {
					continue
				}
				t.Run(step+", "+what+", "+where, func(t *testing.T) {
					t.Parallel()
					b := openBank(t, eventstoretest.JetStream(t))
					m := open(t, b, define(t, "payment", part), &saga.Config{Claim: time.Second, Workers: 1})
					run(t, m)
					_, err := m.Start(t.Context(), "bad", spite{"bad"})
					require.NoError(t, err)
					requireOthersGoOn(t, m, "good", spite{"good"})
					in, err := m.Wait(soon(t), "bad")
					require.NoError(t, err)
					require.Equal(t, saga.StateCompensated, in.State)
				})
			}
		}
	}
}

func TestDataWithBadErrorsHarmsItsSagaAlone(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"encode", "decode"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := openBank(t, eventstoretest.JetStream(t))
			m := open(t, b, define(t, "payment",
				saga.Step("first", func(_ context.Context, _ saga.Call, s spite) (spite, error) {
					if s.What == "bad" {
						s.What = what
					}
					return s, nil
				}).NoUndo(),
				saga.Step("second", func(_ context.Context, _ saga.Call, s spite) (spite, error) { return s, nil }).NoUndo(),
			), &saga.Config{Claim: time.Second, Workers: 1})
			run(t, m)
			_, err := m.Start(t.Context(), "bad", spite{"bad"})
			require.NoError(t, err)
			for _, id := range []string{"a", "b", "c"} {
				requireOthersGoOn(t, m, id, spite{"good"})
			}
			if what == "encode" {
				in, err := m.Wait(soon(t), "bad")
				require.NoError(t, err)
				require.Equal(t, saga.StateCompensated, in.State)
			}
		})
	}
}
