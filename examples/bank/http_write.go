package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
)

// openAccount answers POST /accounts.
func (s *server) openAccount(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		ID        string       `json:"id"`
		Owner     string       `json:"owner"`
		Overdraft money.Amount `json:"overdraft"`
	}
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	if err := checkID("id", body.ID); err != nil {
		return err
	}
	command := Open{Owner: body.Owner, Overdraft: body.Overdraft, Date: s.today()}
	w.Header().Set("Location", "/accounts/"+body.ID)
	if err := s.book(w, r, body.ID, command, http.StatusCreated); err != nil {
		w.Header().Del("Location")
		return err
	}
	return nil
}

// amountBody is the body of a deposit and of a withdrawal.
type amountBody struct {
	Amount money.Amount `json:"amount"`
	Text   string       `json:"text"`
}

// deposit answers POST /accounts/{id}/deposits.
func (s *server) deposit(w http.ResponseWriter, r *http.Request) error {
	return s.bookAmount(w, r, func(b amountBody) aggregate.Command[Account, Event] {
		return Deposit{Amount: b.Amount, Text: b.Text, Date: s.today()}
	})
}

// withdraw answers POST /accounts/{id}/withdrawals.
func (s *server) withdraw(w http.ResponseWriter, r *http.Request) error {
	return s.bookAmount(w, r, func(b amountBody) aggregate.Command[Account, Event] {
		return Withdraw{Amount: b.Amount, Text: b.Text, Date: s.today()}
	})
}

func (s *server) bookAmount(w http.ResponseWriter, r *http.Request, commandOf func(amountBody) aggregate.Command[Account, Event]) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	var body amountBody
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	return s.book(w, r, id, commandOf(body), http.StatusOK)
}

// book runs a command on one account under the conditions of the request. It answers with the entry of the booking.
func (s *server) book(w http.ResponseWriter, r *http.Request, id string, command aggregate.Command[Account, Event], status int) error {
	conditions, err := readConditions(r.Header)
	if err != nil {
		return err
	}
	ctx, cancel := writeContext(r)
	defer cancel()
	result, err := s.bank.accounts.Do(ctx, id, command, conditions.options()...)
	if err != nil {
		return conditions.failed(err)
	}
	setBooked(w.Header(), result)
	writeJSON(w, "application/json", status, bookedEntry(id, result))
	return nil
}

// transfer answers POST /transfers. Both accounts keep the idempotency key. If-Match and ETag are about the account
// that pays, because its limit decides.
func (s *server) transfer(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		From   string       `json:"from"`
		To     string       `json:"to"`
		Amount money.Amount `json:"amount"`
		Text   string       `json:"text"`
	}
	if err := readBody(w, r, &body); err != nil {
		return err
	}
	conditions, err := readConditions(r.Header)
	if err != nil {
		return err
	}
	if err := checkParties(body.From, body.To); err != nil {
		return err
	}
	today := s.today()
	from := s.bank.accounts.On(body.From, TransferOut{To: body.To, Amount: body.Amount, Text: body.Text, Date: today}, conditions.options()...)
	to := s.bank.accounts.On(body.To, TransferIn{From: body.From, Amount: body.Amount, Text: body.Text, Date: today}, conditions.keyOnly()...)
	ctx, cancel := writeContext(r)
	defer cancel()
	if err := aggregate.Transact(ctx, s.bank.store, nil, from, to); err != nil {
		return conditions.failed(err)
	}
	setBooked(w.Header(), from.Result())
	setPosition(w.Header(), max(from.Result().Position, to.Result().Position))
	writeJSON(w, "application/json", http.StatusOK, map[string]Entry{
		"from": bookedEntry(body.From, from.Result()),
		"to":   bookedEntry(body.To, to.Result()),
	})
	return nil
}

func checkParties(from, to string) error {
	if err := checkID("from", from); err != nil {
		return err
	}
	if err := checkID("to", to); err != nil {
		return err
	}
	if from == to {
		return reject(RuleSameAccount, "a transfer goes from one account to another")
	}
	return nil
}

// writeContext returns a context that outlives the client, so that a write is finished if the client has gone.
func writeContext(r *http.Request) (context.Context, context.CancelFunc) {
	ctx := eventstore.WithMetadata(context.WithoutCancel(r.Context()), eventstore.Metadata{Actor: "http"})
	return context.WithTimeout(ctx, writeTime)
}

// setBooked sets the headers of a booking.
func setBooked(h http.Header, result aggregate.Result[Account, Event]) {
	h.Set("ETag", etag(result.Version))
	setPosition(h, result.Position)
	if result.Repeated {
		h.Set("Idempotency-Replayed", "true")
	}
}

// bookedEntry returns the statement's line for a command. Each command of this interface decides one event.
func bookedEntry(id string, result aggregate.Result[Account, Event]) Entry {
	return entryOf(result.Events[0], id, result.Version)
}

func etag(version eventstore.Version) string { return fmt.Sprintf("%q", fmt.Sprint(uint64(version))) }
