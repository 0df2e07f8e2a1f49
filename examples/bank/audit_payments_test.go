package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/saga"
)

func TestAnAuditFindsPaymentsThatEndedOtherwiseInTheAccounts(t *testing.T) {
	bank := newBank(t, newRuntime(t), nil)
	pay(t, bank, "anna") // o1 is in flight, o2 paid, o3 given back
	started := saga.Events()[0]
	for id, events := range map[string][]eventstore.Event{
		"o1": {started, saga.Completed{}},
		"o2": {started, saga.Compensated{}},
		"o3": {started, saga.Compensated{}, saga.Completed{}},
		"o4": {started, saga.Compensated{}},
		"o5": {started, saga.Stuck{}, saga.Resolved{}},
		"o6": {started},
	} {
		_, err := bank.store.Append(t.Context(), eventstore.StreamID{Category: paymentCategory, ID: id}, eventstore.Head{}, events...)
		require.NoError(t, err)
	}
	var out bytes.Buffer
	a := newAudit(nil, &out)
	require.NoError(t, a.replay(t.Context(), bank.store))
	require.Equal(t, 4, a.wrong, out.String())
	require.Contains(t, out.String(), "wrong: payment o1 is completed, but its money was not paid\n")
	require.Contains(t, out.String(), "wrong: payment o2 is compensated, but its money did not come back\n")
	require.Contains(t, out.String(), "wrong: payment o3 goes on at position ")
	require.Contains(t, out.String(), "wrong: payment o3 is completed, but its money was not paid\n")
	require.Contains(t, out.String(), "payments: 2 paid, 2 given back, 1 resolved, 1 open\n")
}
