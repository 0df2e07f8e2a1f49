package saga_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// soon bounds what comes by itself.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// states are the states of a saga's steps.
func states(s saga.Status) []saga.StepState {
	var all []saga.StepState
	for _, step := range s.Steps {
		all = append(all, step.State)
	}
	return all
}

// types are the names of the events in a saga's history.
func types[S any](in saga.Instance[S]) []string {
	var all []string
	for _, entry := range in.History {
		all = append(all, entry.Type)
	}
	return all
}

func TestASagaRunsItsStepsInOrder(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	b.payIn(t, "anna", 100)
	m := open(t, b, define(t, "payment",
		saga.Step("hold", b.hold).Undo(b.giveBack),
		saga.Step("note", noted("between")).NoUndo(),
		saga.Step("pay", b.payOut).Retriable(),
	), nil)
	run(t, m)
	at, err := m.Start(t.Context(), "1", payment{From: "anna", Amount: 30})
	require.NoError(t, err)
	done, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State)
	require.Equal(t, []saga.StepState{saga.Finished, saga.Finished, saga.Finished}, states(done.Status))
	require.Equal(t, payment{From: "anna", Amount: 30, Notes: []string{"between"}}, done.Data)
	require.Equal(t, at, done.History[0].Position)
	require.Equal(t, "saga.started", types(done)[0])
	require.Equal(t, "saga.completed", types(done)[len(done.History)-1])
	anna, err := b.accounts.Load(t.Context(), "anna")
	require.NoError(t, err)
	require.Equal(t, account{Free: 70, Held: []held{}, Paid: 30}, anna.State)

	again, err := m.Start(t.Context(), "1", payment{From: "anna", Amount: 30})
	require.NoError(t, err, "starting may be repeated")
	require.Equal(t, at, again)
	_, err = m.Start(t.Context(), "1", payment{From: "anna", Amount: 31})
	require.ErrorIs(t, err, saga.ErrOtherData)
}

func TestASagaThatFailsGoesBack(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	b.payIn(t, "anna", 100)
	failure := errors.New("the other bank is on fire")
	m := open(t, b, define(t, "payment",
		saga.Step("hold", b.hold).Undo(b.giveBack),
		saga.Step("read", noted("read")).NoUndo(),
		saga.Step("send", func(_ context.Context, _ saga.Call, p payment) (payment, error) { return p, failure }).Undo(noted("unsent")).
			Retry(saga.Retry{Tries: 3, Backoff: time.Millisecond}),
		saga.Step("pay", b.payOut).Retriable(),
	), nil)
	run(t, m)
	_, err := m.Start(t.Context(), "1", payment{From: "anna", Amount: 30})
	require.NoError(t, err)
	done, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, done.State)
	require.Equal(t, failure.Error(), done.Error)
	require.Equal(t, []saga.StepState{saga.Reverted, saga.Finished, saga.Reverted, saga.Ahead}, states(done.Status))
	require.Equal(t, []string{"read", "unsent"}, done.Data.Notes)
	require.Equal(t, []string{
		"saga.started", "saga.claimed", "saga.step.begun", "saga.step.done", "saga.step.begun", "saga.step.done", "saga.step.begun",
		"saga.step.failed", "saga.claimed", "saga.step.failed", "saga.claimed", "saga.compensating", "saga.undo.begun", "saga.undone",
		"saga.undo.begun", "saga.undone", "saga.compensated",
	}, types(done))
	anna, err := b.accounts.Load(t.Context(), "anna")
	require.NoError(t, err)
	require.Equal(t, account{Free: 100, Held: []held{}}, anna.State)
}

func TestARejectionIsFinal(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, define(t, "payment", saga.Step("hold", b.hold).Undo(b.giveBack)), nil)
	run(t, m)
	_, err := m.Start(t.Context(), "1", payment{From: "anna", Amount: 30})
	require.NoError(t, err)
	done, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, done.State)
	require.Contains(t, done.Error, errFunds.Error())
	require.NotContains(t, types(done), "saga.step.failed")
}
