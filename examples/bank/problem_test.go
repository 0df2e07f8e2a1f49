package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

func TestEveryErrorHasItsStatus(t *testing.T) {
	stream := eventstore.StreamID{Category: category, ID: "anna"}
	refused := func(reason error) error { return &eventstore.AppendError{Stream: stream, Reason: reason} }
	for _, c := range []struct {
		err    error
		status int
		says   string
	}{
		{&eventstore.AppendError{Stream: stream, Reason: eventstore.ErrUnknownOutcome, Err: context.DeadlineExceeded}, 503, "same Idempotency-Key, which is safe"},
		{&eventstore.ConflictError{Stream: stream}, 409, "nothing was booked"},
		{refused(eventstore.ErrFull), 507, "nothing was booked"},
		{refused(eventstore.ErrUnavailable), 503, "nothing was booked"},
		{context.DeadlineExceeded, 503, "does not answer"},
		{fmt.Errorf("list: %w", kv.ErrUnavailable), 503, "does not answer"},
		{fmt.Errorf("list: %w", projection.ErrStale), 503, "ask again"},
		{fmt.Errorf("list: %w", projection.ErrVersionChanged), 503, "ask again"},
		{kv.ErrNotFound, 404, "no such account"},
		{refused(eventstore.ErrNoPermission), 500, "its log says why"},
		{errors.New("secret"), 500, "its log says why"},
		{&aggregate.RejectedError{Stream: stream, Err: reject(RuleNotOpen, "closed")}, 422, "closed"},
		{&aggregate.KeyError{Stream: stream, Key: "k", Version: 3, Err: aggregate.ErrKeyReused}, 422, "version 3 of account anna"},
	} {
		p := problemOf(fmt.Errorf("bank: %w", c.err))
		require.Equal(t, c.status, p.Status, "%v", c.err)
		require.Contains(t, p.Detail, c.says)
		require.NotContains(t, p.Detail, "secret")
	}
}

// A redirect says nothing of a payment, and the page behind it answers 200.
func TestARedirectIsNoAnswerOfAnotherBank(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		var asked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1); !strings.HasPrefix(r.URL.Path, "/login") {
				http.Redirect(w, r, "/login"+r.URL.Path, status)
			}
		}))
		defer server.Close()
		other := newOthers(server.URL)
		defer other.close()
		require.Error(t, other.pay(t.Context(), "1", "k", Payment{}))
		require.Error(t, other.cancel(t.Context(), "k"))
		require.Equal(t, int64(2), asked.Load(), "status %d", status)
	}
}
