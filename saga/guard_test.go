package saga_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// Ways in which a function of the user does not return. The last one returns when the test ends.
func brokenWays(t testing.TB) map[string]func() {
	ended := make(chan struct{})
	t.Cleanup(func() { close(ended) })
	return map[string]func(){
		"panics": func() { panic("no idea") }, "ends its goroutine": runtime.Goexit, "does not return": func() { <-ended },
	}
}

// TestAFunctionThatFailsFailsItsSagaOnly lets each function of a definition fail for one saga, in each way.
func TestAFunctionThatFailsFailsItsSagaOnly(t *testing.T) {
	t.Parallel()
	type broken struct{ Broken bool }
	ok := func(_ context.Context, _ saga.Call, b broken) (broken, error) { return b, nil }
	for way, fail := range brokenWays(t) {
		may := func(b broken) {
			if b.Broken {
				fail()
			}
		}
		until := func(b broken) time.Time { may(b); return time.Now() }
		goOn := func(b broken) (broken, error) { return b, nil }
		for what, parts := range map[string][]saga.Part[broken]{
			"a deadline":          {saga.Step("first", ok).NoUndo(), saga.Await[broken]("it").Until(until).Else(goOn)},
			"the first deadline":  {saga.Await[broken]("it").Until(until).Else(goOn)},
			"Else":                {saga.Await[broken]("it").Within(time.Millisecond).Else(func(b broken) (broken, error) { may(b); return b, nil })},
			"what takes an event": {saga.Await("it", saga.On(func(b broken, _ answered) (broken, error) { may(b); return b, nil })).Within(time.Hour)},
			"Do": {saga.Step("it", func(_ context.Context, _ saga.Call, b broken) (broken, error) { may(b); return b, nil }).NoUndo().
				Timeout(100 * time.Millisecond).Retry(saga.Retry{Tries: 2, Backoff: time.Millisecond})},
		} {
			t.Run(what+" "+way, func(t *testing.T) {
				t.Parallel()
				b := openBank(t, eventstoretest.JetStream(t))
				m := open(t, b, define(t, "payment", parts...), &saga.Config{Claim: time.Second})
				run(t, m)
				for id, data := range map[string]broken{"bad": {true}, "good": {false}} {
					_, err := m.Start(t.Context(), id, data)
					require.NoError(t, err)
					b.answer(t, id, true)
				}
				in, err := m.Wait(soon(t), "good")
				require.NoError(t, err)
				require.Equal(t, saga.StateCompleted, in.State, in.Error)
				in, err = m.Wait(soon(t), "bad")
				require.NoError(t, err)
				require.Equal(t, saga.StateCompensated, in.State)
				require.Contains(t, in.Error, `saga payment/bad, step "it": `)
			})
		}
	}
}

// rude is an error whose text panics.
type rude struct{}

func (rude) Error() string { panic("no text") }

func TestAnErrorThatPanicsFailsItsSagaOnly(t *testing.T) {
	fails := func(_ context.Context, _ saga.Call, p payment) (payment, error) {
		if p.Amount > 0 {
			return p, rude{}
		}
		return p, nil
	}
	refuses := func(p payment) (payment, error) {
		if p.Amount > 0 {
			return p, rude{}
		}
		return p, nil
	}
	for what, part := range map[string]saga.Part[payment]{
		"Do":   saga.Step("it", fails).NoUndo().Retry(saga.Retry{Tries: 1}),
		"Else": saga.Await[payment]("it").Within(time.Millisecond).Else(refuses),
	} {
		b := openBank(t, eventstoretest.JetStream(t))
		m := open(t, b, define(t, "payment", part), nil)
		run(t, m)
		_, err := m.Start(t.Context(), "bad", payment{Amount: 1})
		require.NoError(t, err)
		requireOthersGoOn(t, m, "good", payment{})
		in, err := m.Wait(soon(t), "bad")
		require.NoError(t, err)
		require.Equal(t, saga.StateCompensated, in.State, what)
		require.Contains(t, in.Error, "panicked: no text")
	}
}

// A step whose data has become too large for the server fails. It is not done again and again.
func TestDataThatHasBecomeTooLargeFailsItsStep(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	var calls atomic.Int32
	m := open(t, b, define(t, "payment", saga.Step("grow", func(_ context.Context, _ saga.Call, p payment) (payment, error) {
		calls.Add(1)
		p.Notes = append(p.Notes, strings.Repeat("x", 2<<20))
		return p, nil
	}).Undo(noted("undone"))), nil)
	run(t, m)
	_, err := m.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	in, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, in.State)
	require.Contains(t, in.Error, "what it led to cannot be written down")
	require.Equal(t, []string{"undone"}, in.Data.Notes)
	require.EqualValues(t, 1, calls.Load())
}

func TestAnUndoThatFailsLeavesItsSagaStuck(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	ok := func(_ context.Context, _ saga.Call, p payment) (payment, error) { return p, nil }
	m := open(t, b, define(t, "payment",
		saga.Step("it", ok).Undo(func(_ context.Context, _ saga.Call, p payment) (payment, error) { runtime.Goexit(); return p, nil }).
			Retry(saga.Retry{Tries: 2, Backoff: time.Millisecond}),
		saga.Await[payment]("never").Within(time.Millisecond)), nil)
	run(t, m)
	_, err := m.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	in, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateStuck, in.State)
	require.Contains(t, in.Error, `saga payment/1, step "it": ended its goroutine`)
}

// An event whose key function fails is for no saga that is known. It parks its stream, and keeps nobody from a
// deadline.
func TestAnEventWithoutAKeyParksItsStreamOnly(t *testing.T) {
	t.Parallel()
	for way, fail := range brokenWays(t) {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			b := openBank(t, eventstoretest.JetStream(t))
			var mended atomic.Bool
			by := func(e answered) string {
				if e.Saga == "broken" && !mended.Load() {
					fail()
				}
				return e.Saga
			}
			m := open(t, b, define(t, "payment", saga.Await("answer", onAnswer().By(by)).Within(2*time.Second)), nil)
			run(t, m)
			for _, id := range []string{"answered", "silent"} {
				_, err := m.Start(t.Context(), id, payment{})
				require.NoError(t, err)
			}
			broken := eventstore.StreamID{Category: "answer", ID: "both"}
			_, err := b.store.Append(t.Context(), broken, eventstore.Head{}, answered{"broken", true}, answered{"answered", true})
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				for parked, err := range m.Reactor().Parked(t.Context()) {
					return err == nil && parked.Stream == broken && parked.Version == 1
				}
				return false
			}, 20*time.Second, 10*time.Millisecond)
			done, err := m.Wait(soon(t), "answered")
			require.NoError(t, err)
			require.Equal(t, saga.StateCompleted, done.State, "its answer is behind the broken one, in time")
			done, err = m.Wait(soon(t), "silent")
			require.NoError(t, err)
			require.Equal(t, saga.StateCompensated, done.State)
			require.Contains(t, done.Error, "no answer until")

			mended.Store(true)
			require.NoError(t, m.Reactor().ReplayParked(t.Context(), broken))
			require.Eventually(t, func() bool {
				for _, err := range m.Reactor().Parked(t.Context()) {
					require.NoError(t, err)
					return false
				}
				return true
			}, 20*time.Second, 10*time.Millisecond)
		})
	}
}

func TestAnEventThatCannotBeBroughtIsDiscarded(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, define(t, "payment",
		saga.Await("answer", onAnswer().By(func(e answered) string {
			if e.Saga == "broken" {
				panic("no idea")
			}
			return e.Saga
		})).Within(time.Hour)), nil)
	run(t, m)
	_, err := m.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	stream := eventstore.StreamID{Category: "answer", ID: "both"}
	_, err = b.store.Append(t.Context(), stream, eventstore.Head{}, answered{"broken", true}, answered{"1", true})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return m.Reactor().Discard(t.Context(), stream, 1) == nil }, 20*time.Second, 10*time.Millisecond)
	done, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State)
}

// A type in the data that encodes or decodes itself is a function of the user as well.
type hostile string

func (h hostile) MarshalText() ([]byte, error) { return []byte(h), nil }
func (h *hostile) UnmarshalText(text []byte) error {
	if string(text) == "exit" {
		runtime.Goexit()
	}
	*h = hostile(text)
	return nil
}

func TestADecoderThatEndsItsGoroutineLeavesItsSagaAlone(t *testing.T) {
	type data struct{ What hostile }
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, define(t, "payment",
		saga.Step("it", func(_ context.Context, _ saga.Call, d data) (data, error) { return d, nil }).NoUndo()), nil)
	run(t, m)
	_, err := m.Start(t.Context(), "bad", data{"exit"})
	require.NoError(t, err)
	requireOthersGoOn(t, m, "good", data{"fine"})
	require.Eventually(t, func() bool {
		in, err := m.Get(t.Context(), "bad")
		return err != nil && in.LeftAlone != "" && in.Runner == ""
	}, 10*time.Second, 10*time.Millisecond)
}

// No saga can have the id that is said to await the event. Another try cannot help, so the event's stream is parked.
func TestAnEventForAnImpossibleSagaParksItsStream(t *testing.T) {
	for name, id := range map[string]string{"too long": strings.Repeat("x", 257), "not UTF-8": "caf\xc3"} {
		t.Run(name, func(t *testing.T) {
			b := openBank(t, eventstoretest.JetStream(t))
			m := open(t, b, define(t, "payment", saga.Await("answer", onAnswer().By(func(answered) string { return id })).Within(time.Hour)), nil)
			run(t, m)
			b.append(t, "order", answered{"1", true})
			require.Eventually(t, func() bool {
				status, err := m.Reactor().Status(t.Context())
				return err == nil && status.Parked == 1
			}, 15*time.Second, 10*time.Millisecond)
		})
	}
}
