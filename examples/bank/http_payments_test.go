package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/examples/bank/otherbank"
	"github.com/runnel-go/runnel/saga"
)

// quick are terms under which a test need not wait.
func quick() *Terms {
	return &Terms{
		Within: time.Hour, // a test that wants a deadline names it
		Retry:  saga.Retry{Tries: 4, Backoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond},
		Sagas:  &saga.Config{Claim: time.Second},
	}
}

// runOthers serves other banks that behave as their names say, and answer to a URL, until the test ends.
func runOthers(t *testing.T, cfg otherbank.Config) (*otherbank.Bank, string) {
	t.Helper()
	cfg.Delay, cfg.Slow = 5*time.Millisecond, 20*time.Millisecond
	if cfg.Behave == nil {
		cfg.Behave = otherbank.ByBank
	}
	other, err := otherbank.New(&cfg)
	require.NoError(t, err)
	served := httptest.NewServer(other)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- other.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		served.Close()
	})
	return other, served.URL
}

// paying is a client of a bank that pays to other banks.
type paying struct {
	*client
	other *otherbank.Bank
}

func newPaying(t *testing.T, terms *Terms) *paying {
	t.Helper()
	rt := newRuntime(t)
	bank := newBankWith(t, rt, terms, nil)
	bank.today = func() string { return day }
	runViews(t, rt, bank)
	served := httptest.NewServer(newServer(bank, rt, "").handler())
	t.Cleanup(served.Close)
	other, url := runOthers(t, otherbank.Config{Answers: served.URL})
	bank.others = newOthers(url)
	runPayments(t, rt, bank)
	return &paying{client: &client{t: t, url: served.URL, server: newServer(bank, rt, "")}, other: other}
}

// order orders a payment of 1.00 to a bank.
func (p *paying) order(id, bank string) answer {
	p.t.Helper()
	return p.post("/payments", `{"id":"`+id+`","from":"anna","bank":"`+bank+`","to":"17","amount":"1","text":"rent"}`).is(http.StatusAccepted)
}

// ends waits until a payment has ended or is stuck, and returns it as the interface shows it.
func (p *paying) ends(id string) (document struct {
	saga.Status
	Payment
	History []struct{ Type, Actor string }
},
) {
	p.t.Helper()
	_, err := p.server.bank.payments.Wait(p.t.Context(), id)
	require.NoError(p.t, err)
	p.get("/payments/" + id).is(http.StatusOK).into(&document)
	return document
}

func TestAPaymentEndsPaidOrGivenBack(t *testing.T) {
	p := newPaying(t, quick())
	p.open("anna", "100")
	for _, c := range []struct {
		bank  string
		state saga.State
		says  string
	}{
		{"YZ", saga.StateCompleted, ""},
		{"flaky", saga.StateCompleted, ""},
		{"twice", saga.StateCompleted, ""},
		{"slow", saga.StateCompleted, ""},
		{"down", saga.StateCompensated, "the other bank answers 503"},
		{"reject", saga.StateCompensated, "the other bank answers 422"},
		{"refuse", saga.StateCompensated, "the other bank refused: the account is closed"},
	} {
		t.Run(c.bank, func(t *testing.T) {
			p.t = t
			before := p.other.Paid()
			ordered := p.order("to-"+c.bank, c.bank)
			require.Equal(t, "/payments/to-"+c.bank, ordered.header.Get("Location"))
			require.Contains(t, ordered.body, `"from":"anna","bank":"`+c.bank+`","to":"17","amount":"1.00","text":"rent"`)
			payment := p.ends("to-" + c.bank)
			require.Equal(t, c.state, payment.State)
			require.Contains(t, payment.Error, c.says)
			require.Equal(t, "saga.started", payment.History[0].Type)
			require.Equal(t, "http", payment.History[0].Actor)
			if c.state == saga.StateCompleted {
				require.Equal(t, c.bank+"/17/to-"+c.bank, payment.Reference)
				require.Equal(t, before+100, p.other.Paid())
				return
			}
			require.Equal(t, before, p.other.Paid())
		})
	}
	account, err := p.server.bank.accounts.Load(t.Context(), "anna")
	require.NoError(t, err)
	require.Equal(t, "96.00", account.State.Balance.String())
	require.Empty(t, account.State.Reservations)
}

func TestAPaymentThatIsNotAnsweredInTimeIsCancelledAndGivenBack(t *testing.T) {
	terms := quick()
	terms.Within = 50 * time.Millisecond
	p := newPaying(t, terms)
	p.open("anna", "100")
	for _, bank := range []string{"silent", "lost", "late"} {
		p.order("to-"+bank, bank)
	}
	for _, bank := range []string{"silent", "lost", "late"} {
		payment := p.ends("to-" + bank)
		require.Equal(t, saga.StateCompensated, payment.State)
		require.Contains(t, payment.Error, "no answer until")
	}
	require.Zero(t, p.other.Paid())
	require.Eventually(t, func() bool { // the answer of the bank that answers after the cancel
		answer, err := p.server.bank.answers.Load(t.Context(), "to-late")
		require.NoError(t, err)
		return answer.State.Accepted
	}, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, saga.StateCompensated, p.ends("to-late").State, "the answer came too late")
	account, err := p.server.bank.accounts.Load(t.Context(), "anna")
	require.NoError(t, err)
	require.Equal(t, "100.00", account.State.Balance.String())
}

func TestAStuckPaymentIsRetriedResolvedOrCancelledByPeople(t *testing.T) {
	p := newPaying(t, quick())
	p.open("anna", "100")
	p.order("gone", "gone")
	p.order("silent", "silent")
	p.post("/payments/gone/retry", `{}`).is(http.StatusConflict)
	p.post("/payments/gone/resolve", `{"reason":"by hand"}`).is(http.StatusConflict)
	p.post("/payments/gone/cancel", `{"reason":"a mistake"}`).is(http.StatusOK)
	stuck := p.ends("gone")
	require.Equal(t, saga.StateStuck, stuck.State)
	require.Contains(t, stuck.Error, "the other bank answers 503")
	p.post("/payments/gone/cancel", `{"reason":"again"}`).is(http.StatusConflict)
	p.post("/payments/gone/retry", `{}`).is(http.StatusOK)
	require.Equal(t, saga.StateStuck, p.ends("gone").State)
	resolved := p.post("/payments/gone/resolve", `{"reason":"they paid, and we wrote it off"}`).is(http.StatusOK)
	require.Contains(t, resolved.body, `"state":"resolved"`)
	require.Contains(t, p.ends("gone").History[len(p.ends("gone").History)-1].Type, "saga.resolved")

	p.post("/payments/silent/cancel", `{"reason":"a mistake"}`).is(http.StatusOK)
	require.Equal(t, saga.StateCompensated, p.ends("silent").State)
	p.post("/payments/silent/cancel", `{"reason":"again"}`).is(http.StatusConflict)
	p.post("/payments/silent/cancel", `{"reason":"a\nb"}`).rule(RuleInvalidText)
	p.post("/payments/none/cancel", `{"reason":""}`).is(http.StatusNotFound)
}

func TestAnOrderIsAcceptedOnce(t *testing.T) {
	p := newPaying(t, quick())
	p.open("anna", "1")
	first := p.order("p1", "YZ")
	require.Equal(t, saga.StateCompleted, p.ends("p1").State)
	require.Contains(t, p.order("p1", "YZ").body, `"state":"completed"`)
	require.NotEqual(t, first.body, p.get("/payments/p1").body)
	var reused problem
	p.post("/payments", `{"id":"p1","from":"anna","bank":"YZ","to":"17","amount":"2","text":"rent"}`).is(http.StatusUnprocessableEntity).into(&reused)
	require.Equal(t, tagPrefix+"payment-id-reused", reused.Type)
	require.Equal(t, "1.00", p.other.Paid().String())

	for _, bad := range []string{
		`{"id":"a.b","from":"anna","bank":"YZ","to":"17","amount":"1"}`, `{"from":"anna","bank":"YZ","to":"17","amount":"1"}`,
		`{"id":"p2","from":"","bank":"YZ","to":"17","amount":"1"}`, `{"id":"p2","from":"anna","bank":"","to":"17","amount":"1"}`,
		`{"id":"p2","from":"anna","bank":"YZ","to":"1/7","amount":"1"}`, `{"id":"p2","from":"anna","bank":"YZ","to":"17","amount":1}`,
		`{"id":"p2","from":"anna","bank":"YZ","to":"17","amount":"1","reference":"x"}`,
	} {
		p.post("/payments", bad).is(http.StatusBadRequest)
	}
	good := `{"id":"p2","from":"anna","bank":"YZ","to":"17","amount":"1"}`
	p.post("/payments", good, "If-Match", `"2"`).is(http.StatusBadRequest)
	p.post("/payments", good, "Origin", "http://example.com").is(http.StatusForbidden)
	p.post("/payments", `{"id":"p2","from":"nobody","bank":"YZ","to":"17","amount":"1"}`).rule(RuleNotOpen)
	p.post("/payments", `{"id":"p2","from":"anna","bank":"YZ","to":"17","amount":"0"}`).rule(RuleNotPositive)
	p.post("/payments", `{"id":"p2","from":"anna","bank":"YZ","to":"17","amount":"1","text":"`+strings.Repeat("x", 141)+`"}`).rule(RuleInvalidText)
	p.get("/payments/p2").is(http.StatusNotFound)
	p.get("/payments/a.b").is(http.StatusNotFound)
}

// An account whose payment failed has closed its key, which is an event without a booking. Still the views show all
// that was booked.
func TestAnAccountCanBeBookedOnAfterAPaymentThatItCouldNotPay(t *testing.T) {
	p := newPaying(t, quick())
	p.open("anna", "100")
	p.post("/payments", `{"id":"p1","from":"anna","bank":"YZ","to":"17","amount":"1000"}`).is(http.StatusAccepted)
	payment := p.ends("p1")
	require.Equal(t, saga.StateCompensated, payment.State)
	require.Contains(t, payment.Error, "1000.00 is more than that allows")
	require.NoError(t, p.server.bank.views.WaitFor(t.Context(), payment.Position))
	tag := p.get("/accounts/anna").is(http.StatusOK).header.Get("ETag")
	require.Equal(t, `"3"`, tag)
	p.post("/accounts/anna/deposits", `{"amount":"1"}`, "If-Match", tag).is(http.StatusOK)
	var statement struct{ Entries []Entry }
	p.get("/accounts/anna/statement").is(http.StatusOK).into(&statement)
	require.Len(t, statement.Entries, 3)
	_, output := auditOf(t, p.server.bank, syntheticLedger)
	require.Contains(t, output, "payments: 0 paid, 1 given back, 0 resolved, 0 open\n")
	require.Contains(t, output, "view balances: 1 documents equal the log\n")
}

func TestPaymentsAreListedByState(t *testing.T) {
	p := newPaying(t, quick())
	p.open("anna", "100")
	for _, id := range []string{"p1", "p2", "p3"} {
		p.order(id, "YZ")
		p.ends(id)
	}
	p.order("no", "refuse")
	no := p.ends("no")
	p.order("open", "silent")
	require.Eventually(t, func() bool {
		return strings.Contains(p.get("/payments/open").body, `"state":"waiting"`)
	}, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, p.server.bank.payments.View().WaitFor(t.Context(), no.Position))

	list := func(path string) (ids []string, next string) {
		var page struct {
			Payments []struct {
				ID, From string
				State    saga.State
				Steps    []saga.StepStatus
			}
			Counts map[saga.State]int
			Next   string
		}
		p.get(path).is(http.StatusOK).into(&page)
		require.Equal(t, map[saga.State]int{saga.StateCompleted: 3, saga.StateCompensated: 1, saga.StateWaiting: 1}, page.Counts)
		for _, payment := range page.Payments {
			require.Equal(t, "anna", payment.From)
			require.Len(t, payment.Steps, 4)
			ids = append(ids, payment.ID)
		}
		return ids, page.Next
	}
	require.Eventually(t, func() bool { // the view is behind by some milliseconds
		return strings.Contains(p.get("/payments?state=waiting").body, `"id":"open"`)
	}, 10*time.Second, 5*time.Millisecond)
	ids, next := list("/payments")
	require.Equal(t, []string{"open", "no", "p3", "p2", "p1"}, ids)
	require.Empty(t, next)
	ids, _ = list("/payments?state=waiting,running")
	require.Equal(t, []string{"open"}, ids)
	var paged []string
	for next = "/payments?state=done&limit=3"; next != ""; {
		ids, next = list(next)
		paged = append(paged, ids...)
	}
	require.Equal(t, []string{"no", "p3", "p2", "p1"}, paged)
	for _, bad := range []string{"?state=ended", "?limit=0", "?before=x", "?before=0"} {
		p.get("/payments" + bad).is(http.StatusBadRequest)
	}
}

func TestThePaymentsAnswerComesInOverHTTP(t *testing.T) {
	p := newPaying(t, quick())
	p.open("anna", "100")
	for _, id := range []string{"p1", "p2", "p3"} {
		p.order(id, "silent")
	}
	first := p.post("/payments/p1/answer", `{"answer":"accepted","reference":"YZ/1"}`).is(http.StatusOK)
	require.Contains(t, first.body, `{"payment":"p1","answer":"accepted","position":`)
	again := p.post("/payments/p1/answer", `{"answer":"accepted","reference":"YZ/2"}`).is(http.StatusOK)
	require.Equal(t, first.body, again.body)
	p.post("/payments/p1/answer", `{"answer":"refused","reason":"too late"}`).rule(RuleAlreadyAnswered)
	p.post("/payments/p2/answer", `{"answer":"refused","reason":"unknown account"}`).is(http.StatusOK)
	p.post("/payments/p2/answer", `{"answer":"accepted"}`).rule(RuleAlreadyAnswered)
	p.post("/payments/p3/answer", `{"answer":"refused","reason":"`+strings.Repeat("x", 141)+`"}`).rule(RuleInvalidText)
	require.Equal(t, saga.StateCompleted, p.ends("p1").State)
	require.Equal(t, "YZ/1", p.ends("p1").Reference)
	require.Contains(t, p.ends("p2").Error, "unknown account")

	for _, bad := range []string{`{}`, `{"answer":"yes"}`, `{"answer":"accepted","amount":"1"}`, `[]`, ``} {
		p.post("/payments/p3/answer", bad).is(http.StatusBadRequest)
	}
	p.post("/payments/p.3/answer", `{"answer":"accepted"}`).is(http.StatusNotFound)
	p.post("/payments/p4/answer", `{"answer":"accepted"}`).is(http.StatusNotFound)
	p.post("/payments/p3/answer", `{"answer":"accepted"}`, "Content-Type", "text/plain").is(http.StatusUnsupportedMediaType)
	p.post("/payments/p3/answer", `{"answer":"accepted"}`, "Origin", "http://example.com").is(http.StatusForbidden)
	p.get("/payments/p3/answer").is(http.StatusMethodNotAllowed)
	for _, id := range []string{"p3", "p4"} {
		answer, err := p.server.bank.answers.Load(t.Context(), id)
		require.NoError(t, err)
		require.Zero(t, answer.Version)
	}
}

func TestWithoutOtherBanksAPaymentIsStuckAtItsCancel(t *testing.T) {
	c := newClient(t, "secret", nil)
	token := []string{"Authorization", "Bearer secret"}
	c.post("/payments/p1/answer", `{"answer":"accepted"}`).is(http.StatusUnauthorized)
	c.post("/payments", `{}`).is(http.StatusUnauthorized)
	c.get("/payments").is(http.StatusUnauthorized)
	c.post("/accounts", `{"id":"anna","owner":"Anna","overdraft":"10"}`, token...).is(http.StatusCreated)
	c.post("/payments", `{"id":"p1","from":"anna","bank":"YZ","to":"17","amount":"1"}`, token...).is(http.StatusAccepted)
	payment, err := c.server.bank.payments.Wait(t.Context(), "p1")
	require.NoError(t, err)
	// Nothing can be cancelled there either, which only a person can say does no harm.
	require.Equal(t, saga.StateStuck, payment.State)
	require.Contains(t, payment.Error, "BANK_OTHER_BANKS")
}

func TestAClientsKeyIsNoneOfTheBanks(t *testing.T) {
	p := newPaying(t, quick())
	p.post("/accounts", `{"id":"anna","owner":"Anna"}`).is(http.StatusCreated)
	p.post("/accounts/anna/deposits", `{"amount":"100"}`).is(http.StatusOK)
	keys := []string{"payment/p1/reserve/do", "payment/p1/confirm/do", "runnel.saga/payment/p1/confirm/do", "orders/open", strings.Repeat("x", maxKey)}
	for _, key := range keys {
		p.post("/accounts/anna/deposits", `{"amount":"1"}`, "Idempotency-Key", key).is(http.StatusOK)
		p.post("/accounts/anna/deposits", `{"amount":"1"}`, "Idempotency-Key", key).is(http.StatusOK) // the same again
	}
	p.order("p1", "prompt")
	require.Equal(t, saga.StateCompleted, p.ends("p1").State)
	balance := p.get("/accounts/anna").is(http.StatusOK)
	require.Contains(t, balance.body, `"balance":"104.00"`)
	_, err := p.server.bank.accounts.Do(t.Context(), "anna", Deposit{Amount: 1, Text: "for its standing orders", Date: day}, aggregate.Key("orders/open"))
	require.NoError(t, err, "the bank's own key is still free")
}
