package otherbank

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/runnel-go/runnel/examples/bank/money"
)

// Config says how the other banks behave. A nil *Config and the zero Config mean the defaults.
type Config struct {
	// Answers is the URL of the bank that answers are sent to, without the path. Defaults to "": nothing is answered.
	Answers string
	// Token is the bearer token of answers. Defaults to "": no token is sent.
	Token string
	// Behave returns how a payment is treated. It must return the same for the same payment. Defaults to Prompt for
	// all payments.
	Behave func(Payment) Behaviour
	// Delay is the longest time until an answer. Most answers come earlier, at random. Defaults to 50 milliseconds.
	Delay time.Duration
	// Slow is how long [Slow] waits before it takes a payment, and again before it answers. Defaults to a second.
	Slow time.Duration
	// Seed and the payment's id decide how long the delays are. Defaults to 0.
	Seed uint64
	// Logger receives the answers that nobody takes. Defaults to a logger that discards everything.
	Logger *slog.Logger
}

// withDefaults returns a copy in which every field except Answers, Token and Seed is set.
func (c *Config) withDefaults() (Config, error) {
	var full Config
	if c != nil {
		full = *c
	}
	if full.Behave == nil {
		full.Behave = func(Payment) Behaviour { return Prompt }
	}
	full.Delay = cmp.Or(full.Delay, 50*time.Millisecond)
	full.Slow = cmp.Or(full.Slow, time.Second)
	if full.Logger == nil {
		full.Logger = slog.New(slog.DiscardHandler)
	}
	if full.Delay < 0 || full.Slow < 0 {
		return full, fmt.Errorf("otherbank: Delay is %v and Slow is %v: set positive values, or 0 for the defaults", full.Delay, full.Slow)
	}
	return full, nil
}

// Payment is what a bank asks for.
type Payment struct {
	ID      string       `json:"id"`      // the id of the asking bank, to which the answer goes
	Bank    string       `json:"bank"`    // the bank that pays
	Account string       `json:"account"` // the account that gets the money
	Amount  money.Amount `json:"amount"`
	Text    string       `json:"text,omitempty"`
}

// State is what happened to a payment.
type State string

// The states of a payment.
const (
	Taken     State = "taken"     // but not paid
	Paid      State = "paid"      // to the account
	Cancelled State = "cancelled" // before it was paid
	Reversed  State = "reversed"  // after it was paid
)

// Entry is one payment in the books.
type Entry struct {
	Key       string    `json:"key"`
	Payment   Payment   `json:"payment"` // the zero value if only its cancel came
	Behaviour Behaviour `json:"behaviour,omitempty"`
	State     State     `json:"state"`
	Posts     int       `json:"posts"`   // how often it was posted
	Deletes   int       `json:"deletes"` // how often it was cancelled
	Answers   int       `json:"answers"` // how often an answer was taken or refused
}

// Bank is all the other banks. It serves HTTP.
type Bank struct {
	cfg    Config
	client *http.Client
	mux    *http.ServeMux
	wake   chan struct{} // wakes Run if there is an answer to send

	mu      sync.Mutex // guards what follows
	books   map[string]*Entry
	order   []string // the keys, in the order in which they came
	waiting []answer // to be sent
}

// New returns banks with empty books, or an error for a negative time. The caller must call Run for answers.
func New(cfg *Config) (*Bank, error) {
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	b := &Bank{
		cfg: full, client: &http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second},
		mux: http.NewServeMux(), wake: make(chan struct{}, 1), books: make(map[string]*Entry),
	}
	b.mux.HandleFunc("POST /payments", b.post)
	b.mux.HandleFunc("DELETE /payments/{key}", b.cancel)
	b.mux.HandleFunc("GET /payments/{key}", b.show)
	return b, nil
}

// ServeHTTP answers the requests that the package documentation lists.
func (b *Bank) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.mux.ServeHTTP(w, r) }

// Books returns all payments, in the order in which they came.
func (b *Bank) Books() []Entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	entries := make([]Entry, len(b.order))
	for i, key := range b.order {
		entries[i] = *b.books[key]
	}
	return entries
}

// Paid returns the sum that was paid to accounts and not taken back.
func (b *Bank) Paid() (sum money.Amount) {
	for _, entry := range b.Books() {
		if entry.State == Paid {
			sum += entry.Payment.Amount
		}
	}
	return sum
}

// The errors of taking and cancelling.
var (
	errCancelled = errors.New("the payment was cancelled")
	errOther     = errors.New("the key belongs to another payment")
	errRejected  = errors.New("there is no such account")
	errDown      = errors.New("out of order: try again")
)

// entry returns the entry of a key. It makes one if there is none.
func (b *Bank) entry(key string) *Entry {
	entry := b.books[key]
	if entry == nil {
		entry = &Entry{Key: key, State: Taken}
		b.books[key] = entry
		b.order = append(b.order, key)
	}
	return entry
}

// take takes a payment under a key, once. It returns the entry of the payment.
func (b *Bank) take(key string, p Payment) (Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	entry := b.entry(key)
	entry.Posts++
	switch {
	case entry.State == Cancelled || entry.State == Reversed:
		return *entry, errCancelled
	case entry.Behaviour != "" && entry.Payment != p:
		return *entry, errOther
	}
	known := entry.Behaviour != ""
	entry.Payment, entry.Behaviour = p, b.cfg.Behave(p)
	if entry.Behaviour == Flaky {
		known = entry.Posts > 2
	}
	switch {
	case entry.Behaviour == Down || entry.Behaviour == Flaky && entry.Posts == 1:
		return *entry, errDown
	case entry.Behaviour == Reject:
		return *entry, errRejected
	case known:
		return *entry, nil
	}
	if entry.Behaviour.pays() {
		entry.State = Paid
	}
	b.answerLocked(entry)
	if entry.Behaviour == Flaky {
		return *entry, errDown
	}
	return *entry, nil
}

// forget cancels the payment under a key. It may come before the payment.
func (b *Bank) forget(key string) (Entry, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	entry := b.entry(key)
	entry.Deletes++
	first := entry.State == Taken || entry.State == Paid
	switch {
	case entry.Behaviour == Gone, entry.Behaviour == Flaky && entry.Deletes == 1:
		return *entry, errDown
	case entry.State == Taken:
		entry.State = Cancelled
	case entry.State == Paid:
		entry.State = Reversed
	}
	if entry.Behaviour == Late && first {
		b.sendLocked(entry, true, time.Now())
	}
	if entry.Behaviour == Flaky && entry.Deletes == 2 {
		return *entry, errDown
	}
	return *entry, nil
}

// answerLocked schedules the answers to a payment as its behaviour says.
func (b *Bank) answerLocked(entry *Entry) {
	at := time.Now().Add(time.Duration(share(b.cfg.Seed, entry.Key) * float64(b.cfg.Delay)))
	switch entry.Behaviour {
	case Slow:
		b.sendLocked(entry, true, time.Now().Add(b.cfg.Slow))
	case Twice:
		b.sendLocked(entry, true, at)
		b.sendLocked(entry, true, at)
	case Prompt, Flaky:
		b.sendLocked(entry, true, at)
	case Refuse:
		b.sendLocked(entry, false, at)
	case Down, Reject, Silent, Lost, Late, Gone:
	}
}

// Run sends answers until ctx ends, and waits for the ones under way. It returns nil.
func (b *Bank) Run(ctx context.Context) error {
	defer b.client.CloseIdleConnections()
	var sending sync.WaitGroup
	defer sending.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		case <-timer.C:
		}
		due, next := b.due(time.Now())
		for _, one := range due {
			sending.Go(func() { b.send(ctx, one) })
		}
		timer.Reset(next)
	}
}

func (e Entry) reference() string {
	return fmt.Sprintf("%s/%s/%s", e.Payment.Bank, e.Payment.Account, e.Payment.ID)
}
