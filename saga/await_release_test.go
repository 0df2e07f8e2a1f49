package saga_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/saga"
)

// An Await of these tests knows an event more in one release than in the other.

// reshapedCheck is checked as another release has it, and checkedV2 is what it became in yet another.
type (
	reshapedCheck struct{ Saga []int }
	checkedV2     struct{ Saga, By string }
)

func (reshapedCheck) EventType() string { return "checked" }
func (checkedV2) EventType() string     { return "checked.v2" }

// bankWith is a process whose release knows further events.
func bankWith(t testing.TB, js jetstream.JetStream, events []eventstore.Event, upcasters ...eventstore.Upcaster) *bank {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", append(storeEvents(), events...),
		&eventstore.Config{Upcasters: upcasters, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return bankOf(t, store)
}

// onCheck notes an event of type E, which is for the saga that by says.
func onCheck[E eventstore.Event](by func(E) string) saga.Event[payment] {
	return saga.On(func(p payment, _ E) (payment, error) {
		p.Notes = append(slices.Clip(p.Notes), "checked")
		return p, nil
	}).By(by)
}

func onAnswerFor() saga.Event[payment] {
	return onAnswer().By(func(e answered) string { return e.Saga })
}

// happen appends events to a stream, wherever it stands.
func (b *bank) happen(t testing.TB, stream eventstore.StreamID, events ...eventstore.Event) eventstore.Position {
	t.Helper()
	var at eventstore.Position
	require.Eventually(t, func() bool {
		head, err := b.store.Head(t.Context(), stream)
		require.NoError(t, err)
		c, err := b.store.Append(t.Context(), stream, head, events...)
		if err == nil {
			at = c.Position
		}
		return err == nil
	}, 10*time.Second, time.Millisecond)
	return at
}

var firstPayment = eventstore.StreamID{Category: "payment", ID: "1"}

// The runner of the older release works on the step before an Await, when the newer release brings the Await an event
// that the older one does not know as such. The older release leaves the saga alone from then on, and goes on with it
// once the newer one has taken the event.
func TestAnEventThatANewerReleaseBroughtLeavesItsSagaAlone(t *testing.T) {
	check := onCheck(func(e checked) string { return e.Saga })
	for name, c := range map[string]struct {
		events []eventstore.Event
		awaits []saga.Event[payment]
	}{
		"not awaited": {[]eventstore.Event{checked{}}, nil},
		"not known":   {nil, nil},
		"for another": {[]eventstore.Event{checked{}}, []saga.Event[payment]{onCheck(func(checked) string { return "another" })}},
		"for nobody":  {[]eventstore.Event{checked{}}, []saga.Event[payment]{onCheck(func(checked) string { panic("no idea") })}},
		"reshaped":    {[]eventstore.Event{reshapedCheck{}}, []saga.Event[payment]{onCheck(func(reshapedCheck) string { return "1" })}},
	} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			began, goOn := make(chan struct{}, 1), make(chan struct{})
			var log journal
			older := open(t, bankWith(t, js, c.events), define(t, "payment",
				saga.Step("first", func(_ context.Context, _ saga.Call, p payment) (payment, error) {
					if p.From == "slow" {
						began <- struct{}{}
						<-goOn
					}
					return p, nil
				}).Undo(noted("undone")),
				saga.Await("answer", append(c.awaits, onAnswerFor())...).Within(time.Hour),
				saga.Step("last", noted("last")).NoUndo()), log.config())
			run(t, older)
			_, err := older.Start(t.Context(), "1", payment{From: "slow"})
			require.NoError(t, err)
			<-began
			b := bankWith(t, js, []eventstore.Event{checked{}})
			at := b.happen(t, eventstore.StreamID{Category: "report", ID: "1"}, checked{"1"})
			b.happen(t, firstPayment, sagaevent.EventReceived{Step: "answer", Type: "checked", Position: at})
			close(goOn)
			require.Eventually(t, func() bool { return log.leftAlone() > 0 }, 10*time.Second, 5*time.Millisecond)
			in, err := older.Get(t.Context(), "1")
			require.NoError(t, err)
			require.Equal(t, saga.StateRunning, in.State, in.Error)
			require.Empty(t, in.Runner, "others have it at once")
			require.Contains(t, in.LeftAlone, `its step "answer" has received the event`)
			_, err = older.Start(t.Context(), "2", payment{})
			require.NoError(t, err)
			b.answer(t, "2", true)
			_, err = older.Wait(soon(t), "2")
			require.NoError(t, err)
			again, err := older.Get(t.Context(), "1")
			require.NoError(t, err)
			require.Len(t, again.History, len(in.History), "nothing more is written")
			require.Equal(t, 1, log.leftAlone(), "it is said once")

			atLast := make(chan struct{}, 1)
			newer := open(t, b, define(t, "payment",
				saga.Step("first", noted("first")).Undo(noted("undone")),
				saga.Await("answer", check, onAnswerFor()).Within(time.Hour),
				saga.Step("last", func(ctx context.Context, _ saga.Call, p payment) (payment, error) {
					atLast <- struct{}{}
					<-ctx.Done()
					return p, ctx.Err()
				}).NoUndo()), log.config())
			stop := run(t, newer)
			<-atLast
			stop()
			done, err := older.Wait(soon(t), "1")
			require.NoError(t, err)
			require.Equal(t, saga.StateCompleted, done.State, done.Error)
			require.Equal(t, []string{"checked", "last"}, done.Data.Notes)
		})
	}
}

// The older release alone runs when the deadline passes, and an event that only the newer one awaits stands in the log
// in time. It counts if the newer release has started the saga, or has begun the step.
func TestAReleaseThatAwaitsLessDecidesNoDeadline(t *testing.T) {
	const within = time.Second
	later := []eventstore.Event{checked{}}
	check := onCheck(func(e checked) string { return e.Saga })
	renamed := onCheck(func(e checkedV2) string { return e.Saga })
	rename := eventstore.Upcast(func(e checked) checkedV2 { return checkedV2{Saga: e.Saga} })
	for name, c := range map[string]struct {
		older, newer []saga.Event[payment]
		begins       bool // the newer release begins the step, which else only starts the saga
		event        eventstore.Event
		named        string
		events       []eventstore.Event // of the newer release
		upcasters    []eventstore.Upcaster
	}{
		"started by the newer": {
			older: []saga.Event[payment]{onAnswerFor()}, newer: []saga.Event[payment]{onAnswerFor(), check},
			event: checked{"1"}, named: "checked", events: later,
		},
		"begun by the newer": {
			older: []saga.Event[payment]{onAnswerFor()}, newer: []saga.Event[payment]{check, onAnswerFor()}, begins: true,
			event: checked{"1"}, named: "checked", events: later,
		},
		"of a pause": {newer: []saga.Event[payment]{check}, begins: true, event: checked{"1"}, named: "checked", events: later},
		"of a new name": {
			older: []saga.Event[payment]{check}, newer: []saga.Event[payment]{renamed}, begins: true,
			event: checkedV2{Saga: "1"}, named: "checked.v2", events: []eventstore.Event{checkedV2{}}, upcasters: []eventstore.Upcaster{rename},
		},
	} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			parts := func(events []saga.Event[payment]) *saga.Definition[payment] {
				return define(t, "payment", saga.Await("answer", events...).Within(within))
			}
			b := bankWith(t, js, c.events, c.upcasters...)
			newer := open(t, b, parts(c.newer), nil)
			var log journal
			older := open(t, bankWith(t, js, later), parts(c.older), log.config())
			starter := newer
			if c.begins {
				starter = older
			}
			_, err := starter.Start(t.Context(), "1", payment{})
			require.NoError(t, err)
			if c.begins {
				stop := run(t, newer)
				until(t, newer, "1", saga.StateWaiting)
				stop()
			}
			b.happen(t, eventstore.StreamID{Category: "report", ID: "1"}, c.event)
			before, err := older.Get(t.Context(), "1")
			require.NoError(t, err)
			require.Contains(t, before.LeftAlone, `its step "answer" awaits the event "`+c.named+`"`)
			stop := run(t, older)
			require.Eventually(t, func() bool { return log.leftAlone() > 0 }, 10*time.Second, 5*time.Millisecond)
			_, err = older.Start(t.Context(), "2", payment{})
			require.NoError(t, err)
			_, err = older.Wait(soon(t), "2")
			require.NoError(t, err)
			in, err := older.Get(t.Context(), "1")
			require.NoError(t, err)
			require.Len(t, in.History, len(before.History), "nothing is written")
			require.ErrorIs(t, older.Cancel(t.Context(), "1", ""), saga.ErrState)
			stop()
			run(t, newer)
			done, err := newer.Wait(soon(t), "1")
			require.NoError(t, err)
			require.Equal(t, saga.StateCompleted, done.State, done.Error)
			require.Equal(t, []string{"checked"}, done.Data.Notes)
		})
	}
}

// An event that was renamed is awaited under its old name as well, so the newer release goes on with old sagas.
func TestARenamedEventIsStillAwaited(t *testing.T) {
	js := eventstoretest.JetStream(t)
	older := open(t, bankWith(t, js, []eventstore.Event{checked{}}),
		define(t, "payment", saga.Await("answer", onCheck(func(e checked) string { return e.Saga })).Within(time.Hour)), nil)
	stop := run(t, older)
	_, err := older.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	until(t, older, "1", saga.StateWaiting)
	stop()
	b := bankWith(t, js, []eventstore.Event{checkedV2{}}, eventstore.Upcast(func(e checked) checkedV2 { return checkedV2{Saga: e.Saga} }))
	newer := open(t, b, define(t, "payment", saga.Await("answer", onCheck(func(e checkedV2) string { return e.Saga })).Within(time.Hour)), nil)
	run(t, newer)
	b.happen(t, eventstore.StreamID{Category: "report", ID: "1"}, checkedV2{Saga: "1"})
	done, err := newer.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State, done.Error)
}

// The first events of older releases do not say what a step awaits. Such sagas are run as they were.
func TestASagaOfAReleaseThatDidNotSayWhatItAwaitsIsRun(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, define(t, "payment", saga.Step("first", noted("first")).NoUndo(), saga.Await("answer", onAnswerFor()).Within(time.Hour)), nil)
	begun := map[string][]eventstore.Event{
		"started": nil, "waiting": {
			sagaevent.Claimed{Runner: "a"}, sagaevent.StepBegun{Step: "first"}, sagaevent.StepDone{Step: "first"},
			sagaevent.StepBegun{Step: "answer", Deadline: time.Now().Add(time.Hour)},
		},
	}
	for id, events := range begun {
		started := sagaevent.Started{Steps: []string{"first", "answer"}, Data: []byte("\x80")}
		b.happen(t, eventstore.StreamID{Category: "payment", ID: id}, append([]eventstore.Event{started}, events...)...)
	}
	run(t, m)
	for id := range begun {
		b.answer(t, id, true)
		done, err := m.Wait(soon(t), id)
		require.NoError(t, err)
		require.Equal(t, saga.StateCompleted, done.State, done.Error)
	}
}
