package saga_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// A stranger may know what a saga's keys look like, and choose his own like them.
func TestKeysOfStrangersDoNotMeetThoseOfSagas(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	b.payIn(t, "anna", 100)
	effects := []string{"payment/1/hold/do", "payment/1/pay/do", "payment/2/hold/do", "payment/2/hold/undo"}
	strange := func(key string) error {
		_, err := b.accounts.Do(t.Context(), "anna", payIn{1}, aggregate.Key(key))
		return err
	}
	for _, effect := range effects {
		require.NoError(t, strange(effect))
	}
	m := open(t, b, define(t, "payment",
		saga.Step("hold", b.hold).Undo(b.giveBack),
		saga.Step("check", func(_ context.Context, call saga.Call, p payment) (payment, error) {
			if call.Saga() == "2" {
				return p, saga.Permanent(errors.New("no"))
			}
			return p, nil
		}).NoUndo(),
		saga.Step("pay", b.payOut).Retriable(),
	), nil)
	run(t, m)
	for id, want := range map[string]saga.State{"1": saga.StateCompleted, "2": saga.StateCompensated} {
		_, err := m.Start(t.Context(), id, payment{From: "anna", Amount: 30})
		require.NoError(t, err)
		done, err := m.Wait(soon(t), id)
		require.NoError(t, err)
		require.Equal(t, want, done.State, "%s: %s", id, done.Error)
	}
	require.NoError(t, strange("payment/2/hold/do/7"), "nor are they closed with the saga's")
	for _, effect := range effects {
		require.ErrorIs(t, strange("runnel.saga/"+effect), aggregate.ErrInvalidCommand)
	}
	anna, err := b.accounts.Load(t.Context(), "anna")
	require.NoError(t, err)
	require.Equal(t, account{Free: 75, Held: []held{}, Paid: 30}, anna.State)
}
