package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
)

// client speaks to a bank over HTTP. It reads its own writes, as the page does: its reads name its newest write.
type client struct {
	t        *testing.T
	url      string
	server   *server
	position string
}

func newClient(t *testing.T, token string, cfg *eventstore.Config) *client {
	t.Helper()
	rt := newRuntime(t)
	bank := newBank(t, rt, cfg)
	bank.today = func() string { return day }
	runViews(t, rt, bank)
	runPayments(t, rt, bank)
	s := newServer(bank, rt, token)
	served := httptest.NewServer(s.handler())
	t.Cleanup(served.Close)
	return &client{t: t, url: served.URL, server: s}
}

// answer is what came back.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// do sends a request; headers come in pairs.
func (c *client) do(method, path, body string, headers ...string) answer {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	require.NoError(c.t, err)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	if method == http.MethodGet && c.position != "" {
		r.Header.Set("Position", c.position)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(c.t, err)
	defer func() { require.NoError(c.t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(c.t, err)
	if position := response.Header.Get("Position"); method == http.MethodPost && position != "" {
		c.position = position
	}
	return answer{t: c.t, status: response.StatusCode, header: response.Header, body: string(text)}
}

func (c *client) get(path string, headers ...string) answer {
	c.t.Helper()
	return c.do(http.MethodGet, path, "", headers...)
}

func (c *client) post(path, body string, headers ...string) answer {
	c.t.Helper()
	return c.do(http.MethodPost, path, body, headers...)
}

// open opens an account with some money on it. The account is at version 2 then.
func (c *client) open(id, amount string) {
	c.t.Helper()
	c.post("/accounts", `{"id":"`+id+`","owner":"`+strings.ToUpper(id)+`","overdraft":"10"}`).is(http.StatusCreated)
	c.post("/accounts/"+id+"/deposits", `{"amount":"`+amount+`"}`).is(http.StatusOK)
}

func (a answer) is(status int) answer {
	a.t.Helper()
	require.Equal(a.t, status, a.status, a.body)
	if status >= 400 {
		require.Equal(a.t, "application/problem+json", a.header.Get("Content-Type"))
		var p problem
		a.into(&p)
		require.Equal(a.t, status, p.Status)
		require.NotEmpty(a.t, p.Title)
		require.NotEmpty(a.t, p.Type)
		require.NotEmpty(a.t, p.Detail)
	}
	return a
}

func (a answer) into(document any) {
	a.t.Helper()
	require.NoError(a.t, json.Unmarshal([]byte(a.body), document), a.body)
}

func (a answer) rule(rule Rule) {
	a.t.Helper()
	var p problem
	a.is(http.StatusUnprocessableEntity).into(&p)
	require.Equal(a.t, rule, p.Rule)
	require.Equal(a.t, tagPrefix+string(rule), p.Type)
}

func TestAClientBooksAndReadsItsOwnWrites(t *testing.T) {
	c := newClient(t, "", nil)
	opened := c.post("/accounts", `{"id":"anna","owner":"Anna","overdraft":"100.00"}`).is(http.StatusCreated)
	require.Equal(t, "/accounts/anna", opened.header.Get("Location"))
	require.Equal(t, `"1"`, opened.header.Get("ETag"))
	c.post("/accounts", `{"id":"ben","owner":"Ben"}`).is(http.StatusCreated)

	deposited := c.post("/accounts/anna/deposits", `{"amount":"12.5","text":"pocket money"}`).is(http.StatusOK)
	require.Equal(t, `"2"`, deposited.header.Get("ETag"))
	require.JSONEq(t, `{"account":"anna","version":2,"kind":"deposited","amount":"12.50","balance":"12.50","date":"2026-01-31","text":"pocket money"}`, deposited.body)
	c.post("/accounts/anna/withdrawals", `{"amount":"2.50"}`).is(http.StatusOK)
	moved := c.post("/transfers", `{"from":"anna","to":"ben","amount":"50","text":"rent"}`).is(http.StatusOK)
	require.Equal(t, `"4"`, moved.header.Get("ETag"))
	require.JSONEq(t, `{
		"from":{"account":"anna","version":4,"kind":"transferred-out","amount":"50.00","balance":"-40.00","date":"2026-01-31","text":"rent","other":"ben"},
		"to":{"account":"ben","version":2,"kind":"transferred-in","amount":"50.00","balance":"50.00","date":"2026-01-31","text":"rent","other":"anna"}
	}`, moved.body)

	anna := c.get("/accounts/anna").is(http.StatusOK)
	require.Equal(t, `"4"`, anna.header.Get("ETag"))
	require.JSONEq(t, `{"id":"anna","owner":"Anna","balance":"-40.00","overdraft":"100.00","since":"2026-01-31","version":4}`, anna.body)
	var statement struct{ Entries []Entry }
	c.get("/accounts/ben/statement").is(http.StatusOK).into(&statement)
	require.Equal(t, []Entry{
		{Account: "ben", Version: 2, Kind: "transferred-in", Amount: 5000, Balance: 5000, Date: day, Text: "rent", Other: "anna"},
		{Account: "ben", Version: 1, Kind: "opened", Date: day, Text: "Ben"},
	}, statement.Entries)
}

func TestRejectionsNameTheirRule(t *testing.T) {
	c := newClient(t, "", nil)
	c.open("anna", "5")
	c.post("/accounts", `{"id":"anna","owner":"Eve"}`).rule(RuleAlreadyOpen)
	c.post("/accounts", `{"id":"eve","owner":""}`).rule(RuleInvalidOwner)
	c.post("/accounts", `{"id":"eve","owner":"Eve","overdraft":"-1"}`).rule(RuleNegativeOverdraft)
	c.post("/accounts/nobody/deposits", `{"amount":"1"}`).rule(RuleNotOpen)
	c.post("/accounts/anna/deposits", `{"amount":"0"}`).rule(RuleNotPositive)
	c.post("/accounts/anna/deposits", `{"amount":"-1"}`).rule(RuleNotPositive)
	c.post("/accounts/anna/deposits", `{}`).rule(RuleNotPositive)
	c.post("/accounts/anna/deposits", `{"amount":"92233720368547758.07"}`).rule(RuleOutOfRange)
	c.post("/accounts/anna/withdrawals", `{"amount":"15.01"}`).rule(RuleInsufficientFunds)
	c.post("/accounts/anna/withdrawals", `{"amount":"1","text":"`+strings.Repeat("x", 141)+`"}`).rule(RuleInvalidText)
	c.post("/transfers", `{"from":"anna","to":"anna","amount":"1"}`).rule(RuleSameAccount)
	c.post("/transfers", `{"from":"anna","to":"nobody","amount":"1"}`).rule(RuleNotOpen)
	c.post("/transfers", `{"from":"nobody","to":"anna","amount":"1"}`).rule(RuleNotOpen)
	require.Equal(t, `"2"`, c.get("/accounts/anna").is(http.StatusOK).header.Get("ETag"), "nothing was booked")
}

func TestRequestsThatCannotBeReadAreRefused(t *testing.T) {
	c := newClient(t, "", nil)
	c.open("anna", "5")
	deposits := "/accounts/anna/deposits"
	for name, a := range map[string]struct {
		answer answer
		status int
	}{
		"unknown field":         {c.post(deposits, `{"amount":"1","extra":1}`), 400},
		"number for an amount":  {c.post(deposits, `{"amount":1}`), 400},
		"three decimals":        {c.post(deposits, `{"amount":"1.005"}`), 400},
		"exponent":              {c.post(deposits, `{"amount":"1e2"}`), 400},
		"too large an amount":   {c.post(deposits, `{"amount":"99999999999999999999"}`), 400},
		"empty body":            {c.post(deposits, ``), 400},
		"half a document":       {c.post(deposits, `{"amount":"1"`), 400},
		"two documents":         {c.post(deposits, `{"amount":"1"}{"amount":"1"}`), 400},
		"an array":              {c.post(deposits, `[]`), 400},
		"not JSON":              {c.post(deposits, `amount=1`), 400},
		"id in the body":        {c.post("/accounts", `{"id":"a.b","owner":"x"}`), 400},
		"id too long":           {c.post("/accounts", `{"id":"`+strings.Repeat("x", 65)+`","owner":"x"}`), 400},
		"party":                 {c.post("/transfers", `{"from":"anna","to":"*","amount":"1"}`), 400},
		"no party":              {c.post("/transfers", `{"from":"anna","amount":"1"}`), 400},
		"If-Match without tag":  {c.post(deposits, `{"amount":"1"}`, "If-Match", "2"), 400},
		"If-Match of two tags":  {c.post(deposits, `{"amount":"1"}`, "If-Match", `"2", "3"`), 400},
		"empty If-Match":        {c.post(deposits, `{"amount":"1"}`, "If-Match", ""), 400},
		"empty key":             {c.post(deposits, `{"amount":"1"}`, "Idempotency-Key", ""), 400},
		"key too long":          {c.post(deposits, `{"amount":"1"}`, "Idempotency-Key", strings.Repeat("x", 257)), 400},
		"key with a blank":      {c.post(deposits, `{"amount":"1"}`, "Idempotency-Key", "a b"), 400},
		"limit":                 {c.get("/accounts?limit=0"), 400},
		"limit too high":        {c.get("/accounts/anna/statement?limit=201"), 400},
		"after":                 {c.get("/accounts/anna/statement?after=x"), 400},
		"unknown path":          {c.get("/nothing"), 404},
		"path below an account": {c.get("/accounts/anna/nothing"), 404},
		"unknown account":       {c.get("/accounts/nobody"), 404},
		"unknown statement":     {c.get("/accounts/nobody/statement"), 404},
		"impossible account":    {c.get("/accounts/a.b"), 404},
		"impossible to book on": {c.post("/accounts/a%2Fb/deposits", `{"amount":"1"}`), 404},
		"GET a deposit":         {c.get(deposits), 405},
		"DELETE an account":     {c.do(http.MethodDelete, "/accounts/anna", ""), 405},
		"POST to the page":      {c.post("/", ``), 405},
		"body too large":        {c.post(deposits, `{"amount":"1","text":"`+strings.Repeat("x", maxBody)+`"}`), 413},
		"blanks too large":      {c.post(deposits, `{"amount":"1"}`+strings.Repeat(" ", maxBody)), 413},
		"form":                  {c.post(deposits, `{"amount":"1"}`, "Content-Type", "application/x-www-form-urlencoded"), 415},
		"plain text":            {c.post(deposits, `{"amount":"1"}`, "Content-Type", "text/plain"), 415},
		"no type":               {c.post(deposits, `{"amount":"1"}`, "Content-Type", ""), 415},
		"another name":          {c.get("/accounts", "Host", "bank.example.com"), 421},
		"a page elsewhere":      {c.post(deposits, `{"amount":"1"}`, "Sec-Fetch-Site", "cross-site"), 403},
		"another origin":        {c.post(deposits, `{"amount":"1"}`, "Origin", "http://example.com"), 403},
	} {
		t.Run(name, func(t *testing.T) {
			a.answer.t = t
			a.answer.is(a.status)
		})
	}
	require.Equal(t, "GET, HEAD, POST", c.do(http.MethodPut, "/accounts", "").is(405).header.Get("Allow"))
	require.Equal(t, `"2"`, c.get("/accounts/anna").is(200).header.Get("ETag"), "nothing was booked")
}

func TestIfMatchBooksAtThatVersionOnly(t *testing.T) {
	c := newClient(t, "", nil)
	c.open("anna", "5")
	c.open("ben", "5")
	deposits := "/accounts/anna/deposits"
	for _, stale := range []string{`"1"`, `"3"`, `"02"`, `W/"2"`, `"another"`} {
		c.post(deposits, `{"amount":"1"}`, "If-Match", stale).is(http.StatusPreconditionFailed)
	}
	c.post(deposits, `{"amount":"1"}`, "If-Match", `"2"`).is(http.StatusOK)
	c.post(deposits, `{"amount":"1"}`, "If-Match", `*`).is(http.StatusOK)

	// Of a transfer, it is the paying account's version that counts.
	c.post("/transfers", `{"from":"anna","to":"ben","amount":"1"}`, "If-Match", `"2"`).is(http.StatusPreconditionFailed)
	moved := c.post("/transfers", `{"from":"anna","to":"ben","amount":"1"}`, "If-Match", `"4"`).is(http.StatusOK)
	require.Equal(t, `"5"`, moved.header.Get("ETag"))
}

func TestAKeyIsBookedOnce(t *testing.T) {
	c := newClient(t, "", nil)
	c.open("anna", "5")
	c.open("ben", "5")
	deposits := "/accounts/anna/deposits"

	first := c.post(deposits, `{"amount":"1.50"}`, "Idempotency-Key", "k1", "If-Match", `"2"`).is(http.StatusOK)
	require.Empty(t, first.header.Get("Idempotency-Replayed"))
	c.post(deposits, `{"amount":"2"}`).is(http.StatusOK)
	c.server.today = func() string { return "2026-02-01" } // a repeat may come on another day
	again := c.post(deposits, `{"amount":"1.50"}`, "Idempotency-Key", "k1", "If-Match", `"2"`).is(http.StatusOK)
	require.Equal(t, first.body, again.body)
	require.Equal(t, `"3"`, again.header.Get("ETag"))
	require.Equal(t, "true", again.header.Get("Idempotency-Replayed"))

	var p problem
	for _, other := range []answer{
		c.post(deposits, `{"amount":"1.51"}`, "Idempotency-Key", "k1"),
		c.post("/accounts/anna/withdrawals", `{"amount":"1.50"}`, "Idempotency-Key", "k1"),
		c.post("/transfers", `{"from":"anna","to":"ben","amount":"1.50"}`, "Idempotency-Key", "k1"),
		c.post("/transfers", `{"from":"ben","to":"anna","amount":"1.50"}`, "Idempotency-Key", "k1"),
	} {
		other.is(http.StatusUnprocessableEntity).into(&p)
		require.Equal(t, tagPrefix+"idempotency-key-reused", p.Type)
	}

	transfer := `{"from":"anna","to":"ben","amount":"3"}`
	moved := c.post("/transfers", transfer, "Idempotency-Key", "k2").is(http.StatusOK)
	c.post("/accounts/ben/deposits", `{"amount":"9"}`).is(http.StatusOK)
	repeated := c.post("/transfers", transfer, "Idempotency-Key", "k2").is(http.StatusOK)
	require.Equal(t, moved.body, repeated.body)
	c.post("/transfers", `{"from":"anna","to":"ben","amount":"4"}`, "Idempotency-Key", "k2").is(http.StatusUnprocessableEntity)

	opening := `{"id":"carl","owner":"Carl"}`
	c.post("/accounts", opening, "Idempotency-Key", "k3").is(http.StatusCreated)
	c.post("/accounts", opening, "Idempotency-Key", "k3").is(http.StatusCreated)
	c.post("/accounts", opening).rule(RuleAlreadyOpen)

	require.Contains(t, c.get("/accounts/anna").body, `"balance":"5.50"`) // 5 + 1.50 + 2 - 3
	require.Contains(t, c.get("/accounts/ben").body, `"balance":"17.00"`)
}

func TestListsComeInPages(t *testing.T) {
	c := newClient(t, "", nil)
	for _, id := range []string{"e", "b", "d", "a", "c"} {
		c.open(id, "1")
	}
	var ids []string
	for next := "/accounts?limit=2"; next != ""; {
		var page struct {
			Accounts []Balance
			Next     string
		}
		a := c.get(next).is(http.StatusOK)
		a.into(&page)
		for _, account := range page.Accounts {
			ids = append(ids, account.ID)
		}
		if page.Next != "" {
			require.Equal(t, "<"+page.Next+`>; rel="next"`, a.header.Get("Link"))
		}
		next = page.Next
	}
	require.Equal(t, []string{"a", "b", "c", "d", "e"}, ids)

	for range 3 {
		c.post("/accounts/a/deposits", `{"amount":"1"}`).is(http.StatusOK)
	}
	var versions []eventstore.Version
	for next := "/accounts/a/statement?limit=2"; next != ""; {
		var page struct {
			Entries []Entry
			Next    string
		}
		c.get(next).is(http.StatusOK).into(&page)
		for _, entry := range page.Entries {
			versions = append(versions, entry.Version)
		}
		next = page.Next
	}
	require.Equal(t, []eventstore.Version{5, 4, 3, 2, 1}, versions)
	require.Contains(t, c.get("/accounts/a/statement?after=1").is(http.StatusOK).body, `"entries":[]`)
}

func TestATokenIsWantedForAllButThePageAndTheProbes(t *testing.T) {
	c := newClient(t, "secret", nil)
	for _, path := range []string{"/", "/app.js", "/bank.js", "/payments.js", "/style.css", "/icon.svg", "/healthz", "/readyz"} {
		c.get(path, "Host", "bank.example.com").is(http.StatusOK)
	}
	for _, sent := range []string{"", "secret", "Basic secret", "Bearer", "Bearer Secret", "Bearer secret2"} {
		a := c.get("/accounts", "Authorization", sent).is(http.StatusUnauthorized)
		require.Contains(t, a.header.Get("WWW-Authenticate"), "Bearer")
	}
	c.get("/events").is(http.StatusUnauthorized)
	c.post("/accounts", `{"id":"anna","owner":"Anna"}`).is(http.StatusUnauthorized)
	c.get("/accounts", "Authorization", "Bearer secret").is(http.StatusOK)
}

func TestThePageMayLoadNothingFromElsewhere(t *testing.T) {
	c := newClient(t, "", nil)
	for _, path := range []string{"/", "/app.js", "/bank.js", "/payments.js", "/style.css", "/icon.svg"} {
		a := c.get(path).is(http.StatusOK)
		require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'")
		require.NotContains(t, a.header.Get("Content-Security-Policy"), "unsafe")
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		text := strings.ReplaceAll(a.body, "http://www.w3.org/2000/svg", "") // a name, not an address
		require.NotRegexp(t, `https?://|innerHTML|outerHTML|insertAdjacent|document\.write|<script>|<style|style=|\son\w+=`, text)
	}
}

func TestTheProbesSayWhatABookingSurvives(t *testing.T) {
	c := newClient(t, "", nil)
	c.get("/healthz").is(http.StatusOK)
	ready := c.get("/readyz").is(http.StatusOK)
	require.Contains(t, ready.body, `"ready":true`)
	require.Contains(t, ready.body, "Power cut:")
}

func TestAFullStoreIsSaidSo(t *testing.T) {
	c := newClient(t, "", &eventstore.Config{MaxBytes: 2000})
	c.post("/accounts", `{"id":"anna","owner":"Anna"}`).is(http.StatusCreated)
	for range 100 {
		if a := c.post("/accounts/anna/deposits", `{"amount":"1"}`); a.status != http.StatusOK {
			a.is(http.StatusInsufficientStorage)
			return
		}
	}
	t.Fatal("the store was never full")
}
