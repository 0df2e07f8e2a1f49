package saga_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/saga"
)

// The releases of these tests undo the step "pay" in other ways.

func pay() *saga.DoStep[payment] { return saga.Step("pay", noted("paid")) }

func pause(within time.Duration) *saga.AwaitStep[payment] {
	return saga.Await[payment]("pause").Within(within)
}

func goOnWith(p payment) (payment, error) { return p, nil }

func fails(_ context.Context, _ saga.Call, p payment) (payment, error) { return p, errNotNow }

// A saga has to go back, and the release that runs lacks the Undo of a step that has begun with one. It leaves the saga
// alone, until a release runs that has it.
func TestAReleaseWithoutAnUndoLeavesItsSagasAlone(t *testing.T) {
	stuck := func() *saga.DoStep[payment] {
		return saga.Step("note", noted("noted")).Retry(saga.Retry{Backoff: time.Second, MaxBackoff: time.Second})
	}
	for name, c := range map[string]struct {
		older, newer []saga.Part[payment]
		cancel       bool
		state        saga.State // in which the older release leaves it
		then         saga.State // in which the newer one leaves it alone
	}{
		"before the undo": {
			[]saga.Part[payment]{pay().Undo(noted("paid back")), stuck().Undo(fails), pause(time.Hour)},
			[]saga.Part[payment]{pay().NoUndo(), saga.Step("note", noted("noted")).Undo(noted("forgotten")), pause(time.Hour)},
			true, saga.StateCompensating, saga.StateCompensating,
		},
		"at the undo": {
			[]saga.Part[payment]{pay().Undo(noted("paid back")), stuck().Undo(fails), pause(time.Hour)},
			[]saga.Part[payment]{pay().Undo(noted("paid back")), saga.Step("note", noted("noted")).NoUndo(), pause(time.Hour)},
			true, saga.StateCompensating, saga.StateCompensating,
		},
		"retriable": {
			[]saga.Part[payment]{pay().Undo(noted("paid back")), stuck().Undo(fails), pause(time.Hour)},
			[]saga.Part[payment]{pay().Retriable(), saga.Step("note", noted("noted")).Retriable(), pause(time.Hour).Else(goOnWith)},
			true, saga.StateCompensating, saga.StateCompensating,
		},
		"on the way forwards": {
			[]saga.Part[payment]{pay().Undo(noted("paid back")), pause(time.Second)},
			[]saga.Part[payment]{pay().NoUndo(), pause(time.Second)},
			false, saga.StateWaiting, saga.StateCompensating,
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := openBank(t, eventstoretest.JetStream(t))
			older := open(t, b, define(t, "payment", c.older...), nil)
			stop := run(t, older)
			_, err := older.Start(t.Context(), "1", payment{})
			require.NoError(t, err)
			until(t, older, "1", saga.StateWaiting)
			if c.cancel {
				require.NoError(t, older.Cancel(t.Context(), "1", "changed my mind"))
				require.Eventually(t, func() bool {
					in, err := older.Get(t.Context(), "1")
					return err == nil && in.Failures > 0
				}, 10*time.Second, 5*time.Millisecond)
			}
			stop()
			until(t, older, "1", c.state)
			var log journal
			newer := open(t, b, define(t, "payment", c.newer...), log.config())
			stop = run(t, newer)
			require.Eventually(t, func() bool { return log.leftAlone() > 0 }, 10*time.Second, 5*time.Millisecond)
			in := until(t, newer, "1", c.then)
			require.Regexp(t, `its step "(pay|note)" has to be undone, and has no Undo here`, in.LeftAlone)
			require.Empty(t, in.Runner)
			require.ErrorIs(t, newer.Cancel(t.Context(), "1", ""), saga.ErrState)
			stop()
			mended := open(t, b, define(t, "payment",
				pay().Undo(noted("paid back")), saga.Step("note", noted("noted")).Undo(noted("forgotten")), pause(time.Hour)), nil)
			run(t, mended)
			done, err := mended.Wait(soon(t), "1")
			require.NoError(t, err)
			require.Equal(t, saga.StateCompensated, done.State, done.Error)
			require.Contains(t, done.Data.Notes, "paid back")
		})
	}
}

// Nobody can send a saga back with a release that cannot undo it. Forwards it may go on.
func TestASagaThatCannotBeUndoneHereIsNotCancelledHere(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	older := open(t, b, define(t, "payment", pay().Undo(noted("paid back")), pause(2*time.Second).Else(goOnWith)), nil)
	stop := run(t, older)
	_, err := older.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	until(t, older, "1", saga.StateWaiting)
	stop()
	newer := open(t, b, define(t, "payment", pay().NoUndo(), pause(time.Second).Else(goOnWith)), nil)
	err = newer.Cancel(t.Context(), "1", "")
	require.ErrorIs(t, err, saga.ErrState)
	require.ErrorContains(t, err, `its step "pay" has to be undone, and has no Undo here`)
	run(t, newer)
	done, err := newer.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State)
}

// There is no way back from a step that has begun as Retriable, whatever a later release makes of it.
func TestAStepThatWasRetriableHasNoWayBack(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	older := open(t, b, define(t, "payment", pay().Retriable(), pause(500*time.Millisecond).Else(goOnWith)), nil)
	stop := run(t, older)
	_, err := older.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	until(t, older, "1", saga.StateWaiting)
	stop()
	newer := open(t, b, define(t, "payment", pay().NoUndo(), pause(500*time.Millisecond)), nil)
	require.ErrorIs(t, newer.Cancel(t.Context(), "1", ""), saga.ErrState)
	run(t, newer)
	in, err := newer.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateStuck, in.State)
	require.Contains(t, in.Error, "no answer until")
}

// The history of an older release does not say how a step is undone. The definition says it, except at an Undo that has
// begun.
func TestTheDefinitionSaysWhatAnOlderReleaseDidNot(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	var log journal
	m := open(t, b, define(t, "payment", pay().Undo(noted("paid back")), saga.Step("note", noted("noted")).NoUndo()), log.config())
	begun := []eventstore.Event{
		sagaevent.Started{Steps: []string{"pay", "note"}, Data: []byte("\x80")}, sagaevent.Claimed{Runner: "a"},
		sagaevent.StepBegun{Step: "pay"}, sagaevent.StepDone{Step: "pay"}, sagaevent.StepBegun{Step: "note"}, sagaevent.Released{Runner: "a"},
		sagaevent.Compensating{Error: "no"},
	}
	b.happen(t, firstPayment, append(begun, sagaevent.UndoBegun{Step: "pay"})...)
	b.happen(t, eventstore.StreamID{Category: "payment", ID: "2"}, append(begun, sagaevent.UndoBegun{Step: "note"})...)
	run(t, m)
	done, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, []string{"paid back"}, done.Data.Notes)
	require.Eventually(t, func() bool { return log.leftAlone() > 0 }, 10*time.Second, 5*time.Millisecond)
	in, err := m.Get(t.Context(), "2")
	require.NoError(t, err)
	require.Contains(t, in.LeftAlone, `its step "note" has to be undone, and has no Undo here`)
}
