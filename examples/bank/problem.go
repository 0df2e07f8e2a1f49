package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
	"github.com/runnel-go/runnel/saga"
)

// problem is an error answer as RFC 9457 writes it. Handlers return it as their error.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Rule   Rule   `json:"rule,omitempty"` // if a command was rejected

	cause  error             // for the log, never for the client
	header map[string]string // to answer with
}

func (p *problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

func (p *problem) Unwrap() error { return p.cause }

// newProblem returns a problem that needs no type beside its status.
func newProblem(status int, format string, args ...any) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// because adds the cause for the log.
func (p *problem) because(err error) *problem {
	p.cause = err
	return p
}

// retryLater adds after which time the client may try again.
func (p *problem) retryLater() *problem {
	p.header = map[string]string{"Retry-After": "1"}
	return p
}

// tagPrefix begins the types of the bank's own problems. They are names and not addresses (RFC 4151).
const tagPrefix = "tag:github.com,2026:runnel-go/runnel/examples/bank/"

// problemOf returns the answer for an error. The more specific cases come first, because the error of a transaction
// may match several.
func problemOf(err error) *problem {
	var (
		known     *problem
		rejection *RejectionError
		reused    *aggregate.KeyError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &rejection):
		return &problem{
			Type: tagPrefix + string(rejection.Rule), Title: "Rejected", Status: http.StatusUnprocessableEntity,
			Detail: rejection.Detail, Rule: rejection.Rule,
		}
	case errors.As(err, &reused):
		return &problem{
			Type: tagPrefix + "idempotency-key-reused", Title: "Idempotency key reused", Status: http.StatusUnprocessableEntity,
			Detail: fmt.Sprintf("the key belongs to another request, which led to version %d of account %s: use a new key for a new request",
				reused.Version, reused.Stream.ID),
		}
	case errors.Is(err, saga.ErrOtherData):
		return &problem{
			Type: tagPrefix + "payment-id-reused", Title: "Payment id reused", Status: http.StatusUnprocessableEntity,
			Detail: "the id belongs to another payment: use a new id for a new payment",
		}
	case errors.Is(err, saga.ErrState):
		return newProblem(http.StatusConflict, "%s", strings.TrimPrefix(err.Error(), "saga: "))
	case errors.Is(err, saga.ErrNotFound):
		return newProblem(http.StatusNotFound, "there is no such payment")
	case errors.Is(err, eventstore.ErrUnknownOutcome):
		p := newProblem(http.StatusServiceUnavailable, "it is unknown whether this was booked: send it again with the same "+
			"Idempotency-Key, which is safe, or look at the statement")
		p.Type, p.Title = tagPrefix+"outcome-unknown", "Outcome unknown"
		return p.because(err).retryLater()
	case errors.Is(err, eventstore.ErrConflict):
		return newProblem(http.StatusConflict, "other requests changed the account, nothing was booked: send it again").because(err).retryLater()
	case errors.Is(err, eventstore.ErrFull):
		return newProblem(http.StatusInsufficientStorage, "the store is full, nothing was booked").because(err)
	case errors.Is(err, eventstore.ErrUnavailable), errors.Is(err, kv.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return newProblem(http.StatusServiceUnavailable, "the store does not answer, nothing was booked: send it again").because(err).retryLater()
	case errors.Is(err, projection.ErrNotReady):
		return newProblem(http.StatusServiceUnavailable, "the view is still being built: ask again").because(err).retryLater()
	case errors.Is(err, projection.ErrStale), errors.Is(err, projection.ErrVersionChanged):
		return newProblem(http.StatusServiceUnavailable, "the view cannot be read at the moment: ask again").because(err).retryLater()
	case errors.Is(err, kv.ErrNotFound):
		return newProblem(http.StatusNotFound, "there is no such account")
	}
	return newProblem(http.StatusInternalServerError, "the bank has failed: its log says why").because(err)
}

// writeProblem answers with the problem for an error.
func writeProblem(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	p := problemOf(err)
	if p.Status >= http.StatusInternalServerError {
		log.ErrorContext(r.Context(), "request failed", slog.String("method", r.Method), slog.String("path", r.URL.Path),
			slog.Int("status", p.Status), slog.Any("error", p.cause))
	}
	for name, value := range p.header {
		w.Header().Set(name, value)
	}
	writeJSON(w, "application/problem+json", p.Status, p)
}

// writeJSON answers with a document. It ignores errors of writing, because the client has gone then.
func writeJSON(w http.ResponseWriter, contentType string, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil {
		// Only a document that is not a plain value fails here, and there is none today.
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
