package saga_test

import (
	"cmp"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/saga"
)

// answer makes the event that a saga awaits happen.
func (b *bank) answer(t testing.TB, id string, yes bool) {
	t.Helper()
	stream := eventstore.StreamID{Category: "answer", ID: cmp.Or(id, "nobody")}
	head, err := b.store.Head(t.Context(), stream)
	require.NoError(t, err)
	_, err = b.store.Append(t.Context(), stream, head, answered{id, yes})
	require.NoError(t, err)
}

// onAnswer notes a yes, and refuses a no.
func onAnswer() *saga.AwaitedEvent[payment, answered] {
	return saga.On(func(p payment, e answered) (payment, error) {
		if !e.Yes {
			return p, errors.New("they said no")
		}
		p.Notes = append(p.Notes, "yes")
		return p, nil
	})
}

// until waits until a saga has come to a state.
func until[S any](t testing.TB, m *saga.Manager[S], id string, state saga.State) saga.Instance[S] {
	t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for ctx := soon(t); ; {
		in, err := m.Get(ctx, id)
		require.NoError(t, err)
		if in.State == state {
			return in
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			require.Fail(t, "not in time", "%s is %s, not %s: %v", id, in.State, state, types(in))
		}
	}
}

func TestAnAwaitedEventSendsTheSagaOnOrBack(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, define(t, "payment",
		saga.Step("ask", noted("asked")).Undo(noted("forgotten")), saga.Await("answer", onAnswer()).Within(time.Hour)), nil)
	run(t, m)
	for id, yes := range map[string]bool{"a": true, "b": false} {
		_, err := m.Start(t.Context(), id, payment{})
		require.NoError(t, err)
		waiting := until(t, m, id, saga.StateWaiting)
		require.Empty(t, waiting.Runner, "nobody need hold on to it")
		require.WithinDuration(t, time.Now().Add(time.Hour), waiting.Current().Deadline, time.Minute)
		b.answer(t, id, yes)
	}
	done, err := m.Wait(soon(t), "a")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State)
	require.Equal(t, []string{"asked", "yes"}, done.Data.Notes)
	done, err = m.Wait(soon(t), "b")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, done.State)
	require.Equal(t, "they said no", done.Error)
	require.Equal(t, []string{"asked", "forgotten"}, done.Data.Notes)
}

func TestTheFirstEventCountsAlsoWhereItComesEarly(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, define(t, "payment",
		saga.Await("pause", saga.On(func(p payment, _ paidIn) (payment, error) { return p, nil })).Within(time.Hour),
		saga.Await("answer", onAnswer().By(func(e answered) string { return e.Saga })).Within(time.Hour)), nil)
	run(t, m)
	b.answer(t, "early", false) // before the saga is there
	_, err := m.Start(t.Context(), "early", payment{})
	require.NoError(t, err)
	b.answer(t, "early", true)
	b.answer(t, "early", false)
	b.answer(t, "", true) // for no saga
	require.Eventually(t, func() bool {
		in, err := m.Get(t.Context(), "early")
		return err == nil && in.Steps[1].Received > 0
	}, 10*time.Second, 5*time.Millisecond)
	b.payIn(t, "early", 1)
	done, err := m.Wait(soon(t), "early")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State)
	require.Equal(t, []string{"yes"}, done.Data.Notes)
}

func TestADeadlineIsDecidedOnceAndInTime(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	b := openBank(t, srv.JetStream(t))
	definition := define(t, "payment",
		saga.Await("answer", onAnswer()).Until(func(p payment) time.Time { return time.UnixMilli(p.Amount) }),
		saga.Await[payment]("pause").Within(time.Millisecond).Else(func(p payment) (payment, error) {
			p.Notes = append(p.Notes, "paused")
			return p, nil
		}))
	m := open(t, b, definition, nil)
	for range 3 { // all of which see it pass
		run(t, open(t, b, definition, nil))
	}
	due := time.Now().Add(700 * time.Millisecond).Truncate(time.Millisecond)
	for _, id := range []string{"late", "in time"} {
		_, err := m.Start(t.Context(), id, payment{Amount: due.UnixMilli()})
		require.NoError(t, err)
		until(t, m, id, saga.StateWaiting)
	}
	b.answer(t, "in time", true)
	done, err := m.Wait(soon(t), "in time")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State)
	require.Equal(t, []string{"yes", "paused"}, done.Data.Notes)

	late, err := m.Wait(soon(t), "late")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, late.State)
	require.Contains(t, late.Error, "no answer until")
	require.False(t, late.Changed.Before(due))
	require.Less(t, late.Changed.Sub(due), time.Second)
	b.answer(t, "late", true)
	again, err := m.Get(t.Context(), "late")
	require.NoError(t, err)
	require.Len(t, again.History, len(late.History), "what comes later changes nothing")
	passed := 0
	for _, name := range types(again) {
		if name == "saga.deadline.passed" {
			passed++
		}
	}
	require.Equal(t, 1, passed)
	require.NotContains(t, types(done)[:len(types(done))-5], "saga.deadline.passed", "the step had ended")
}

func TestADeadlineSurvivesARestartOfEverything(t *testing.T) {
	proptest.AboutTime(t)
	srv := eventstoretest.NewServer(t)
	definition := define(t, "payment", saga.Await("answer", onAnswer()).Until(func(p payment) time.Time { return time.UnixMilli(p.Amount) }))
	b := openBank(t, srv.JetStream(t))
	m := open(t, b, definition, nil)
	stop := run(t, m)
	due := time.Now().Add(900 * time.Millisecond).Truncate(time.Millisecond)
	for _, id := range []string{"late", "answered"} {
		_, err := m.Start(t.Context(), id, payment{Amount: due.UnixMilli()})
		require.NoError(t, err)
		until(t, m, id, saga.StateWaiting)
	}
	stop()
	srv.Restart()
	b = openBank(t, srv.JetStream(t))
	b.answer(t, "answered", true) // when nobody is there to see it
	wait := time.NewTimer(time.Until(due))
	defer wait.Stop()
	<-wait.C
	m = open(t, b, definition, nil)
	run(t, m)
	begun := time.Now()
	late, err := m.Wait(soon(t), "late")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, late.State)
	require.Less(t, late.Changed.Sub(begun), 5*time.Second, "a process takes over within that time")
	done, err := m.Wait(soon(t), "answered")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State, "it was in the log before the deadline was decided")
}

// The process that searches the log for events is silent, and no other does so before the deadline.
func TestAnAnswerThatNobodyHasReadIsInTime(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	definition := define(t, "payment", saga.Await("answer", onAnswer()).Within(time.Second))
	proxy := srv.Proxy(t)
	first := open(t, openBank(t, proxy.JetStream(t)), definition, nil)
	run(t, first)
	b := openBank(t, srv.JetStream(t))
	second := open(t, b, definition, nil)
	_, err := first.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	until(t, second, "1", saga.StateWaiting)
	t.Cleanup(proxy.Resume)
	proxy.Silence()
	b.answer(t, "1", true)
	run(t, second)
	until(t, second, "1", saga.StateCompleted)
}

func TestAnEventStartsASaga(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, define(t, "payment",
		saga.StartOn(func(e ordered) (string, payment) { return e.Payment.From, e.Payment }),
		saga.Step("note", noted("noted")).NoUndo()), nil)
	run(t, m)
	stream, head := eventstore.StreamID{Category: "order", ID: "1"}, eventstore.Head{}
	for _, from := range []string{"a", "", "a"} { // one twice, and one that starts none
		c, err := b.store.Append(t.Context(), stream, head, ordered{payment{From: from, Amount: 1}})
		require.NoError(t, err)
		head = c.Head()
	}
	require.Eventually(t, func() bool {
		_, err := m.Get(t.Context(), "a")
		return err == nil
	}, 10*time.Second, 5*time.Millisecond)
	done, err := m.Wait(soon(t), "a")
	require.NoError(t, err)
	require.Equal(t, payment{From: "a", Amount: 1, Notes: []string{"noted"}}, done.Data)
}
