package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThePaymentsAnswerComesInOverHTTP(t *testing.T) {
	c := newClient(t, "", nil)
	first := c.post("/payments/p1/answer", `{"answer":"accepted","reference":"YZ/1"}`).is(http.StatusOK)
	require.Contains(t, first.body, `{"payment":"p1","answer":"accepted","position":`)
	again := c.post("/payments/p1/answer", `{"answer":"accepted","reference":"YZ/2"}`).is(http.StatusOK)
	require.Equal(t, first.body, again.body)
	c.post("/payments/p1/answer", `{"answer":"refused","reason":"too late"}`).rule(RuleAlreadyAnswered)
	c.post("/payments/p2/answer", `{"answer":"refused","reason":"unknown account"}`).is(http.StatusOK)
	c.post("/payments/p2/answer", `{"answer":"accepted"}`).rule(RuleAlreadyAnswered)
	c.post("/payments/p3/answer", `{"answer":"refused","reason":"`+strings.Repeat("x", 141)+`"}`).rule(RuleInvalidText)

	for _, bad := range []string{`{}`, `{"answer":"yes"}`, `{"answer":"accepted","amount":"1"}`, `[]`, ``} {
		c.post("/payments/p3/answer", bad).is(http.StatusBadRequest)
	}
	c.post("/payments/p.3/answer", `{"answer":"accepted"}`).is(http.StatusNotFound)
	c.post("/payments/p3/answer", `{"answer":"accepted"}`, "Content-Type", "text/plain").is(http.StatusUnsupportedMediaType)
	c.post("/payments/p3/answer", `{"answer":"accepted"}`, "Origin", "http://example.com").is(http.StatusForbidden)
	c.get("/payments/p3/answer").is(http.StatusMethodNotAllowed)
	answer, err := c.server.bank.answers.Load(t.Context(), "p3")
	require.NoError(t, err)
	require.Zero(t, answer.Version)

	c = newClient(t, "secret", nil)
	c.post("/payments/p1/answer", `{"answer":"accepted"}`).is(http.StatusUnauthorized)
	c.post("/payments/p1/answer", `{"answer":"accepted"}`, "Authorization", "Bearer secret").is(http.StatusOK)
}
