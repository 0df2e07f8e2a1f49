package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/examples/bank/otherbank"
	"github.com/runnel-go/runnel/saga"
)

// orderLines returns the lines that say how an order ended.
func orderLines(output string) []string {
	return regexp.MustCompile(`(?m)^order \d+: .*$`).FindAllString(output, -1)
}

func TestTheProgramCarriesOutTheStandingOrders(t *testing.T) {
	data := t.TempDir()
	args := []string{"orders", syntheticLedger, "--data", data, "--answer-within", "500ms", "--seed", "3"}
	code, stdout, stderr := runWith(t, nil, args...)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stderr, "import: 349 events booked")
	require.Contains(t, stderr, "orders: 1 accounts that the ledger has no bookings for were opened with what their orders need, 19436.40\n")
	lines := orderLines(stdout)
	require.Len(t, lines, 40)
	ends := regexp.MustCompile(`: (paid$|given back, (the account cannot pay it|the other bank (does not take it|does not answer|refuses)): .)`)
	for _, line := range lines {
		require.Regexp(t, ends, line)
	}
	require.Contains(t, lines[8], "given back, the account cannot pay it: ", "whatever the other bank is like")
	require.Contains(t, stdout, " payments in their books, and all agree\n")

	code, again, stderr := runWith(t, nil, args...)
	require.Equal(t, exitOK, code, stderr)
	require.Contains(t, stderr, "orders: 0 accounts that the ledger has no bookings for were opened")
	require.Equal(t, lines, orderLines(again), "nothing is paid twice")
	require.Contains(t, again, "other banks: 0 payments in their books", "they have never heard of any")

	code, stdout, _ = runWith(t, nil, "audit", syntheticLedger, "--data", data)
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, " + in flight 0.00 + paid to other banks ")
	require.Contains(t, stdout, " resolved, 0 open\n")
	require.True(t, strings.HasSuffix(stdout, syntheticAudit), stdout)
}

// cutting cuts a program short when it says something.
type cutting struct {
	bytes.Buffer
	at  string
	cut context.CancelFunc
}

func (c *cutting) Write(p []byte) (int, error) {
	if strings.Contains(string(p), c.at) {
		c.cut()
	}
	return c.Buffer.Write(p)
}

func TestOrdersThatWereCutShortGoOn(t *testing.T) {
	args := []string{"orders", syntheticLedger, "--data", t.TempDir(), "--answer-within", "1s"}
	ctx, cut := context.WithCancel(t.Context())
	defer cut()
	var stdout bytes.Buffer
	stderr := cutting{at: "orders: 12 of 40", cut: cut}
	env := environment{lookup: func(string) (string, bool) { return "", false }, stdout: &stdout, stderr: &stderr}
	require.Equal(t, exitFailed, run(ctx, args, env), stderr.String())
	require.Contains(t, stderr.String(), "interrupted: run it again")
	require.Empty(t, stdout.String())

	code, output, failed := runWith(t, nil, args...)
	require.Equal(t, exitOK, code, failed)
	require.Len(t, orderLines(output), 40)
	code, output, _ = runWith(t, nil, "audit", syntheticLedger, "--data", args[3])
	require.Equal(t, exitOK, code)
	require.Contains(t, output, " resolved, 0 open\n")
}

func TestHowAPaymentEndedIsSaidInWords(t *testing.T) {
	steps := func(begun int, passed bool) []saga.StepStatus {
		all := []saga.StepStatus{{Name: "reserve"}, {Name: "send"}, {Name: "answer"}, {Name: "confirm"}}
		for i := range all {
			all[i].State = saga.Ahead
			if i < begun {
				all[i].State, all[i].Passed = saga.Reverted, passed && i == begun-1
			}
		}
		return all
	}
	for want, s := range map[string]saga.Status{
		"paid": {State: saga.StateCompleted, Steps: steps(4, false)},
		"given back, the account cannot pay it: no":       {State: saga.StateCompensated, Steps: steps(1, false), Error: "no"},
		"given back, the other bank does not take it: no": {State: saga.StateCompensated, Steps: steps(2, false), Error: "no"},
		"given back, the other bank does not answer: no":  {State: saga.StateCompensated, Steps: steps(3, true), Error: "no"},
		"given back, the other bank refuses: no":          {State: saga.StateCompensated, Steps: steps(3, false), Error: "no"},
		"stuck: no":                                       {State: saga.StateStuck, Error: "no"},
		"resolved: no":                                    {State: saga.StateResolved, Error: "no"},
	} {
		how, why := endOf(s)
		require.Equal(t, want, how+why)
	}
}

func TestOtherBanksThatKnowAnotherEndAreFound(t *testing.T) {
	book := func(id string, state otherbank.State) otherbank.Entry {
		return otherbank.Entry{Payment: otherbank.Payment{ID: id}, State: state}
	}
	ends := map[string]saga.Status{
		"a": {State: saga.StateCompleted}, "b": {State: saga.StateCompensated}, "c": {State: saga.StateCompleted}, "d": {State: saga.StateCompensated},
	}
	require.Equal(t, []string{"c", "d"}, differences(ends, []otherbank.Entry{
		book("a", otherbank.Paid), book("b", otherbank.Reversed), book("c", otherbank.Cancelled), book("d", otherbank.Paid), book("e", otherbank.Paid),
	}))
}
