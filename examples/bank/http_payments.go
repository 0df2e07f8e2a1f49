package main

import (
	"net/http"

	"github.com/runnel-go/runnel/eventstore"
)

// answerPayment answers POST /payments/{id}/answer, by which other banks say what became of a payment. The first answer counts,
// and may be sent again.
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
	result, err := s.bank.answers.Do(ctx, id, GiveAnswer{
		Accepted: body.Answer == accepted, Reference: body.Reference, Reason: body.Reason,
	})
	if err != nil {
		return err
	}
	writeJSON(w, "application/json", http.StatusOK, struct {
		Payment  string              `json:"payment"`
		Answer   string              `json:"answer"`
		Position eventstore.Position `json:"position"` // of the log, where the answer stands
	}{id, answerWord(result.State.Accepted), result.Position})
	return nil
}

// pathPayment gives the payment in the path. What cannot be an id is not there.
func pathPayment(r *http.Request) (string, error) {
	id := r.PathValue("id")
	if !validID(id) {
		return "", newProblem(http.StatusNotFound, "there is no such payment")
	}
	return id, nil
}
