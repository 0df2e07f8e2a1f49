package main

import (
	"github.com/runnel-go/runnel/eventstore"
)

// answerCategory is the category of the streams with the answers of other banks. Each payment has one.
const answerCategory = "answer"

// AnswerEvent is another bank's answer to a payment. The id of its stream is the payment's id. Only PaymentAccepted
// and PaymentRefused implement it.
type AnswerEvent interface {
	eventstore.Event
	answer()
}

// PaymentAccepted says that the other bank has paid.
type PaymentAccepted struct{ Reference string } // the other bank's name for the payment

// PaymentRefused says that the other bank does not pay.
type PaymentRefused struct{ Reason string }

// EventType is the event's name in the log.
func (PaymentAccepted) EventType() string { return "answer.accepted" }

// EventType is the event's name in the log.
func (PaymentRefused) EventType() string { return "answer.refused" }

func (PaymentAccepted) answer() {}
func (PaymentRefused) answer()  {}

// Answer is the state of an answer.
type Answer struct {
	Given    bool
	Accepted bool
}

// Evolve folds an event into the state.
func (a Answer) Evolve(event AnswerEvent) Answer {
	_, accepted := event.(PaymentAccepted)
	return Answer{Given: true, Accepted: accepted}
}

// GiveAnswer is the other bank's answer to a payment.
type GiveAnswer struct {
	Accepted          bool
	Reference, Reason string
}

// Decide takes the first answer. The same answer again changes nothing. It rejects another answer with
// already-answered.
func (c GiveAnswer) Decide(a Answer) ([]AnswerEvent, error) {
	switch {
	case a.Given && a.Accepted == c.Accepted:
		return nil, nil
	case a.Given:
		return nil, reject(RuleAlreadyAnswered, "the payment was answered before, with %s", answerWord(a.Accepted))
	case !plain(c.Reference, maxText) || !plain(c.Reason, maxText):
		return nil, reject(RuleInvalidText, "reference and reason must have at most %d characters, none of them a control character", maxText)
	case c.Accepted:
		return []AnswerEvent{PaymentAccepted{Reference: c.Reference}}, nil
	}
	return []AnswerEvent{PaymentRefused{Reason: c.Reason}}, nil
}

// The answers, as other banks write them.
const (
	accepted = "accepted"
	refused  = "refused"
)

func answerWord(yes bool) string {
	if yes {
		return accepted
	}
	return refused
}
