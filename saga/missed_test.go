package saga_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// startedBy is a definition whose sagas an event starts, and that await an answer.
func startedBy(t testing.TB, within time.Duration) *saga.Definition[payment] {
	return define(t, "payment",
		saga.StartOn(func(e ordered) (string, payment) { return e.Payment.From, e.Payment }),
		saga.Step("send", noted("sent")).Undo(noted("recalled")),
		saga.Await("answer", onAnswer().By(func(e answered) string { return e.Saga })).Within(within))
}

// append appends to the one stream of a category, wherever it stands.
func (b *bank) append(t testing.TB, category string, events ...eventstore.Event) {
	t.Helper()
	stream := eventstore.StreamID{Category: category, ID: "1"}
	head, err := b.store.Head(t.Context(), stream)
	require.NoError(t, err)
	_, err = b.store.Append(t.Context(), stream, head, events...)
	require.NoError(t, err)
}

// An answer counts wherever it stands after the event that starts the saga, though the saga's own history begins
// after it.
func TestAnAnswerRightBehindTheStartIsReceived(t *testing.T) {
	order := ordered{payment{From: "1"}}
	for name, appends := range map[string]func(b *bank){
		"in the same commit": func(b *bank) { b.append(t, "order", order, answered{"1", true}) },
		"in the same stream": func(b *bank) { b.append(t, "order", order); b.append(t, "order", answered{"1", true}) },
		"in another stream":  func(b *bank) { b.append(t, "order", order); b.append(t, "answer", answered{"1", true}) },
	} {
		t.Run(name, func(t *testing.T) {
			b := openBank(t, eventstoretest.JetStream(t))
			m := open(t, b, startedBy(t, time.Hour), nil)
			appends(b) // when nobody runs
			run(t, m)
			require.Eventually(t, func() bool {
				in, err := m.Get(t.Context(), "1")
				return err == nil && in.State == saga.StateCompleted
			}, 20*time.Second, 5*time.Millisecond, "long before its deadline")
		})
	}
}

// An answer that stands before the event that starts the saga is another's, also in the commit of that event.
func TestAnAnswerBeforeTheStartIsNotReceived(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, startedBy(t, time.Second), nil)
	b.append(t, "order", answered{"1", true}, ordered{payment{From: "1"}})
	run(t, m)
	require.Eventually(t, func() bool {
		in, err := m.Get(t.Context(), "1")
		return err == nil && in.State.Final()
	}, 20*time.Second, 5*time.Millisecond)
	in, err := m.Get(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, in.State)
}

// A client's mistake parks its stream, with the answer in it. The answer is in time all the same.
func TestAnAnswerBehindAParkedEventIsInTime(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, startedBy(t, time.Second), nil)
	run(t, m)
	b.append(t, "order", ordered{payment{From: strings.Repeat("x", 129)}})
	_, err := m.Start(t.Context(), "1", payment{From: "1"})
	require.NoError(t, err)
	b.append(t, "order", answered{"1", true})
	done, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State, done.Error)
	for parked, err := range m.Reactor().Parked(t.Context()) {
		require.NoError(t, err)
		require.Contains(t, parked.Error, "invalid id of a saga")
	}
}

// Of many sagas that are due at once, each finds its own answer, and those without one go back.
func TestSagasThatAreDueAtOnceFindTheirAnswers(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, startedBy(t, 1500*time.Millisecond), nil)
	run(t, m)
	b.append(t, "order", ordered{payment{From: strings.Repeat("x", 129)}}) // parks the answers
	const sagas = 100
	id := func(i int) string { return strings.Repeat("p", i+1) }
	for i := range sagas {
		_, err := m.Start(t.Context(), id(i), payment{})
		require.NoError(t, err)
		if i%2 == 0 {
			b.append(t, "order", answered{id(i), true})
		}
	}
	for i := range sagas {
		done, err := m.Wait(soon(t), id(i))
		require.NoError(t, err)
		require.Equal(t, i%2 == 0, done.State == saga.StateCompleted, "%d: %s", i, done.Error)
	}
}

// The saga was cancelled, and is stuck on its way back, when the answer comes.
func TestAnAnswerDoesNotTurnASagaThatGoesBack(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	var mended atomic.Bool
	m := open(t, b, define(t, "payment",
		saga.Step("reserve", noted("reserved")).Undo(func(ctx context.Context, call saga.Call, p payment) (payment, error) {
			if !mended.Load() {
				return p, saga.Permanent(errNotNow)
			}
			return noted("freed")(ctx, call, p)
		}),
		saga.Step("send", noted("sent")).Undo(noted("recalled")),
		saga.Await("answer", onAnswer().By(func(e answered) string { return e.Saga })).Within(time.Hour),
		saga.Step("confirm", noted("confirmed")).Retriable()), nil)
	run(t, m)
	for _, id := range []string{"1", "2"} {
		_, err := m.Start(t.Context(), id, payment{})
		require.NoError(t, err)
		until(t, m, id, saga.StateWaiting)
	}
	require.NoError(t, m.Cancel(t.Context(), "1", "the customer asked for it"))
	until(t, m, "1", saga.StateStuck)
	b.answer(t, "1", true)
	b.answer(t, "2", true) // behind which the first was handled, or passed
	_, err := m.Wait(soon(t), "2")
	require.NoError(t, err)
	require.ErrorIs(t, m.Cancel(t.Context(), "1", ""), saga.ErrState)
	mended.Store(true)
	require.NoError(t, m.Retry(t.Context(), "1"))
	done, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, done.State)
	require.Equal(t, []string{"reserved", "sent", "recalled", "freed"}, done.Data.Notes)
}
