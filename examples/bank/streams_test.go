package main

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/natsrun"
)

// An account of a hosted NATS may have as few as ten streams.
func TestTheBankHasSixStreams(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	fraud, err := openFraud(t.Context(), bank.store, "", nil, bank.log)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, fraud.Close()) })
	runGroup(t, rt, func(group *natsrun.Group) {
		bank.addViews(group)
		bank.addPayments(group)
		group.Add("fraud", fraud.Run)
	})
	require.NoError(t, bank.views.WaitFor(t.Context(), 0))
	require.NoError(t, bank.payments.View().WaitFor(t.Context(), 0))

	build := regexp.MustCompile("_v[0-9]+_[0-9a-f]{8}$")
	var streams []string
	for info := range rt.Commands().ListStreams(t.Context()).Info() {
		streams = append(streams, build.ReplaceAllString(info.Config.Name, "_<build>"))
	}
	require.ElementsMatch(t, []string{
		"bank", "KV_bank_control", "KV_bank_balances_<build>", "KV_bank_statements_<build>", "KV_bank_turnover_<build>",
		"KV_bank_payment-sagas_<build>",
	}, streams)
}
