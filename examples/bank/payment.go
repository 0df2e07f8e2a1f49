package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/examples/bank/money"
	"github.com/runnel-go/runnel/saga"
)

// paymentCategory is the category of the streams with the histories of payments.
const paymentCategory = "payment"

// Payment is an order to pay an account at another bank. It is the data of a saga, whose id is the order's id.
type Payment struct {
	From      string       `json:"from"` // the account that pays
	Bank      string       `json:"bank"` // the other bank
	To        string       `json:"to"`   // the account there
	Amount    money.Amount `json:"amount"`
	Text      string       `json:"text,omitempty"`
	Reference string       `json:"reference,omitempty"` // the other bank's name for the payment, once it has paid
}

// payee returns the other bank and the account there as one text, as events and statements show it.
func (p Payment) payee() string { return p.Bank + "/" + p.To }

// Terms say how payments are carried out. A nil *Terms and the zero Terms mean the defaults.
type Terms struct {
	// Within is how long another bank may take to answer. After that the payment is cancelled there, and the money
	// comes back. Defaults to a minute.
	Within time.Duration
	// Retry says how often a bank that fails is asked. Defaults to the defaults of saga.Retry.
	Retry saga.Retry
	// Sagas are the settings of the payments' runner. Defaults to the defaults of package saga.
	Sagas *saga.Config
}

// withDefaults returns a copy in which Within is set.
func (t *Terms) withDefaults() (Terms, error) {
	var full Terms
	if t != nil {
		full = *t
	}
	if full.Within < 0 {
		return full, fmt.Errorf("bank: Terms.Within is %v: set a positive value, or 0 for a minute", full.Within)
	}
	full.Within = cmp.Or(full.Within, time.Minute)
	return full, nil
}

// openPayments opens the manager of payments.
func (b *Bank) openPayments(ctx context.Context, terms *Terms) (*saga.Manager[Payment], error) {
	full, err := terms.withDefaults()
	if err != nil {
		return nil, err
	}
	payment, err := b.paymentSteps(full)
	if err != nil {
		return nil, err
	}
	return saga.Open(ctx, b.store, payment, full.Sagas)
}

// paymentSteps returns the steps of a payment:
//
//	reserve    the account sets the money aside             undone: it gives the money back
//	send       the other bank is asked to pay               undone: it is told to forget that
//	answer     it answers, or the deadline passes
//	confirm    the account has paid; there is no way back
//
// From reserve to confirm the money is in flight. A payment ends paid or given back, and never both.
func (b *Bank) paymentSteps(terms Terms) (*saga.Definition[Payment], error) {
	return saga.Define(paymentCategory,
		saga.Step("reserve", b.reserve).Undo(b.release),
		saga.Step("send", b.send).Undo(b.recall).Retry(terms.Retry),
		saga.Await("answer", saga.On(acceptedBy), saga.On(refusedBy)).Within(terms.Within),
		saga.Step("confirm", b.confirm).Retriable(),
	)
}

func (b *Bank) reserve(ctx context.Context, call saga.Call, p Payment) (Payment, error) {
	_, err := b.accounts.Do(ctx, p.From, Reserve{Order: call.Saga(), To: p.payee(), Amount: p.Amount, Text: p.Text, Date: b.today()}, call.Once())
	return p, err
}

func (b *Bank) release(ctx context.Context, call saga.Call, p Payment) (Payment, error) {
	_, err := b.accounts.Do(ctx, p.From, Release{Order: call.Saga(), Date: b.today()}, call.Once())
	return p, err
}

func (b *Bank) send(ctx context.Context, call saga.Call, p Payment) (Payment, error) {
	return p, b.others.pay(ctx, call.Saga(), call.Key(), p)
}

func (b *Bank) recall(ctx context.Context, call saga.Call, p Payment) (Payment, error) {
	return p, b.others.cancel(ctx, call.DoKey())
}

func acceptedBy(p Payment, e PaymentAccepted) (Payment, error) {
	p.Reference = e.Reference
	return p, nil
}

func refusedBy(p Payment, e PaymentRefused) (Payment, error) {
	return p, fmt.Errorf("the other bank refused: %s", cmp.Or(e.Reason, "it gave no reason"))
}

func (b *Bank) confirm(ctx context.Context, call saga.Call, p Payment) (Payment, error) {
	_, err := b.accounts.Do(ctx, p.From, Confirm{Order: call.Saga(), Date: b.today()}, call.Once())
	return p, err
}
