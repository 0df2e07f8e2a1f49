package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/natsrun"
)

// late is how much longer than promised an answer may take on a slow machine.
const late = 3 * time.Second

// A write answers in time whatever the server does, and is booked once however often it is sent. The probe says what
// is the matter.
func TestAWriteAnswersInTimeDuringAnOutage(t *testing.T) {
	server := eventstoretest.NewProcess(t, t.TempDir())
	rt, err := natsrun.Open(t.Context(), &natsrun.Config{URL: server.URL(), Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rt.Close(context.Background())) })
	bank := newBank(t, rt, &eventstore.Config{Reads: rt.Reads()})
	runViews(t, rt, bank)
	runPayments(t, rt, bank)
	served := httptest.NewServer(newServer(bank, rt, "").handler())
	t.Cleanup(served.Close)
	c := &client{t: t, url: served.URL}
	c.open("anna", "5")
	c.get("/readyz").is(http.StatusOK)

	deposit := func(key string) answer {
		begun := time.Now()
		a := c.post("/accounts/anna/deposits", `{"amount":"1"}`, "Idempotency-Key", key)
		require.Less(t, time.Since(begun), writeTime+late)
		return a
	}
	for key, outage := range map[string]struct{ begin, end func() }{
		"frozen": {server.Pause, server.Continue},
		"gone":   {server.Kill, server.Restart},
	} {
		outage.begin()
		require.Equal(t, "1", deposit(key).is(http.StatusServiceUnavailable).header.Get("Retry-After"), key)
		begun := time.Now()
		require.Contains(t, c.get("/readyz").body, `"ready":false`, key)
		require.Less(t, time.Since(begun), 2*time.Second+late)
		outage.end()
		require.Eventually(t, func() bool { return deposit(key).status == http.StatusOK }, time.Minute, 10*time.Millisecond, key)
		require.Eventually(t, func() bool { return c.get("/readyz").status == http.StatusOK }, time.Minute, 10*time.Millisecond, key)
	}
	require.Contains(t, c.get("/accounts/anna").is(http.StatusOK).body, `"balance":"7.00"`)
}
