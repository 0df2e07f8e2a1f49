package main

import (
	"context"
	"net/http"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/saga"
)

// orderPayment answers POST /payments. The client chooses the id. The same order again under the same id changes
// nothing. The answer comes before anything is paid.
func (s *server) orderPayment(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		ID string `json:"id"`
		Payment
	}
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	if r.Header.Get("If-Match") != "" {
		return newProblem(http.StatusBadRequest, "If-Match: a payment is decided on later, when the account may be at another version")
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	if err := s.checkPayment(ctx, body.ID, body.Payment); err != nil {
		return err
	}
	if _, err := s.bank.payments.Start(ctx, body.ID, body.Payment); err != nil {
		return err
	}
	document, err := s.payment(ctx, body.ID)
	if err != nil {
		return doneUnread(err)
	}
	w.Header().Set("Location", "/payments/"+body.ID)
	writePayment(w, http.StatusAccepted, document)
	return nil
}

// checkPayment returns an error for a payment that could only fail later.
func (s *server) checkPayment(ctx context.Context, id string, p Payment) error {
	for _, field := range []struct{ name, id string }{{"id", id}, {"from", p.From}, {"bank", p.Bank}, {"to", p.To}} {
		if err := checkID(field.name, field.id); err != nil {
			return err
		}
	}
	if p.Reference != "" {
		return newProblem(http.StatusBadRequest, "reference: the other bank sets it")
	}
	account, err := s.bank.accounts.Load(ctx, p.From)
	if err != nil {
		return err
	}
	return account.State.checkBooking(p.Amount, p.Text)
}

// showPayment answers GET /payments/{id}, with its history.
func (s *server) showPayment(w http.ResponseWriter, r *http.Request) error {
	id, err := pathPayment(r)
	if err != nil {
		return err
	}
	document, err := s.payment(r.Context(), id)
	if err != nil {
		return err
	}
	writePayment(w, http.StatusOK, document)
	return nil
}

func (s *server) retryPayment(w http.ResponseWriter, r *http.Request) error {
	return s.operate(w, r, func(ctx context.Context, id, _ string) error { return s.bank.payments.Retry(ctx, id) })
}

func (s *server) resolvePayment(w http.ResponseWriter, r *http.Request) error {
	return s.operate(w, r, s.bank.payments.Resolve)
}

func (s *server) cancelPayment(w http.ResponseWriter, r *http.Request) error {
	return s.operate(w, r, s.bank.payments.Cancel)
}

// operate answers POST /payments/{id}/retry, .../resolve and .../cancel, by which people intervene.
func (s *server) operate(w http.ResponseWriter, r *http.Request, do func(ctx context.Context, id, reason string) error) error {
	id, err := pathPayment(r)
	if err != nil {
		return err
	}
	var body struct {
		Reason string `json:"reason"`
	}
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	if !plain(body.Reason, maxText) {
		return reject(RuleInvalidText, "the reason must have at most %d characters, none of them a control character", maxText)
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	if err := do(ctx, id, body.Reason); err != nil {
		return err
	}
	document, err := s.payment(ctx, id)
	if err != nil {
		return doneUnread(err)
	}
	writePayment(w, http.StatusOK, document)
	return nil
}

// doneUnread is the problem with a payment that cannot be read after what was asked for is done.
func doneUnread(err error) error {
	return newProblem(http.StatusServiceUnavailable, "it is done, but the payment cannot be read at the moment: ask for it later").
		because(err).retryLater()
}

// answerPayment answers POST /payments/{id}/answer, by which another bank says how a payment ended. The first answer
// counts, and may be repeated. An answer after the deadline is kept and changes nothing.
func (s *server) answerPayment(w http.ResponseWriter, r *http.Request) error {
	id, err := pathPayment(r)
	if err != nil {
		return err
	}
	var body struct {
		Answer    string `json:"answer"`
		Reference string `json:"reference"`
		Reason    string `json:"reason"`
	}
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	if body.Answer != accepted && body.Answer != refused {
		return newProblem(http.StatusBadRequest, "answer: must be %q or %q", accepted, refused)
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	payment := eventstore.StreamID{Category: paymentCategory, ID: id}
	head, err := s.bank.store.Head(ctx, payment)
	switch {
	case err != nil:
		return err
	case head.Version == 0:
		return newProblem(http.StatusNotFound, "there is no such payment")
	}
	result, err := s.bank.answers.Do(ctx, id, GiveAnswer{
		Accepted: body.Answer == accepted, Reference: body.Reference, Reason: body.Reason,
	})
	if err != nil {
		return err
	}
	setPosition(w.Header(), result.Position)
	writeJSON(w, "application/json", http.StatusOK, struct {
		Payment  string              `json:"payment"`
		Answer   string              `json:"answer"`
		Position eventstore.Position `json:"position"` // of the answer in the log
	}{id, answerWord(result.State.Accepted), result.Position})
	return nil
}

// pathPayment returns the id of the payment in the path. It returns 404 for a text that cannot be an id.
func pathPayment(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !validID(id) {
		return "", newProblem(http.StatusNotFound, "there is no such payment")
	}
	return id, nil
}

// paymentDocument is a payment as the interface shows it.
type paymentDocument struct {
	saga.Status
	Payment
	History []historyLine `json:"history,omitempty"`
}

// historyLine is one event of a payment's history.
type historyLine struct {
	Version eventstore.Version `json:"version"`
	Time    time.Time          `json:"time"`
	Actor   string             `json:"actor,omitempty"`
	Type    string             `json:"type"`
	Step    string             `json:"step,omitempty"`
	Reason  string             `json:"reason,omitempty"`
}

// payment returns a payment as the log has it.
func (s *server) payment(ctx context.Context, id string) (paymentDocument, error) {
	found, err := s.bank.payments.Get(ctx, id)
	if err != nil {
		return paymentDocument{}, err
	}
	document := paymentDocument{Status: found.Status, Payment: found.Data}
	for _, entry := range found.History {
		document.History = append(document.History, historyLine{
			Version: entry.Version, Time: entry.Time, Actor: entry.Actor, Type: entry.Type, Step: entry.Step, Reason: entry.Reason,
		})
	}
	return document, nil
}

func writePayment(w http.ResponseWriter, status int, document paymentDocument) {
	w.Header().Set("ETag", etag(document.Version))
	setPosition(w.Header(), document.Position)
	writeJSON(w, "application/json", status, document)
}
