//go:build unix

package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/examples/bank/money"
	"github.com/runnel-go/runnel/examples/bank/otherbank"
	"github.com/runnel-go/runnel/natsrun"
	"github.com/runnel-go/runnel/saga"
)

// The environment of a process that carries payments out, and how many payments the test orders.
const (
	runnerURL    = "BANK_TEST_RUNNER_URL"
	runnerOthers = "BANK_TEST_RUNNER_OTHERS"
	paymentsEnv  = "RUNNEL_TEST_PAYMENTS"
)

// howMany returns how many payments the test orders, and how often it kills a process.
func howMany() (payments int, every time.Duration) {
	if more, err := strconv.Atoi(os.Getenv(paymentsEnv)); err == nil {
		return more, time.Second
	}
	return 40, 500 * time.Millisecond
}

// processTerms returns terms for processes that are killed. They allow enough tries for banks that sometimes fail,
// and enough time to send all payments at once.
func processTerms() *Terms {
	payments, _ := howMany()
	return &Terms{
		Within: 2*time.Second + time.Duration(payments)*10*time.Millisecond,
		Retry:  saga.Retry{Tries: 5, Backoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond},
		Sagas:  &saga.Config{Claim: time.Second},
	}
}

// runnerProcess carries payments out until it is killed.
func runnerProcess(url, others string) error {
	ctx, log := context.Background(), slog.New(slog.DiscardHandler)
	rt, err := natsrun.Open(ctx, &natsrun.Config{URL: url, Logger: log})
	if err != nil {
		return err
	}
	bank, err := openBank(ctx, rt, log, processTerms())
	if err != nil {
		return err
	}
	bank.others = newOthers(others)
	if _, err := os.Stdout.WriteString("running\n"); err != nil {
		return err
	}
	return bank.payments.Run(ctx)
}

// runner is a process that carries payments out.
type runner struct{ cmd *exec.Cmd }

func startRunner(t *testing.T, url, others string) *runner {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), runnerURL+"="+url, runnerOthers+"="+others)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	r := &runner{cmd}
	t.Cleanup(r.kill)
	_, err = out.Read(make([]byte, 1))
	require.NoError(t, err, "the process has begun to carry payments out")
	return r
}

func (r *runner) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
}

// killing kills one of three processes at regular intervals, and starts another, until all payments have ended.
func killing(t *testing.T, every time.Duration, url, others string, ended <-chan struct{}) (kills int) {
	t.Helper()
	var runners [3]*runner
	for i := range runners {
		runners[i] = startRunner(t, url, others)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return kills
		case <-tick.C:
			i := kills % len(runners)
			runners[i].kill()
			runners[i] = startRunner(t, url, others)
			kills++
		}
	}
}

// endedPayments reads the log until so many payments have ended or are stuck. It returns how many ended in each way.
func endedPayments(ctx context.Context, bank *Bank, n int) (map[string]int, error) {
	ends := make(map[string]int)
	for recorded, err := range bank.store.All(ctx, eventstore.Live()) {
		if err != nil {
			return nil, err
		}
		switch recorded.Type() {
		case saga.Completed{}.EventType(), saga.Compensated{}.EventType(), saga.Stuck{}.EventType():
			ends[recorded.Type()]++
			n--
		}
		if n == 0 {
			break
		}
	}
	return ends, nil
}

// openPayments says of the payments that have not ended why not.
func openPayments(t *testing.T, bank *Bank, payments int) string {
	t.Helper()
	var open bytes.Buffer
	for i := range payments {
		p, err := bank.payments.Get(t.Context(), fmt.Sprintf("p%d", i))
		require.NoError(t, err)
		if !p.State.Final() {
			fmt.Fprintf(&open, "%s is %s at %s since %s, %d failures, again at %s, of %s: %s\n", p.ID, p.State, p.Current().Name,
				p.Changed, p.Failures, p.Again, p.Runner, p.Error)
		}
	}
	return open.String()
}

// Payments to banks that fail at random are carried out by three processes, of which one is killed every second. All
// of them end, and no money is lost at any position of the log.
func TestPaymentsEndHoweverOftenTheirProcessesDie(t *testing.T) {
	payments, every := howMany()
	server := eventstoretest.NewProcess(t, t.TempDir())
	rt, err := natsrun.Open(t.Context(), &natsrun.Config{URL: server.URL(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rt.Close(context.Background())) })
	bank := newBankWith(t, rt, processTerms(), nil)
	own := httptest.NewServer(newServer(bank, rt, "").handler())
	t.Cleanup(own.Close)
	other, url := runOthers(t, otherbank.Config{Answers: own.URL, Behave: otherbank.Mix(11, otherbank.Shares{
		otherbank.Down: 0.05, otherbank.Reject: 0.05, otherbank.Refuse: 0.1, otherbank.Silent: 0.02, otherbank.Lost: 0.02,
		otherbank.Late: 0.02, otherbank.Flaky: 0.15, otherbank.Twice: 0.1, otherbank.Slow: 0.1,
	})})
	for i := range 20 { // the last of which cannot pay all that is asked of them
		do(t, bank, "a"+strconv.Itoa(i), Open{Owner: "Anna", Date: day}, Deposit{Amount: money.Amount((25 - i) * payments), Date: day})
	}
	for i := range payments {
		_, err := bank.payments.Start(t.Context(), fmt.Sprintf("p%d", i), Payment{
			From: fmt.Sprintf("a%d", i%20), Bank: "YZ", To: "17", Amount: 150,
		})
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second+time.Duration(payments)*200*time.Millisecond)
	defer cancel()
	ended := make(chan struct{})
	var ends map[string]int
	go func() {
		defer close(ended)
		ends, err = endedPayments(ctx, bank, payments)
	}()
	kills := killing(t, every, server.URL(), url, ended)
	require.NoError(t, err, openPayments(t, bank, payments))
	require.Zero(t, ends[saga.Stuck{}.EventType()])

	var out bytes.Buffer
	a := newAudit(nil, &out)
	require.NoError(t, a.replay(t.Context(), bank.store))
	require.Zero(t, a.wrong, out.String())
	require.Zero(t, a.sums.flight)
	require.Equal(t, a.sums.paid, other.Paid())
	require.Contains(t, out.String(), fmt.Sprintf("payments: %d paid, %d given back, 0 resolved, 0 open\n",
		ends[saga.Completed{}.EventType()], ends[saga.Compensated{}.EventType()]))
	t.Logf("%d processes killed: %v\n%s", kills, ends, out.String())
}
