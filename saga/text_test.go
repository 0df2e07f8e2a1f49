package saga_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/saga"
)

// Texts that a form, or the body of an answer, can bring: some are not UTF-8, and some grow when they are encoded.
func oddTexts() map[string]string {
	return map[string]string{
		"not UTF-8": "caf\xe9", "long": strings.Repeat("é", 450_000), "too long for a commit": strings.Repeat("x", 2<<20),
		"grows in JSON": strings.Repeat("\x01", 300_000), "grows when it is mended": strings.Repeat("\xffa", 450_000),
	}
}

// requireListed waits until the view shows a saga in a state, with a text that it can hold.
func requireListed(t *testing.T, m *saga.Manager[payment], id string, state saga.State, text string) {
	t.Helper()
	in, err := m.Wait(soon(t), id)
	require.NoError(t, err)
	require.Equal(t, state, in.State)
	require.Contains(t, in.Error, text)
	require.NoError(t, m.View().WaitFor(soon(t), in.Position))
	listed := 0
	for s, err := range m.List(t.Context(), state) {
		require.NoError(t, err)
		if s.ID == id {
			listed++
			require.True(t, utf8.ValidString(s.Error))
			require.LessOrEqual(t, len(s.Error), 1000)
		}
	}
	require.Equal(t, 1, listed)
}

func TestTextsOfAnyKindAreWrittenDown(t *testing.T) {
	for name, codec := range map[string]eventstore.Codec{"msgpack": eventstore.Msgpack, "JSON": eventstore.JSON} {
		t.Run(name, func(t *testing.T) {
			store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", storeEvents(), &eventstore.Config{Codec: codec})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, store.Close()) })
			odd := oddTexts()
			m := open(t, bankOf(t, store), define(t, "payment",
				saga.Step("fail", func(_ context.Context, _ saga.Call, p payment) (payment, error) {
					if p.From == "" {
						return p, nil
					}
					return p, saga.Permanent(errors.New(odd[p.From]))
				}).Undo(func(_ context.Context, _ saga.Call, p payment) (payment, error) {
					if p.From == "" {
						return p, nil
					}
					return p, saga.Permanent(errors.New("undo: " + odd[p.From]))
				}),
				saga.Await[payment]("wait").Within(time.Hour)), nil)
			run(t, m)
			for what, text := range odd {
				_, err := m.Start(t.Context(), "cancelled, "+what, payment{})
				require.NoError(t, err)
				_, err = m.Start(t.Context(), "failed, "+what, payment{From: what})
				require.NoError(t, err)
				until(t, m, "cancelled, "+what, saga.StateWaiting)
				require.NoError(t, m.Cancel(t.Context(), "cancelled, "+what, text), what)
				requireListed(t, m, "cancelled, "+what, saga.StateCompensated, "cancelled: ")
				requireListed(t, m, "failed, "+what, saga.StateStuck, "undo: ")
				ctx := eventstore.WithMetadata(t.Context(), eventstore.Metadata{Actor: "anna\xe9"})
				require.NoError(t, m.Resolve(ctx, "failed, "+what, text), what)
				requireListed(t, m, "failed, "+what, saga.StateResolved, "undo: ")
				in, err := m.Get(t.Context(), "failed, "+what)
				require.NoError(t, err)
				for _, entry := range in.History {
					require.True(t, utf8.ValidString(entry.Reason))
					require.LessOrEqual(t, len(entry.Reason), 1000)
				}
			}
		})
	}
}

// An older release has written down texts as they came. The view and everybody who waits go on.
func TestATextOfAnOlderReleaseStopsNobody(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, define(t, "payment", saga.Step("it", noted("it")).NoUndo()), nil)
	run(t, m)
	for what, text := range oddTexts() {
		if len(text) > 1<<20 {
			continue // no commit holds it
		}
		stream := eventstore.StreamID{Category: "payment", ID: what}
		begun := []eventstore.Event{
			sagaevent.Started{Steps: []string{"it"}, Data: []byte("\x80")}, sagaevent.Claimed{Runner: "a"}, sagaevent.StepBegun{Step: "it"},
		}
		_, err := b.store.Append(t.Context(), stream, eventstore.Head{}, append(begun, sagaevent.StepFailed{Step: "it", Error: text, Again: time.Now()},
			sagaevent.Compensating{}, sagaevent.Compensated{})...)
		require.NoError(t, err)
		requireListed(t, m, what, saga.StateCompensated, "")
		for end, ended := range map[string][]eventstore.Event{
			"compensated": {sagaevent.Compensating{Error: text}, sagaevent.Compensated{}}, "stuck": {sagaevent.Stuck{Step: "it", Error: text}},
		} {
			stream.ID = end + " " + what
			_, err := b.store.Append(t.Context(), stream, eventstore.Head{}, append(begun, ended...)...)
			require.NoError(t, err)
			requireListed(t, m, stream.ID, saga.State(end), strings.ToValidUTF8(text[:2], "\uFFFD"))
		}
	}
}
