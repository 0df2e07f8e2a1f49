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

// What is told to the people who look after fraud.
const (
	fraudAmount = money.Amount(10_000_00) // a withdrawal of so much
	fraudCount  = 5                       // or so many
	fraudDays   = 2                       // whose dates are at most so many days apart
	// fraudLookBack is how many versions of an account are looked at for the many; other events may stand between them.
	fraudLookBack = 50
)

// Alert is what is told about a withdrawal. It is the same whenever it is made for the same event.
type Alert struct {
	Account     string             `json:"account"`
	Version     eventstore.Version `json:"version"`
	Rule        string             `json:"rule"` // "large" or "many"
	Amount      money.Amount       `json:"amount"`
	Date        string             `json:"date"`
	Withdrawals int                `json:"withdrawals"` // within the days, this one included
}

// Fraud tells a webhook of withdrawals that look odd, or only the log where there is none.
type Fraud struct {
	reactor *reactor.Reactor
	store   *eventstore.Store
	webhook string
	client  *http.Client
	breaker *reactor.Breaker
	log     *slog.Logger
}

// openFraud makes the reactor. What was withdrawn before that happened for the first time is not told.
func openFraud(ctx context.Context, store *eventstore.Store, webhook string, cfg *reactor.Config, log *slog.Logger) (*Fraud, error) {
	f := &Fraud{
		store: store, webhook: webhook, log: log,
		client:  &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment}, Timeout: 10 * time.Second},
		breaker: reactor.NewBreaker("fraud webhook", nil),
	}
	reactor, err := reactor.Open(ctx, store, "fraud", cfg, reactor.On(f.withdrawn))
	if err != nil {
		return nil, err
	}
	f.reactor = reactor
	return f, nil
}

// Run tells what is odd until ctx ends.
func (f *Fraud) Run(ctx context.Context) error { return f.reactor.Run(ctx) }

// Close gives back what the reactor holds, and the connections to the webhook.
func (f *Fraud) Close() error {
	f.client.CloseIdleConnections()
	return f.reactor.Close()
}

// withdrawn reacts to one withdrawal. Rows of the old bank's ledger are history.
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

// within counts the account's withdrawals in the days up to one, by their dates. It reads them from the account itself, up
// to that version, so it counts the same when the event is handled again.
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

// post tells the webhook. The event's id is the idempotency key, by which it knows an alert that it was sent before.
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

// checkWebhook refuses what no alert could be sent to.
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
