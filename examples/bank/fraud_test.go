package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
	"github.com/runnel-go/runnel/reactor"
)

// webhook is the receiver of alerts. It knows a repetition by its key.
type webhook struct {
	*httptest.Server
	down atomic.Bool

	mu     sync.Mutex
	alerts []Alert
	keys   map[string]bool
}

func newWebhook(t *testing.T) *webhook {
	t.Helper()
	h := &webhook{keys: map[string]bool{}}
	h.Server = httptest.NewServer(http.HandlerFunc(h.receive))
	t.Cleanup(h.Close)
	return h
}

func (h *webhook) receive(w http.ResponseWriter, r *http.Request) {
	if h.down.Load() {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	var alert Alert
	if err := json.NewDecoder(r.Body).Decode(&alert); err != nil || alert.Account == "refused" {
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if key := r.Header.Get("Idempotency-Key"); !h.keys[key] {
		h.keys[key] = true
		h.alerts = append(h.alerts, alert)
	}
}

func (h *webhook) received() []Alert {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]Alert(nil), h.alerts...)
}

// runFraud keeps an eye on a bank until the test ends.
func runFraud(t *testing.T, bank *Bank, url string) *Fraud {
	t.Helper()
	fraud, err := openFraud(t.Context(), bank.store, url, &reactor.Config{
		Retries: 20, Backoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond, Interval: 5 * time.Millisecond,
	}, slog.New(slog.NewTextHandler(t.Output(), nil)))
	require.NoError(t, err)
	fraud.breaker, err = reactor.NewBreaker("fraud webhook", &reactor.BreakerConfig{Cooldown: 10 * time.Millisecond})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- fraud.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		require.NoError(t, fraud.Close())
	})
	return fraud
}

// withdraw books withdrawals of one account on one day.
func withdraw(t *testing.T, bank *Bank, id, date string, amounts ...money.Amount) {
	t.Helper()
	for _, amount := range amounts {
		_, err := bank.accounts.Do(t.Context(), id, Withdraw{Amount: amount, Date: date})
		require.NoError(t, err)
	}
}

func openRich(t *testing.T, bank *Bank, id string) {
	t.Helper()
	_, err := bank.accounts.Do(t.Context(), id, Open{Owner: "Rich", Date: "2026-01-01"})
	require.NoError(t, err)
	_, err = bank.accounts.Do(t.Context(), id, Deposit{Amount: 1_000_000_00, Date: "2026-01-01"})
	require.NoError(t, err)
}

// handled waits until all that was booked so far has been looked at.
func (f *Fraud) handled(t *testing.T) reactor.Status {
	t.Helper()
	var status reactor.Status
	require.Eventually(t, func() bool {
		var err error
		status, err = f.reactor.Status(t.Context())
		require.NoError(t, err)
		return status.Position == status.End
	}, 20*time.Second, 5*time.Millisecond)
	return status
}

func TestOddWithdrawalsAreToldAndOthersAreNot(t *testing.T) {
	bank, hook := newBank(t, newRuntime(t), nil), newWebhook(t)
	openRich(t, bank, "early")
	withdraw(t, bank, "early", "2026-01-02", 20_000_00) // before the reactor was made
	fraud := runFraud(t, bank, hook.URL)
	openRich(t, bank, "large")
	withdraw(t, bank, "large", "2026-01-02", 9_999_99, 10_000_00)
	openRich(t, bank, "many")
	withdraw(t, bank, "many", "2026-01-05", 1, 1)
	withdraw(t, bank, "many", "2026-01-07", 1, 1)
	withdraw(t, bank, "many", "2026-01-08", 1, 1, 1)
	openRich(t, bank, "imported")
	_, err := bank.store.Append(t.Context(), eventstore.StreamID{Category: category, ID: "old"}, eventstore.Head{},
		Opened{Date: "1993-01-01"}, Withdrawn{Amount: 99_999_99, Date: "1993-01-02", Row: 7})
	require.NoError(t, err)
	require.Zero(t, fraud.handled(t).Parked)
	require.ElementsMatch(t, []Alert{
		{Account: "large", Version: 4, Rule: "large", Amount: 10_000_00, Date: "2026-01-02", Withdrawals: 2},
		{Account: "many", Version: 9, Rule: "many", Amount: 1, Date: "2026-01-08", Withdrawals: 5},
	}, hook.received())
}

func TestAlertsWaitForTheWebhookAndThoseItRefusesAreParked(t *testing.T) {
	bank, hook := newBank(t, newRuntime(t), nil), newWebhook(t)
	fraud := runFraud(t, bank, hook.URL)
	hook.down.Store(true)
	for _, id := range []string{"a", "b", "refused"} {
		openRich(t, bank, id)
		withdraw(t, bank, id, "2026-01-02", 10_000_00, 20_000_00)
	}
	require.Eventually(t, func() bool { return fraud.breaker.State() != reactor.BreakerClosed }, 20*time.Second, 5*time.Millisecond)
	hook.down.Store(false)
	require.Equal(t, 1, fraud.handled(t).Parked)
	require.Len(t, hook.received(), 4)
	parked, err := fraud.reactor.ShowParked(t.Context(), eventstore.StreamID{Category: category, ID: "refused"})
	require.NoError(t, err)
	require.Equal(t, eventstore.Version(3), parked.Version)
	require.Contains(t, parked.Error, "the fraud webhook answers 422")
}

func TestWithoutAWebhookAlertsAreLogged(t *testing.T) {
	bank := newBank(t, newRuntime(t), nil)
	fraud := runFraud(t, bank, "")
	openRich(t, bank, "a")
	withdraw(t, bank, "a", "2026-01-02", 10_000_00)
	require.Zero(t, fraud.handled(t).Parked)
}

func TestAWebhookThatIsNoURLIsRefused(t *testing.T) {
	for _, webhook := range []string{"example.com", "ftp://example.com", "http://", "::"} {
		code, _, stderr := runWith(t, map[string]string{"BANK_FRAUD_WEBHOOK": webhook}, "serve")
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, "BANK_FRAUD_WEBHOOK")
	}
}
