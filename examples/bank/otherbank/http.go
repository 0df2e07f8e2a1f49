package otherbank

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// maxBody is how many bytes a payment may have.
const maxBody = 64 << 10

// post answers POST /payments.
func (b *Bank) post(w http.ResponseWriter, r *http.Request) {
	var p Payment
	key := r.Header.Get("Idempotency-Key")
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	if err := decoder.Decode(&p); err != nil || key == "" || p.ID == "" || p.Amount <= 0 {
		reply(w, http.StatusBadRequest, map[string]string{"error": "send a payment with id and amount, and an Idempotency-Key"})
		return
	}
	if b.cfg.Behave(p) == Slow {
		slow := time.NewTimer(b.cfg.Slow)
		defer slow.Stop()
		select {
		case <-slow.C:
		case <-r.Context().Done(): // the payment is taken anyway
		}
	}
	entry, err := b.take(key, p)
	replyWith(w, http.StatusAccepted, entry, err)
}

// cancel answers DELETE /payments/{key}.
func (b *Bank) cancel(w http.ResponseWriter, r *http.Request) {
	entry, err := b.forget(r.PathValue("key"))
	replyWith(w, http.StatusOK, entry, err)
}

// show answers GET /payments/{key}.
func (b *Bank) show(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	entry := b.books[r.PathValue("key")]
	var found Entry
	if entry != nil {
		found = *entry
	}
	b.mu.Unlock()
	if entry == nil {
		reply(w, http.StatusNotFound, map[string]string{"error": "there is no such payment"})
		return
	}
	reply(w, http.StatusOK, found)
}

// replyWith answers with the entry of a payment, or with an error.
func replyWith(w http.ResponseWriter, status int, entry Entry, err error) {
	switch {
	case err == nil:
		reply(w, status, entry)
		return
	case errors.Is(err, errDown):
		status = http.StatusServiceUnavailable
	case errors.Is(err, errCancelled):
		status = http.StatusConflict
	default:
		status = http.StatusUnprocessableEntity
	}
	reply(w, status, map[string]string{"error": err.Error()})
}

// reply answers with a document. It ignores errors of writing, because the client has gone then.
func reply(w http.ResponseWriter, status int, document any) {
	body, err := json.Marshal(document)
	if err != nil { // impossible for plain values
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
