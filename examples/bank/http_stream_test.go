package main

import (
	"bufio"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lines returns the lines of a stream that carry data.
func lines(t *testing.T, response *http.Response) func() string {
	scanner := bufio.NewScanner(response.Body)
	return func() string {
		t.Helper()
		for scanner.Scan() {
			if line := scanner.Text(); line != "" && line != ":" {
				return line
			}
		}
		require.NoError(t, scanner.Err())
		return ""
	}
}

func TestBalancesMoveByThemselves(t *testing.T) {
	c := newClient(t, "", nil)
	c.open("anna", "5")
	response, err := http.Get(c.url + "/events?position=" + c.position)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	next := lines(t, response)

	require.Equal(t, "event: account", next())
	require.Equal(t, `data: {"id":"anna","owner":"ANNA","balance":"5.00","overdraft":"10.00","since":"2026-01-31","version":2}`, next())
	require.Equal(t, "event: synced", next())
	require.Equal(t, "data: {}", next())
	c.post("/accounts/anna/deposits", `{"amount":"1"}`).is(http.StatusOK)
	require.Equal(t, "event: account", next())
	require.Contains(t, next(), `"balance":"6.00"`)
}

func TestPaymentsMoveByThemselves(t *testing.T) {
	p := newPaying(t, quick())
	p.open("anna", "5")
	p.order("paid", "YZ")
	p.ends("paid")
	p.order("open", "silent")
	require.Eventually(t, func() bool {
		return strings.Contains(p.get("/payments?state=waiting").body, `"id":"open"`)
	}, 10*time.Second, 5*time.Millisecond)
	response, err := http.Get(p.url + "/events")
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	next := lines(t, response)
	var first []string
	for line := next(); line != "event: synced"; line = next() {
		first = append(first, line)
	}
	require.Len(t, first, 4, "the account, and the payment that is open")
	require.Contains(t, strings.Join(first, "\n"), `event: payment
data: {"id":"open","state":"waiting","steps":[{"name":"reserve","kind":"do","state":"finished"`)
	require.Equal(t, "data: {}", next())
	p.post("/payments/open/answer", `{"answer":"accepted"}`).is(http.StatusOK)
	for line := next(); !strings.Contains(line, `data: {"id":"open","state":"completed"`); line = next() {
		require.NotEmpty(t, line, "the stream goes on")
	}
}

func TestNoMoreThanSoManyFollow(t *testing.T) {
	c := newClient(t, "", nil)
	for range maxStreams {
		c.server.streams <- struct{}{}
	}
	require.Equal(t, "1", c.get("/events").is(http.StatusServiceUnavailable).header.Get("Retry-After"))
}

func TestAShutdownEndsStreams(t *testing.T) {
	rt := newRuntime(t)
	bank := newBank(t, rt, nil)
	runViews(t, rt, bank)
	runPayments(t, rt, bank)
	front, err := listen(t.Context(), "127.0.0.1:0", bank.log)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- front.serve(ctx, newServer(bank, rt, "")) }()

	response, err := http.Get("http://" + front.listener.Addr().String() + "/events")
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	next := lines(t, response)
	require.Equal(t, "event: synced", next())
	stop()
	require.NoError(t, <-ended)
	for line := next(); line != ""; line = next() {
		require.False(t, strings.HasPrefix(line, "event: account"))
	}
}
