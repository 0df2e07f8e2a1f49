package main

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAWriteWaitsForNoViewAndAReadForTheOneItAsksFor(t *testing.T) {
	c := newClient(t, "", nil)
	c.open("anna", "5")
	require.Contains(t, c.get("/accounts/anna").is(http.StatusOK).body, `"balance":"5.00"`)
	balances := c.server.bank.views.Balances
	require.NoError(t, balances.Pause(t.Context()))

	booked := c.post("/accounts/anna/deposits", `{"amount":"1"}`).is(http.StatusOK)
	position := booked.header.Get("Position")
	require.Contains(t, c.get("/accounts/anna", "Position", "").is(http.StatusOK).body, `"balance":"5.00"`, "no position is asked for")

	c.server.readTime = 50 * time.Millisecond
	for _, path := range []string{"/accounts/anna", "/accounts", "/accounts/anna/statement"} {
		late := c.get(path, "Position", position).is(http.StatusServiceUnavailable)
		require.Equal(t, "1", late.header.Get("Retry-After"), path)
		require.Contains(t, late.body, "position "+position, path)
	}
	c.get("/accounts/anna?position="+position, "Position", "").is(http.StatusServiceUnavailable)
	c.get("/turnover/"+day, "Position", position).is(http.StatusOK) // another view, which is not paused

	c.server.readTime = readTime
	require.NoError(t, balances.Resume(t.Context()))
	require.Contains(t, c.get("/accounts/anna", "Position", position).is(http.StatusOK).body, `"balance":"6.00"`)
}

func TestAPositionThatNoWriteAnsweredWithIsRefused(t *testing.T) {
	c := newClient(t, "", nil)
	c.open("anna", "5")
	position, err := strconv.Atoi(c.position)
	require.NoError(t, err)
	for _, wrong := range []string{"x", "-1", "1.5", strconv.Itoa(position + 1)} {
		c.get("/accounts/anna", "Position", wrong).is(http.StatusBadRequest)
		c.get("/payments", "Position", wrong).is(http.StatusBadRequest)
	}
}
