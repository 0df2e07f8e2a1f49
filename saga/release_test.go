package saga_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// journal keeps what a runner logs.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(line)
}

// leftAlone counts how often it is said that a saga is left alone.
func (j *journal) leftAlone() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return bytes.Count(j.text.Bytes(), []byte("left alone"))
}

func (j *journal) config() *saga.Config {
	return &saga.Config{Claim: 500 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(j, nil))}
}

// requireOthersGoOn starts a saga beside one that is not run, and waits until it is completed.
func requireOthersGoOn[S any](t testing.TB, m *saga.Manager[S], id string, data S) {
	t.Helper()
	_, err := m.Start(t.Context(), id, data)
	require.NoError(t, err)
	done, err := m.Wait(soon(t), id)
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State, done.Error)
}

func TestAStepThatBecameAnotherKindLeavesItsSagasAlone(t *testing.T) {
	step := func() saga.Part[payment] { return saga.Step("answer", noted("asked")).NoUndo() }
	await := func() saga.Part[payment] {
		return saga.Await[payment]("answer").Within(300 * time.Millisecond).Else(func(p payment) (payment, error) { return p, nil })
	}
	first := saga.Step("first", noted("first")).NoUndo()
	for name, c := range map[string]struct{ before, after []saga.Part[payment] }{
		"an await under way became a step": {[]saga.Part[payment]{await()}, []saga.Part[payment]{step()}},
		"an await ahead became a step":     {[]saga.Part[payment]{await(), first}, []saga.Part[payment]{step(), first}},
		"a step ahead became an await":     {[]saga.Part[payment]{step()}, []saga.Part[payment]{await()}},
	} {
		t.Run(name, func(t *testing.T) {
			b := openBank(t, eventstoretest.JetStream(t))
			older := open(t, b, define(t, "payment", c.before...), nil)
			_, err := older.Start(t.Context(), "1", payment{})
			require.NoError(t, err)
			if name == "an await under way became a step" {
				stop := run(t, older)
				until(t, older, "1", saga.StateWaiting)
				stop()
			}
			before, err := older.Get(t.Context(), "1")
			require.NoError(t, err)
			require.Empty(t, before.LeftAlone)

			var log journal
			newer := open(t, b, define(t, "payment", c.after...), log.config())
			stop := run(t, newer)
			require.Eventually(t, func() bool { return log.leftAlone() > 0 }, 10*time.Second, 5*time.Millisecond)
			requireOthersGoOn(t, newer, "2", payment{})
			in, err := newer.Get(t.Context(), "1")
			require.NoError(t, err)
			require.Len(t, in.History, len(before.History), "nothing is written")
			require.Contains(t, in.LeftAlone, `its step "answer" is of the kind`)
			require.NoError(t, newer.View().WaitFor(soon(t), in.Position))
			for s, err := range newer.List(t.Context()) {
				require.NoError(t, err)
				require.Equal(t, s.ID == "1", s.LeftAlone != "", s.ID)
			}
			require.ErrorIs(t, newer.Cancel(t.Context(), "1", ""), saga.ErrState)
			require.Equal(t, 1, log.leftAlone(), "it is said once")
			stop()

			run(t, older)
			done, err := older.Wait(soon(t), "1")
			require.NoError(t, err)
			require.Equal(t, saga.StateCompleted, done.State, "the older release goes on")
		})
	}
}

// The data of one saga in three releases. The third has another type for what the first has.
type (
	dataThen  struct{ Amount int64 }
	dataNow   struct{ Amount, Fee int64 }
	dataOther struct{ Amount []string }
)

func dataSteps[S any](t testing.TB) *saga.Definition[S] {
	return define(t, "payment",
		saga.Step("first", func(_ context.Context, _ saga.Call, s S) (S, error) { return s, nil }).NoUndo())
}

func TestStartIsRepeatedAcrossReleases(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	then, now := open(t, b, dataSteps[dataThen](t), nil), open(t, b, dataSteps[dataNow](t), nil)
	at, err := then.Start(t.Context(), "1", dataThen{Amount: 5})
	require.NoError(t, err)
	for _, fee := range []int64{0, 2} { // which the older release knew nothing of
		again, err := now.Start(t.Context(), "1", dataNow{Amount: 5, Fee: fee})
		require.NoError(t, err)
		require.Equal(t, at, again)
	}
	_, err = now.Start(t.Context(), "1", dataNow{Amount: 6})
	require.ErrorIs(t, err, saga.ErrOtherData)

	at, err = now.Start(t.Context(), "2", dataNow{Amount: 5, Fee: 2})
	require.NoError(t, err)
	again, err := then.Start(t.Context(), "2", dataThen{Amount: 5})
	require.NoError(t, err)
	require.Equal(t, at, again)
	_, err = now.Start(t.Context(), "2", dataNow{Amount: 5, Fee: 3})
	require.ErrorIs(t, err, saga.ErrOtherData)
	_, err = then.Start(t.Context(), "2", dataThen{Amount: 6})
	require.ErrorIs(t, err, saga.ErrOtherData)
}

func TestDataThatDoesNotDecodeLeavesItsSagaAlone(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	then := open(t, b, dataSteps[dataThen](t), nil)
	_, err := then.Start(t.Context(), "1", dataThen{Amount: 5})
	require.NoError(t, err)
	var log journal
	other := open(t, b, dataSteps[dataOther](t), log.config())
	stop := run(t, other)
	require.Eventually(t, func() bool { return log.leftAlone() > 0 }, 10*time.Second, 5*time.Millisecond)
	requireOthersGoOn(t, other, "2", dataOther{})
	in, err := other.Get(t.Context(), "1")
	require.ErrorContains(t, err, "its data does not decode as saga_test.dataOther")
	require.Contains(t, in.LeftAlone, "its data does not decode as saga_test.dataOther")
	require.Len(t, in.History, 1, "nothing is written")
	stop()
	run(t, then)
	done, err := then.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State)
}

// paused is an event that a later release writes into the history of its sagas, and reshaped one to which it gave
// another shape.
type (
	paused   struct{}
	reshaped struct{ Step []string }
)

func (paused) EventType() string   { return "saga.paused" }
func (reshaped) EventType() string { return "saga.step.failed" }

func TestAnEventOfALaterReleaseLeavesItsSagaAlone(t *testing.T) {
	for name, c := range map[string]struct {
		event eventstore.Event
		fails error
	}{"a new one": {paused{}, eventstore.ErrUnknownType}, "another shape": {reshaped{[]string{"first"}}, eventstore.ErrUndecodable}} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			b := openBank(t, js)
			var log journal
			m := open(t, b, dataSteps[dataThen](t), log.config())
			_, err := m.Start(t.Context(), "1", dataThen{})
			require.NoError(t, err)
			later, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{c.event}, nil)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, later.Close()) })
			stream := eventstore.StreamID{Category: "payment", ID: "1"}
			happen := func() {
				head, err := later.Head(t.Context(), stream)
				require.NoError(t, err)
				_, err = later.Append(t.Context(), stream, head, c.event)
				require.NoError(t, err)
			}
			happen()
			stop := run(t, m)
			require.Eventually(t, func() bool { return log.leftAlone() > 0 }, 10*time.Second, 5*time.Millisecond)
			happen() // while it runs
			_, err = m.Start(t.Context(), "2", dataThen{})
			require.NoError(t, err)
			until(t, m, "2", saga.StateCompleted)
			if errors.Is(c.fails, eventstore.ErrUnknownType) { // of which the view knows nothing
				require.NoError(t, m.View().WaitFor(soon(t), until(t, m, "2", saga.StateCompleted).Position))
			}
			in, err := m.Get(t.Context(), "1")
			require.ErrorIs(t, err, c.fails)
			require.NotEmpty(t, in.LeftAlone)
			head, err := later.Head(t.Context(), stream)
			require.NoError(t, err)
			require.EqualValues(t, 3, head.Version, "nothing is written")
			stop()
			said := log.leftAlone()
			run(t, m) // which begins with the view
			require.Eventually(t, func() bool { return log.leftAlone() > said }, 10*time.Second, 5*time.Millisecond)
		})
	}
}

// checked is what a newer release awaits, which the older one knows nothing of.
type checked struct{ Saga string }

func (checked) EventType() string { return "checked" }

// The runner of the older release is the one that searches the log at first. It passes over what the newer one awaits.
func TestAnEventThatAnOlderReleasePassedOverCounts(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", append(storeEvents(), checked{}), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	b := bankOf(t, store)
	answer := func() saga.Part[payment] {
		return saga.Await("answer", onAnswer().By(func(e answered) string { return e.Saga })).Within(time.Hour)
	}
	check := saga.Await("check", saga.On(func(p payment, _ checked) (payment, error) { return p, nil }).
		By(func(e checked) string { return e.Saga })).Within(2 * time.Second)
	older := open(t, b, define(t, "payment", answer()), nil)
	stop := run(t, older)
	_, err = older.Start(t.Context(), "0", payment{})
	require.NoError(t, err)
	b.answer(t, "0", true) // the older runner has the reactor now
	until(t, older, "0", saga.StateCompleted)
	newer := open(t, b, define(t, "payment", check, answer()), nil)
	run(t, newer)
	_, err = newer.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	until(t, newer, "1", saga.StateWaiting)
	_, err = store.Append(t.Context(), eventstore.StreamID{Category: "report", ID: "1"}, eventstore.Head{}, checked{"1"})
	require.NoError(t, err)
	b.answer(t, "1", true)
	require.Eventually(t, func() bool {
		in, err := newer.Get(t.Context(), "1")
		return err == nil && in.Steps[1].Received > 0
	}, 10*time.Second, 5*time.Millisecond, "the older release brings what it knows")
	stop()
	done, err := newer.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State, done.Error)
}

// A release that lacks a step of a saga may bring it an event, but must not work on it.
func TestAReleaseThatLacksAStepBringsEventsOnly(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	answer := func() saga.Part[payment] {
		return saga.Await("answer", onAnswer().By(func(e answered) string { return e.Saga })).Within(time.Hour)
	}
	newer := open(t, b, define(t, "payment", answer(), saga.Step("last", noted("last")).NoUndo()), nil)
	stop := run(t, newer)
	_, err := newer.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	until(t, newer, "1", saga.StateWaiting)
	stop()
	older := open(t, b, define(t, "payment", answer()), nil)
	stop = run(t, older)
	b.answer(t, "1", true)
	in := until(t, older, "1", saga.StateRunning)
	require.Empty(t, in.Runner)
	require.Positive(t, in.Steps[0].Received)
	stop()
	run(t, newer)
	done, err := newer.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, []string{"yes", "last"}, done.Data.Notes)
}

var errNotNow = errors.New("not now")

// An event that starts a saga is handled again after the saga was started, and a later release went on with it.
func TestAnEventThatStartedASagaOfALaterReleaseIsPassed(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b := openBank(t, js)
	m := open(t, b, define(t, "payment",
		saga.StartOn(func(e ordered) (string, payment) { return e.Payment.From, e.Payment }),
		saga.Step("note", noted("noted")).NoUndo()), nil)
	_, err := m.Start(t.Context(), "a", payment{From: "a"})
	require.NoError(t, err)
	later, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{paused{}}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, later.Close()) })
	stream := eventstore.StreamID{Category: "payment", ID: "a"}
	head, err := later.Head(t.Context(), stream)
	require.NoError(t, err)
	_, err = later.Append(t.Context(), stream, head, paused{})
	require.NoError(t, err)
	run(t, m)
	_, err = b.store.Append(t.Context(), eventstore.StreamID{Category: "order", ID: "1"}, eventstore.Head{},
		ordered{payment{From: "a"}}, ordered{payment{From: "b"}})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		in, err := m.Get(t.Context(), "b")
		return err == nil && in.State == saga.StateCompleted
	}, 10*time.Second, 5*time.Millisecond, "what comes behind it in its stream goes on")
}
