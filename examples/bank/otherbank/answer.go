package otherbank

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// answer is one answer to be sent.
type answer struct {
	key  string
	id   string // of the payment
	body answerBody
	at   time.Time // not before
	try  int       // how often it was sent in vain
}

// answerBody is the body of an answer.
type answerBody struct {
	Answer    string `json:"answer"` // "accepted" or "refused"
	Reference string `json:"reference,omitempty"`
	Reason    string `json:"reason,omitempty"`
}

// How often an answer that nobody takes is sent, and how long Run waits in between.
const (
	maxTries  = 200
	resend    = 10 * time.Millisecond
	maxResend = time.Second
)

// asleep is how long Run waits if there is nothing to send. A new answer wakes it.
const asleep = time.Hour

// sendLocked schedules an answer.
func (b *Bank) sendLocked(entry *Entry, yes bool, at time.Time) {
	body := answerBody{Answer: "refused", Reason: "the account is closed"}
	if yes {
		body = answerBody{Answer: "accepted", Reference: entry.reference()}
	}
	b.waiting = append(b.waiting, answer{key: entry.Key, id: entry.Payment.ID, body: body, at: at})
	b.nudge()
}

func (b *Bank) nudge() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// due removes and returns the answers whose time has come, and returns how long it is until the next one.
func (b *Bank) due(now time.Time) (due []answer, next time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next = asleep
	b.waiting = slices.DeleteFunc(b.waiting, func(a answer) bool {
		wait := a.at.Sub(now)
		if wait <= 0 {
			due = append(due, a)
			return true
		}
		next = min(next, wait)
		return false
	})
	return due, next
}

// send sends an answer. If no bank was there to take or refuse it, it schedules the answer again.
func (b *Bank) send(ctx context.Context, a answer) {
	if b.cfg.Answers == "" {
		return
	}
	err := b.tell(ctx, a)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.books[a.key].Answers++
		return
	}
	a.try++
	if ctx.Err() != nil || a.try >= maxTries {
		b.cfg.Logger.Warn("otherbank: not answered", slog.String("payment", a.id), slog.Any("error", err))
		return
	}
	a.at = time.Now().Add(min(resend<<min(a.try, 10), maxResend))
	b.waiting = append(b.waiting, a)
	b.nudge()
}

// tell sends an answer once. A refusal counts as taken.
func (b *Bank) tell(ctx context.Context, a answer) error {
	body, err := json.Marshal(a.body)
	if err != nil {
		return err
	}
	to := b.cfg.Answers + "/payments/" + url.PathEscape(a.id) + "/answer"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if b.cfg.Token != "" {
		request.Header.Set("Authorization", "Bearer "+b.cfg.Token)
	}
	response, err := b.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if err != nil {
		return err
	}
	if response.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("otherbank: %s answers %d: %s", to, response.StatusCode, text)
	}
	if response.StatusCode >= http.StatusMultipleChoices {
		b.cfg.Logger.Warn("otherbank: answer refused", slog.String("payment", a.id), slog.Int("status", response.StatusCode))
	}
	return nil
}
