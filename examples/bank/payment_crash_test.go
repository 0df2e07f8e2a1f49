package main

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
	"github.com/runnel-go/runnel/examples/bank/otherbank"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/saga"
	"github.com/runnel-go/runnel/sagatest"
)

// script is how the world treats one payment, and how the payment must end for it.
type script struct {
	other  otherbank.Behaviour
	within time.Duration // that the other bank may take
	cancel bool          // somebody cancels the payment while its process is struck
	ends   saga.State    // "" for either way
}

// TestAPaymentEndsOnceWhereverItsProcessDies strikes the process of a payment at every point, for each way that the
// payment can take. In the end it is paid or given back, once. The accounts, the log and the other bank's books
// agree.
func TestAPaymentEndsOnceWhereverItsProcessDies(t *testing.T) {
	scripts := map[string]script{
		"accepted": {other: otherbank.Prompt, within: time.Minute, ends: saga.StateCompleted},
		"silent":   {other: otherbank.Silent, within: 30 * time.Millisecond, ends: saga.StateCompensated},
	}
	if proptest.Long() {
		scripts["refused"] = script{other: otherbank.Refuse, within: time.Minute, ends: saga.StateCompensated}
		scripts["down"] = script{other: otherbank.Down, within: time.Minute, ends: saga.StateCompensated}
		scripts["cancelled"] = script{other: otherbank.Prompt, within: time.Minute, cancel: true}
	}
	for name, s := range scripts {
		t.Run(name, func(t *testing.T) { sagatest.Crash(t, Events, s.play) })
	}
}

// play stages the payment, between an account with 100.00 and another bank that answers as the script says.
func (s script) play(t testing.TB, outside *eventstore.Store) sagatest.Play[Payment] {
	books, err := otherbank.New(&otherbank.Config{Behave: func(otherbank.Payment) otherbank.Behaviour { return s.other }})
	require.NoError(t, err)
	bank := paymentBank(t, outside, "")
	server := httptest.NewServer(answering(t, books, bank))
	t.Cleanup(server.Close)
	for _, command := range []aggregate.Command[Account, Event]{Open{Owner: "Anna", Date: day}, Deposit{Amount: 100_00, Date: day}} {
		_, err := bank.accounts.Do(t.Context(), "anna", command)
		require.NoError(t, err)
	}
	play := sagatest.Play[Payment]{
		ID: "p1", Data: Payment{From: "anna", Bank: "YZ", To: "17", Amount: 30_00},
		Define: func(store *eventstore.Store) (*saga.Definition[Payment], error) {
			return paymentBank(t, store, server.URL).paymentSteps(Terms{
				Within: s.within, Retry: saga.Retry{Tries: 2, Backoff: time.Millisecond},
			})
		},
		Check: func(t testing.TB, in saga.Instance[Payment]) { s.requireNothingIsLost(t, bank, books, in) },
	}
	if s.cancel {
		play.Interrupt = func(ctx context.Context, payments *saga.Manager[Payment]) {
			_ = payments.Cancel(ctx, "p1", "a mistake") // which comes too early at times, and too late at others
		}
	}
	return play
}

// paymentBank is what one process of the bank needs for payments.
func paymentBank(t testing.TB, store *eventstore.Store, others string) *Bank {
	t.Helper()
	accounts, err := aggregate.New(store, category, Account{}, nil)
	require.NoError(t, err)
	answers, err := aggregate.New(store, answerCategory, Answer{}, nil)
	require.NoError(t, err)
	b := &Bank{store: store, accounts: accounts, answers: answers, others: newOthers(others), today: func() string { return day }}
	t.Cleanup(b.others.close)
	return b
}

// answering is the other bank, which has its answer to a payment in the log before it says that it took it.
func answering(t testing.TB, books *otherbank.Bank, bank *Bank) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		books.ServeHTTP(w, r)
		for _, entry := range books.Books() {
			var answer GiveAnswer
			switch {
			case entry.Behaviour == otherbank.Prompt && entry.State == otherbank.Paid:
				answer = GiveAnswer{Accepted: true, Reference: "r1"}
			case entry.Behaviour == otherbank.Refuse:
				answer = GiveAnswer{Reason: "the account is closed"}
			default:
				continue
			}
			if _, err := bank.answers.Do(context.WithoutCancel(r.Context()), entry.Payment.ID, answer); err != nil {
				t.Errorf("answer: %v", err)
			}
		}
	})
}

// requireNothingIsLost holds the end of a payment against the account, the log, and the books of the other bank.
func (s script) requireNothingIsLost(t testing.TB, bank *Bank, books *otherbank.Bank, in saga.Instance[Payment]) {
	t.Helper()
	if s.ends != "" {
		require.Equal(t, s.ends, in.State, sagatest.Story(in))
	}
	paid := money.Amount(0)
	if in.State == saga.StateCompleted {
		paid = 30_00
	}
	var said bytes.Buffer
	a := newAudit(nil, &said)
	require.NoError(t, a.replay(t.Context(), bank.store))
	require.Zero(t, a.wrong, said.String())
	require.Zero(t, a.sums.flight, sagatest.Story(in))
	require.Equal(t, paid, a.sums.paid, sagatest.Story(in))
	require.Equal(t, paid, books.Paid(), sagatest.Story(in))
	anna, err := bank.accounts.Load(t.Context(), "anna")
	require.NoError(t, err)
	require.Equal(t, 100_00-paid, anna.State.Balance, sagatest.Story(in))
}
