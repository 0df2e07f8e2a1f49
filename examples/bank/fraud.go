package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/examples/bank/money"
	"github.com/runnel-go/runnel/reactor"
)

// The limits from which on a withdrawal is reported.
const (
	fraudAmount = money.Amount(10_000_00) // a withdrawal of at least so much
	fraudCount  = 5                       // or at least so many withdrawals
	fraudDays   = 2                       // within so many days
	// fraudLookBack is how many versions of an account are searched for withdrawals. Other events may stand between
	// them.
	fraudLookBack = 50
)

// Alert is the report about a withdrawal. It is the same each time it is made for the same event.
type Alert struct {
	Account     string             `json:"account"`
	Version     eventstore.Version `json:"version"`
	Rule        string             `json:"rule"` // "large" or "many"
	Amount      money.Amount       `json:"amount"`
	Date        string             `json:"date"`
	Withdrawals int                `json:"withdrawals"` // within the days, this one included
}

// Fraud reports odd withdrawals to a webhook. Without a webhook it only logs them.
type Fraud struct {
	reactor *reactor.Reactor
	store   *eventstore.Store
	webhook string
	client  *http.Client
	breaker *reactor.Breaker
	log     *slog.Logger
}

// openFraud opens the reactor. It does not report withdrawals before its first start. The caller must call Close.
func openFraud(ctx context.Context, store *eventstore.Store, webhook string, cfg *reactor.Config, log *slog.Logger) (*Fraud, error) {
	breaker, err := reactor.NewBreaker("fraud webhook", nil)
	if err != nil {
		return nil, err
	}
	f := &Fraud{
		store: store, webhook: webhook, log: log, breaker: breaker,
		client: &http.Client{
			Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}, Timeout: 10 * time.Second, CheckRedirect: refuseRedirect,
		},
	}
	reactor, err := reactor.Open(ctx, store, "fraud", cfg, reactor.On(f.withdrawn))
	if err != nil {
		return nil, err
	}
	f.reactor = reactor
	return f, nil
}

// Run reports odd withdrawals until ctx ends.
func (f *Fraud) Run(ctx context.Context) error { return f.reactor.Run(ctx) }

// Close closes the reactor and the connections to the webhook.
func (f *Fraud) Close() error {
	f.client.CloseIdleConnections()
	return f.reactor.Close()
}

// withdrawn reacts to one withdrawal. It ignores rows of the old bank's ledger.
func (f *Fraud) withdrawn(ctx context.Context, e Withdrawn, r eventstore.Recorded) error {
	if e.Row != 0 {
		return nil
	}
	count, err := f.within(ctx, e, r)
	if err != nil {
		return err
	}
	alert := Alert{Account: r.Stream.ID, Version: r.Version(), Amount: e.Amount, Date: e.Date, Withdrawals: count}
	switch {
	case e.Amount >= fraudAmount:
		alert.Rule = "large"
	case count >= fraudCount:
		alert.Rule = "many"
	default:
		return nil
	}
	f.log.Warn("odd withdrawal", slog.String("account", alert.Account), slog.String("rule", alert.Rule), slog.String("event", r.EventID()))
	if f.webhook == "" {
		return nil
	}
	return f.breaker.Do(ctx, func(ctx context.Context) error { return f.post(ctx, alert, r.EventID()) })
}

// within counts the account's withdrawals of the last days up to this one, by their dates. It reads the account's
// stream up to this version. So it counts the same if the event is handled again.
func (f *Fraud) within(ctx context.Context, e Withdrawn, r eventstore.Recorded) (int, error) {
	last, err := time.Parse(time.DateOnly, e.Date)
	if err != nil {
		return 0, reactor.Permanent(fmt.Errorf("bank: date of a withdrawal: %w", err))
	}
	first := last.AddDate(0, 0, -fraudDays).Format(time.DateOnly)
	from := eventstore.Version(1)
	if r.Version() > fraudLookBack {
		from = r.Version() - fraudLookBack
	}
	count := 0
	for other, err := range f.store.Stream(ctx, r.Stream, eventstore.From(from)) {
		if err != nil {
			return 0, err
		}
		if other.Version() > r.Version() {
			break
		}
		if other.Type() != e.EventType() {
			continue
		}
		decoded, err := other.Decode()
		if err != nil {
			return 0, err
		}
		for _, event := range decoded {
			if w, ok := event.(Withdrawn); ok && first <= w.Date && w.Date <= e.Date {
				count++
			}
		}
	}
	return count, nil
}

// post sends an alert to the webhook. The event's id is the idempotency key, by which the receiver recognizes a
// repeat.
func (f *Fraud) post(ctx context.Context, alert Alert, eventID string) error {
	body, err := json.Marshal(alert)
	if err != nil {
		return reactor.Permanent(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.webhook, bytes.NewReader(body))
	if err != nil {
		return reactor.Permanent(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", eventID)
	return deliver(f.client, request, "the fraud webhook")
}

// checkWebhook returns an error if no alert can be sent to the URL.
func checkWebhook(webhook string) error {
	if webhook == "" {
		return nil
	}
	u, err := url.Parse(webhook)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("BANK_FRAUD_WEBHOOK %q: use a URL such as https://example.com/fraud", webhook)
	}
	return nil
}
