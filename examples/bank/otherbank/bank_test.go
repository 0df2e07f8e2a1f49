package otherbank_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/examples/bank/money"
	"github.com/runnel-go/runnel/examples/bank/otherbank"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asking is the bank that pays and is answered.
type asking struct {
	t     *testing.T
	other *otherbank.Bank
	url   string
	down  atomic.Bool
	tries atomic.Int64 // while it was down

	mu      sync.Mutex
	answers []string // payment, token and answer
}

func newAsking(t *testing.T, cfg otherbank.Config) *asking {
	t.Helper()
	a := &asking{t: t}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /payments/{id}/answer", a.answered)
	own := httptest.NewServer(mux)
	t.Cleanup(own.Close)
	cfg.Answers, cfg.Token, cfg.Delay = own.URL, "secret", 5*time.Millisecond
	var err error
	a.other, err = otherbank.New(&cfg)
	require.NoError(t, err)
	served := httptest.NewServer(a.other)
	t.Cleanup(served.Close)
	a.url = served.URL
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.other.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		http.DefaultClient.CloseIdleConnections()
	})
	return a
}

func (a *asking) answered(w http.ResponseWriter, r *http.Request) {
	if a.down.Load() {
		a.tries.Add(1)
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	var body struct{ Answer string }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answers = append(a.answers, r.PathValue("id")+" "+r.Header.Get("Authorization")+" "+body.Answer)
}

func (a *asking) heard() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.answers)
}

// hears waits until there are so many answers.
func (a *asking) hears(n int) []string {
	a.t.Helper()
	require.Eventually(a.t, func() bool { return len(a.heard()) >= n }, 10*time.Second, 2*time.Millisecond)
	return a.heard()
}

func (a *asking) do(method, path, key string, body any) int {
	a.t.Helper()
	data, err := json.Marshal(body)
	require.NoError(a.t, err)
	r, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, bytes.NewReader(data))
	require.NoError(a.t, err)
	r.Header.Set("Idempotency-Key", key)
	response, err := http.DefaultClient.Do(r)
	require.NoError(a.t, err)
	require.NoError(a.t, response.Body.Close())
	return response.StatusCode
}

func payment(id string) otherbank.Payment {
	return otherbank.Payment{ID: id, Bank: "YZ", Account: "1", Amount: 100}
}

// post pays under the key that a payment's step has.
func (a *asking) post(id string) int {
	a.t.Helper()
	return a.do(http.MethodPost, "/payments", keyOf(id), payment(id))
}

func (a *asking) cancel(id string) int {
	a.t.Helper()
	return a.do(http.MethodDelete, "/payments/"+url.PathEscape(keyOf(id)), "", nil)
}

func (a *asking) state(id string) otherbank.State {
	a.t.Helper()
	for _, entry := range a.other.Books() {
		if entry.Key == keyOf(id) {
			return entry.State
		}
	}
	return ""
}

func keyOf(id string) string { return "payment/" + id + "/send/do" }

func TestEachBehaviourDoesWhatItSays(t *testing.T) {
	const yes, no = "p Bearer secret accepted", "p Bearer secret refused"
	for _, c := range []struct {
		behaviour otherbank.Behaviour
		posts     []int // the status codes of repeated posts
		paid      money.Amount
		answers   []string
		deletes   []int
		after     otherbank.State
		late      []string // the answers once it was cancelled
	}{
		{otherbank.Prompt, []int{202, 202}, 100, []string{yes}, []int{200, 200}, otherbank.Reversed, []string{yes}},
		{otherbank.Slow, []int{202}, 100, []string{yes}, []int{200}, otherbank.Reversed, []string{yes}},
		{otherbank.Flaky, []int{503, 503, 202, 202}, 100, []string{yes}, []int{503, 503, 200}, otherbank.Reversed, []string{yes}},
		{otherbank.Twice, []int{202}, 100, []string{yes, yes}, []int{200}, otherbank.Reversed, []string{yes, yes}},
		{otherbank.Down, []int{503, 503, 503}, 0, nil, []int{200}, otherbank.Cancelled, nil},
		{otherbank.Reject, []int{422, 422}, 0, nil, []int{200}, otherbank.Cancelled, nil},
		{otherbank.Refuse, []int{202, 202}, 0, []string{no}, []int{200}, otherbank.Cancelled, []string{no}},
		{otherbank.Silent, []int{202, 202}, 100, nil, []int{200}, otherbank.Reversed, nil},
		{otherbank.Lost, []int{202, 202}, 0, nil, []int{200}, otherbank.Cancelled, nil},
		{otherbank.Late, []int{202, 202}, 100, nil, []int{200, 200}, otherbank.Reversed, []string{yes}},
		{otherbank.Gone, []int{202}, 100, nil, []int{503, 503}, otherbank.Paid, nil},
	} {
		t.Run(string(c.behaviour), func(t *testing.T) {
			a := newAsking(t, otherbank.Config{
				Slow: 10 * time.Millisecond, Behave: func(otherbank.Payment) otherbank.Behaviour { return c.behaviour },
			})
			for _, want := range c.posts {
				require.Equal(t, want, a.post("p"))
			}
			require.Equal(t, c.answers, a.hears(len(c.answers)))
			require.Equal(t, c.paid, a.other.Paid())
			for _, want := range c.deletes {
				require.Equal(t, want, a.cancel("p"))
			}
			require.Equal(t, c.late, a.hears(len(c.late)))
			require.Equal(t, c.after, a.state("p"))
			if c.behaviour != otherbank.Gone {
				require.Equal(t, 409, a.post("p"), "it was cancelled")
				require.Zero(t, a.other.Paid())
			}
		})
	}
}

func TestAPaymentWhoseCancelWasSeenIsNeverPaid(t *testing.T) {
	a := newAsking(t, otherbank.Config{})
	require.Equal(t, 200, a.cancel("p"))
	require.Equal(t, 409, a.post("p"))
	require.Equal(t, otherbank.Cancelled, a.state("p"))
	require.Zero(t, a.other.Paid())
	require.Equal(t, 202, a.post("q"))
	require.Equal(t, money.Amount(100), a.other.Paid())
}

func TestAKeyStandsForOnePayment(t *testing.T) {
	a := newAsking(t, otherbank.Config{})
	require.Equal(t, 202, a.post("p"))
	more := payment("p")
	more.Amount++
	require.Equal(t, 422, a.do(http.MethodPost, "/payments", keyOf("p"), more))
	require.Equal(t, money.Amount(100), a.other.Paid())
	for _, bad := range []otherbank.Payment{{}, {ID: "p"}, {Amount: 1}} {
		require.Equal(t, 400, a.do(http.MethodPost, "/payments", "k", bad))
	}
	require.Equal(t, 400, a.do(http.MethodPost, "/payments", "", payment("p")))
	require.Equal(t, 400, a.do(http.MethodPost, "/payments", "k", "no payment"))
	require.Equal(t, 200, a.do(http.MethodGet, "/payments/"+url.PathEscape(keyOf("p")), "", nil))
	require.Equal(t, 404, a.do(http.MethodGet, "/payments/other", "", nil))
}

func TestAnswersAreSentUntilSomebodyTakesThem(t *testing.T) {
	a := newAsking(t, otherbank.Config{})
	a.down.Store(true)
	require.Equal(t, 202, a.post("p"))
	require.Eventually(t, func() bool { return a.tries.Load() > 1 }, 10*time.Second, time.Millisecond)
	a.down.Store(false)
	require.Equal(t, []string{"p Bearer secret accepted"}, a.hears(1))
}

func TestAMixHasItsSharesAndIsAlwaysTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Uint64().Draw(t, "seed")
		mix, again := otherbank.Mix(seed, otherbank.Troubled()), otherbank.Mix(seed, otherbank.Troubled())
		const n = 4000
		counts := make(map[otherbank.Behaviour]int)
		for i := range n {
			p := payment(fmt.Sprintf("order-%d", i))
			b := mix(p)
			if b != again(p) {
				t.Fatalf("payment %s is %s and %s", p.ID, b, again(p))
			}
			counts[b]++
		}
		failed := counts[otherbank.Down] + counts[otherbank.Reject] + counts[otherbank.Refuse]
		silent := counts[otherbank.Silent] + counts[otherbank.Lost] + counts[otherbank.Late]
		require.InDelta(t, 0.10*n, failed, 0.03*n)
		require.InDelta(t, 0.05*n, silent, 0.02*n)
	})
}

func TestTheNameOfABankSaysHowItBehaves(t *testing.T) {
	for _, b := range otherbank.Behaviours() {
		require.Equal(t, b, otherbank.ByBank(otherbank.Payment{Bank: string(b)}))
	}
	require.Equal(t, otherbank.Silent, otherbank.ByBank(otherbank.Payment{Bank: "SILENT"}))
	require.Equal(t, otherbank.Prompt, otherbank.ByBank(otherbank.Payment{Bank: "YZ"}))
}
