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
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/saga"
)

// decoding is what a text of these tests does when it is decoded. It has no other way to know of its test.
var decoding atomic.Pointer[func() error]

type slowText string

func (s slowText) MarshalText() ([]byte, error) { return []byte(s), nil }
func (s *slowText) UnmarshalText(text []byte) error {
	*s = slowText(text)
	return (*decoding.Load())()
}

func decode(f func() error) { decoding.Store(&f) }

type slowData struct{ What slowText }

// lookedAt starts saga 1, which the release cannot decode and leaves alone. Another release appends events to it. It is
// loaded here, and change is called while it is decoded.
func lookedAt(t *testing.T, b *bank, m *saga.Manager[slowData], log *journal, events []eventstore.Event, change func()) {
	t.Helper()
	decode(func() error { return nil })
	_, err := m.Start(t.Context(), "1", slowData{"1"})
	require.NoError(t, err)
	decode(func() error { return errors.New("a field that this release does not know") })
	run(t, m)
	require.Eventually(t, func() bool { return log.leftAlone() > 0 }, 10*time.Second, time.Millisecond)
	loaded, goOn := make(chan struct{}), make(chan struct{})
	decode(func() error {
		decode(func() error { return nil })
		close(loaded)
		<-goOn
		return nil
	})
	b.happen(t, firstPayment, events...)
	<-loaded
	change()
	in, err := m.Get(t.Context(), "1")
	require.NoError(t, err)
	require.NoError(t, m.View().WaitFor(soon(t), in.Position)) // the log has told the runner as well
	close(goOn)
}

func same(_ context.Context, _ saga.Call, d slowData) (slowData, error) { return d, nil }

// Another process cancels and undoes a saga while it is loaded here. The saga that was loaded is older than the log's.
func TestNothingIsDoneAfterASagaWasCompensatedWhileItWasLookedAt(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	var effects atomic.Int32
	var log journal
	m := open(t, b, define(t, "payment",
		saga.Step("reserve", same).Undo(same),
		saga.Await[slowData]("pause").Within(2*time.Second).Else(func(d slowData) (slowData, error) { return d, nil }),
		saga.Step("send", func(_ context.Context, _ saga.Call, d slowData) (slowData, error) {
			if d.What == "1" {
				effects.Add(1)
			}
			return d, nil
		}).Retriable()), log.config())
	lookedAt(t, b, m, &log, []eventstore.Event{
		sagaevent.Claimed{Runner: "a", For: time.Second}, sagaevent.StepBegun{Step: "reserve", Undo: "due"}, sagaevent.StepDone{Step: "reserve"},
		sagaevent.StepBegun{Step: "pause", Deadline: time.Now().Add(2 * time.Second)},
	}, func() { require.NoError(t, m.Cancel(t.Context(), "1", "the customer asked for it")) })
	b.happen(t, firstPayment, sagaevent.Claimed{Runner: "b", For: time.Second})
	b.happen(t, firstPayment, sagaevent.Undone{Step: "reserve"}, sagaevent.Compensated{})

	requireOthersGoOn(t, m, "2", slowData{"2"}) // its deadline is after the one of the other saga
	in, err := m.Get(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, in.State)
	require.Zero(t, effects.Load())
}

// A person retries a stuck saga while it is loaded here.
func TestASagaThatIsRetriedWhileItIsLookedAtGoesOn(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	var log journal
	m := open(t, b, define(t, "payment", saga.Step("send", same).Retriable()), log.config())
	lookedAt(t, b, m, &log, []eventstore.Event{
		sagaevent.Claimed{Runner: "a", For: time.Second}, sagaevent.StepBegun{Step: "send", Undo: "never"}, sagaevent.Stuck{Step: "send", Error: "no"},
	}, func() { require.NoError(t, m.Retry(t.Context(), "1")) })
	in, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, in.State)
}

// One event is for two steps, and the function that says for which saga it is fails for one of them.
func TestAnAnswerInTimeIsNotLostToTheKeyOfAnotherStep(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	first := saga.Await("first", onAnswer().By(func(answered) string { panic("no idea") })).Within(time.Millisecond).
		Else(func(p payment) (payment, error) { return p, nil })
	second := saga.Await("second", onAnswerFor()).Within(2 * time.Second)
	m := open(t, b, define(t, "payment", first, second), nil)
	run(t, m)
	_, err := m.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	// The first event parks the stream, so that the reactor does not bring the second.
	_, err = b.store.Append(t.Context(), eventstore.StreamID{Category: "answer", ID: "both"}, eventstore.Head{}, answered{"nobody", true}, answered{"1", true})
	require.NoError(t, err)
	done, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State, done.Error)
}

// The sagas of two stores have one name and one id, and act on the same account of a third store.
func TestSagasOfTwoStoresHaveKeysOfTheirOwn(t *testing.T) {
	js := eventstoretest.JetStream(t)
	vault := openBank(t, js)
	vault.payIn(t, "anna", 100)
	for _, name := range []string{"east", "west"} {
		store, err := eventstore.Open(t.Context(), js, name, storeEvents(), nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, store.Close()) })
		m := open(t, bankOf(t, store), define(t, "payment",
			saga.Step("in", func(ctx context.Context, call saga.Call, p payment) (payment, error) {
				_, err := vault.accounts.Do(ctx, "anna", payIn{p.Amount}, call.Once())
				return p, err
			}).NoUndo()), nil)
		run(t, m)
		_, err = m.Start(t.Context(), "1", payment{Amount: 10})
		require.NoError(t, err)
		done, err := m.Wait(soon(t), "1")
		require.NoError(t, err)
		require.Equal(t, saga.StateCompleted, done.State, done.Error)
	}
	require.EqualValues(t, 120, load(t, vault.accounts, "anna").Free)
}
