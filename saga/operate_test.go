package saga_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

func TestASagaThatIsStuckIsRetriedResolvedOrCancelled(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	var mended atomic.Bool
	brittle := func(_ context.Context, _ saga.Call, p payment) (payment, error) {
		if !mended.Load() {
			return p, saga.Permanent(errors.New("broken"))
		}
		p.Notes = append(p.Notes, "mended")
		return p, nil
	}
	forwards := open(t, b, define(t, "forwards",
		saga.Step("first", noted("first")).Undo(noted("undone")), saga.Step("last", brittle).Retriable()), nil)
	backwards := open(t, b, define(t, "backwards",
		saga.Step("first", noted("first")).Undo(brittle), saga.Step("last", brittle).NoUndo()), nil)
	run(t, forwards)
	run(t, backwards)
	ctx := eventstore.WithMetadata(t.Context(), eventstore.Metadata{Actor: "anna"})
	for _, id := range []string{"1", "2"} {
		for _, m := range []*saga.Manager[payment]{forwards, backwards} {
			_, err := m.Start(ctx, id, payment{})
			require.NoError(t, err)
			in, err := m.Wait(soon(t), id)
			require.NoError(t, err)
			require.Equal(t, saga.StateStuck, in.State)
			require.Equal(t, "broken", in.Error)
			require.ErrorIs(t, m.Cancel(ctx, id, "of no use"), saga.ErrState, "there is no way back, or no other")
		}
	}
	require.NoError(t, forwards.View().WaitFor(soon(t), until(t, backwards, "2", saga.StateStuck).Position))
	var stuck []string
	for s, err := range forwards.List(t.Context(), saga.StateStuck) {
		require.NoError(t, err)
		stuck = append(stuck, s.ID+" at "+s.Current().Name)
	}
	require.Equal(t, []string{"1 at last", "2 at last"}, stuck)

	mended.Store(true)
	require.NoError(t, forwards.Retry(ctx, "1"))
	require.NoError(t, backwards.Retry(ctx, "1"))
	done, err := forwards.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State)
	require.Equal(t, []string{"first", "mended"}, done.Data.Notes)
	done, err = backwards.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, done.State)

	require.NoError(t, forwards.Resolve(ctx, "2", "done by hand"))
	in, err := forwards.Get(ctx, "2")
	require.NoError(t, err)
	require.Equal(t, saga.StateResolved, in.State)
	last := in.History[len(in.History)-1]
	require.Equal(t, []string{"saga.resolved", "done by hand", "anna"}, []string{last.Type, last.Reason, last.Actor})
	for _, operation := range []error{
		forwards.Retry(ctx, "2"), forwards.Resolve(ctx, "2", ""), forwards.Cancel(ctx, "2", ""),
	} {
		var state *saga.StateError
		require.ErrorAs(t, operation, &state)
		require.Equal(t, saga.StateResolved, state.State)
	}
	_, err = forwards.Get(ctx, "3")
	require.ErrorIs(t, err, saga.ErrNotFound)
	require.ErrorIs(t, forwards.Retry(ctx, "3"), saga.ErrNotFound)
}

func TestASagaIsCancelledWhileAStepIsUnderWay(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	begun := make(chan struct{}, 1)
	slow := func(ctx context.Context, _ saga.Call, p payment) (payment, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return p, ctx.Err()
	}
	m := open(t, b, define(t, "payment",
		saga.Step("slow", slow).Undo(noted("undone")), saga.Step("last", noted("last")).NoUndo()), nil)
	run(t, m)
	_, err := m.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	<-begun
	require.NoError(t, m.Cancel(t.Context(), "1", "changed my mind"))
	done, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, done.State)
	require.Equal(t, "cancelled: changed my mind", done.Error)
	require.Equal(t, []string{"undone"}, done.Data.Notes)
	require.NotContains(t, types(done), "saga.step.failed")
}

func TestARunnerThatEndsGivesItsSagasBack(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	begun := make(chan struct{}, 2)
	var calls atomic.Int32
	slow := func(ctx context.Context, _ saga.Call, p payment) (payment, error) {
		begun <- struct{}{}
		if calls.Add(1) == 1 {
			<-ctx.Done()
			return p, ctx.Err()
		}
		return p, nil
	}
	definition := define(t, "payment", saga.Step("slow", slow).NoUndo())
	first := open(t, b, definition, nil)
	stop := run(t, first)
	_, err := first.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	<-begun
	require.ErrorIs(t, first.Run(t.Context()), saga.ErrRunning)
	stop()
	in, err := first.Get(t.Context(), "1")
	require.NoError(t, err)
	require.Empty(t, in.Runner)
	begin := time.Now()
	second := open(t, b, definition, nil)
	run(t, second)
	<-begun
	require.Less(t, time.Since(begin), 3*time.Second, "others need not wait until the claim is over")
	done, err := second.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State)
}

func TestALongActionKeepsItsSaga(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	claim := 200 * time.Millisecond
	var calls atomic.Int32
	long := func(_ context.Context, _ saga.Call, p payment) (payment, error) {
		calls.Add(1)
		over := time.NewTimer(4 * claim)
		defer over.Stop()
		<-over.C
		return p, nil
	}
	definition := define(t, "payment", saga.Step("long", long).NoUndo())
	m := open(t, b, definition, &saga.Config{Claim: claim})
	run(t, m)
	run(t, open(t, b, definition, &saga.Config{Claim: claim}))
	_, err := m.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	done, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State)
	require.EqualValues(t, 1, calls.Load(), "nobody took it over")
	require.Greater(t, done.Claims, 3)
}

func TestWorkIsSharedAndBounded(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	definitionOf := func(under, most *atomic.Int32) *saga.Definition[payment] {
		return define(t, "payment", saga.Step("work", func(_ context.Context, _ saga.Call, p payment) (payment, error) {
			now := under.Add(1)
			defer under.Add(-1)
			for before := most.Load(); now > before && !most.CompareAndSwap(before, now); before = most.Load() {
			}
			pause := time.NewTimer(5 * time.Millisecond)
			defer pause.Stop()
			<-pause.C
			return p, nil
		}).NoUndo())
	}
	var under, most [2]atomic.Int32
	var managers []*saga.Manager[payment]
	for i := range under {
		managers = append(managers, open(t, b, definitionOf(&under[i], &most[i]), &saga.Config{Workers: 4}))
		run(t, managers[i])
	}
	starter := open(t, b, definitionOf(&under[0], &most[0]), nil) // does not run
	const sagas = 60
	ids := make([]string, sagas)
	for i := range ids {
		ids[i] = string(rune('A'+i/26)) + string(rune('a'+i%26))
		_, err := starter.Start(t.Context(), ids[i], payment{})
		require.NoError(t, err)
	}
	for _, id := range ids {
		done, err := starter.Wait(soon(t), id)
		require.NoError(t, err)
		require.Equal(t, saga.StateCompleted, done.State)
	}
	for i := range most {
		require.Positive(t, most[i].Load(), "both work")
		require.LessOrEqual(t, most[i].Load(), int32(4))
	}
}

func TestAPanicIsAnError(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, define(t, "payment",
		saga.Step("panics", func(context.Context, saga.Call, payment) (payment, error) { panic("no idea") }).NoUndo().
			Retry(saga.Retry{Tries: 2, Backoff: time.Millisecond})), nil)
	run(t, m)
	_, err := m.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	done, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, done.State)
	require.Equal(t, `saga payment/1, step "panics": panicked: no idea`, done.Error)
}
