package saga_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

func TestDefinitionsThatCannotBeUsedAreRefused(t *testing.T) {
	do := noted("done")
	step := func(name string) *saga.DoStep[payment] { return saga.Step(name, do).NoUndo() }
	for problem, parts := range map[string][]saga.Part[payment]{
		"there is no step":                  {},
		"part 0 is nil":                     {nil},
		"has nothing to do":                 {saga.Step[payment]("a", nil).NoUndo()},
		"one of Undo, NoUndo and Retriable": {saga.Step("a", do)},
		`"b" must have one of Undo`:         {saga.Step("b", do).NoUndo().Undo(do)},
		"two steps are called":              {step("a"), step("a")},
		"1 to 40 letters":                   {step("a b")},
		`step "` + strings.Repeat("a", 41):  {step(strings.Repeat("a", 41))},
		"has no deadline":                   {saga.Await[payment]("a")},
		"event 0 is nil":                    {saga.Await[payment]("a", nil).Within(time.Second)},
		`step "b" may fail, but after "a"`:  {saga.Step("a", do).Retriable(), step("b")},
		`step "c" may fail, but after "a"`:  {saga.Step("a", do).Retriable(), saga.Await[payment]("c").Within(1)},
	} {
		_, err := saga.Define("payment", parts...)
		require.ErrorIs(t, err, saga.ErrInvalidDefinition, problem)
		require.ErrorContains(t, err, problem)
	}
	_, err := saga.Define("a name", step("a"))
	require.ErrorIs(t, err, saga.ErrInvalidDefinition)
	_, err = saga.Define("payment", saga.Step("a", func(_ context.Context, _ saga.Call, p struct{ hidden int }) (struct{ hidden int }, error) {
		return p, nil
	}).NoUndo())
	require.ErrorContains(t, err, "hidden is not exported")

	_, err = saga.Define("payment", saga.Step("a", do).Retriable(), saga.Await[payment]("b").Within(1).Else(func(p payment) (payment, error) { return p, nil }),
		saga.Step("c", do).Retriable())
	require.NoError(t, err)
}

func TestTheStoreMustKnowTheEvents(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "other", []eventstore.Event{paidIn{}}, nil)
	require.NoError(t, err)
	defer store.Close()
	_, err = saga.Open(t.Context(), store, define(t, "payment", saga.Step("a", noted("a")).NoUndo()), nil)
	require.ErrorIs(t, err, saga.ErrInvalidDefinition)
	require.ErrorContains(t, err, "saga.Events()")

	store2, err := eventstore.Open(t.Context(), js, "another", saga.Events(), nil)
	require.NoError(t, err)
	defer store2.Close()
	_, err = saga.Open(t.Context(), store2, define(t, "payment", saga.Await("a", onAnswer()).Within(1)), nil)
	require.ErrorIs(t, err, saga.ErrInvalidDefinition)
	require.ErrorIs(t, err, eventstore.ErrUnknownType)
}

func TestIDsAreChecked(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, define(t, "payment", saga.Step("a", noted("a")).NoUndo()), nil)
	for _, id := range []string{"", strings.Repeat("a", 129), strings.Repeat("/", 43), "\uFFFDa", "\xff"} {
		_, err := m.Start(t.Context(), id, payment{})
		require.ErrorIs(t, err, saga.ErrInvalidID)
	}
	for _, id := range []string{strings.Repeat("a", 128), strings.Repeat("/", 42), "a b.c*>"} {
		_, err := m.Start(t.Context(), id, payment{})
		require.NoError(t, err)
	}
}

func TestASagaKeepsToTheStepsItWasStartedWith(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	old := open(t, b, define(t, "payment", saga.Step("a", noted("a")).NoUndo(), saga.Step("b", noted("b")).NoUndo()), nil)
	_, err := old.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	without := open(t, b, define(t, "payment", saga.Step("a", noted("a")).NoUndo()), nil)
	stop := run(t, without)
	require.NoError(t, without.View().WaitFor(soon(t), 1))
	_, err = without.Start(t.Context(), "2", payment{})
	require.NoError(t, err)
	_, err = without.Wait(soon(t), "2")
	require.NoError(t, err)
	in, err := without.Get(t.Context(), "1")
	require.NoError(t, err)
	require.EqualValues(t, 1, in.Version, "who lacks a step leaves the saga to others")
	require.ErrorIs(t, without.Cancel(t.Context(), "1", ""), saga.ErrState)
	stop()

	longer := open(t, b, define(t, "payment",
		saga.Step("a", noted("a")).NoUndo(), saga.Step("new", noted("new")).NoUndo(), saga.Step("b", noted("b")).NoUndo()), nil)
	run(t, longer)
	done, err := longer.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, done.Data.Notes)
}
