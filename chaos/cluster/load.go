package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-go/runnel/examples/bank/money"
)

const (
	accounts     = 48                     // that the clients share
	attemptTime  = 3 * time.Second        // for one try of a request
	again        = 20 * time.Millisecond  // between the first two tries
	atMostAgain  = 250 * time.Millisecond // between later ones
	pinnedRest   = 20 * time.Millisecond  // of clients that stay with one bank
	answerWithin = 20 * time.Second       // that the other banks have
)

// outcome is what a client knows of its write.
type outcome int

const (
	unknown outcome = iota
	acknowledged
	rejected
)

// write is one write, which a client sends until it knows its outcome.
type write struct {
	key    string
	path   string
	body   map[string]string
	about  string // the account whose version the answer tells
	copies int    // how many messages of the log have the key; 0 for a payment, whose id is the key
	tries  int

	outcome  outcome
	position uint64
	version  uint64
	problem  string // if it was rejected
}

// ack is an acknowledgement, for the times.
type ack struct {
	bank string
	sent time.Time // the try that was answered
	at   time.Time
}

// load is the clients and what they know.
type load struct {
	world  *world
	http   *http.Client
	rest   time.Duration // of each client between two writes
	next   atomic.Int64  // numbers the writes
	ending chan struct{}
	ended  sync.WaitGroup

	mu     sync.Mutex // guards what follows
	writes []*write
	acks   []ack
	reads  int
}

func newLoad(w *world) *load {
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	return &load{world: w, http: &http.Client{Transport: transport, Timeout: attemptTime}, ending: make(chan struct{})}
}

// open opens the accounts.
func (l *load) open(ctx context.Context) error {
	for i := range accounts {
		id := accountID(i)
		w := &write{
			key: "open-" + id, path: "/accounts", about: id, copies: 1,
			body: map[string]string{"id": id, "owner": "Owner " + id, "overdraft": "1000000.00"},
		}
		if l.settle(ctx, w, nil); w.outcome != acknowledged {
			return fmt.Errorf("account %s is not opened: %s", id, w.problem)
		}
	}
	return nil
}

func accountID(i int) string { return fmt.Sprintf("a%02d", i) }

// start starts clients that use any bank, and one for each bank that uses no other.
func (l *load) start(ctx context.Context, clients int) {
	for range clients {
		l.ended.Go(func() { l.client(ctx, nil) })
	}
	for _, b := range l.world.instances() {
		l.pin(ctx, b)
	}
}

// pin starts a client that uses one bank alone.
func (l *load) pin(ctx context.Context, b *instance) { l.ended.Go(func() { l.client(ctx, b) }) }

// stop lets each client finish its write, for some time, and waits for them.
func (l *load) stop() {
	close(l.ending)
	l.ended.Wait()
	l.http.CloseIdleConnections()
}

// settleTime is how long a client goes on with its write after the load was told to stop.
const settleTime = 30 * time.Second

func (l *load) client(ctx context.Context, only *instance) {
	for {
		select {
		case <-l.ending:
			return
		case <-ctx.Done():
			return
		default:
		}
		w := l.write()
		l.settle(ctx, w, only)
		if w.outcome == acknowledged && rand.IntN(5) == 0 {
			l.read(ctx, w)
		}
		rest := l.rest
		if only != nil {
			rest = max(rest, pinnedRest)
		}
		if rest > 0 {
			pause(ctx, rest)
		}
	}
}

// write returns a new write.
func (l *load) write() *write {
	n := l.next.Add(1)
	key := fmt.Sprintf("w%d", n)
	from, amount := accountID(rand.IntN(accounts)), money.Amount(1+rand.IntN(10_000)).String()
	at := "/accounts/" + from
	switch r := rand.IntN(100); {
	case r < 45:
		return &write{key: key, path: at + "/deposits", about: from, copies: 1, body: map[string]string{"amount": amount, "text": key}}
	case r < 75:
		return &write{key: key, path: at + "/withdrawals", about: from, copies: 1, body: map[string]string{"amount": amount, "text": key}}
	case r < 97:
		to := accountID(rand.IntN(accounts))
		copies := 2
		if to == from {
			copies = 0 // which is rejected
		}
		return &write{
			key: key, path: "/transfers", about: from, copies: copies,
			body: map[string]string{"from": from, "to": to, "amount": amount, "text": key},
		}
	}
	behaviours := []string{"prompt", "prompt", "prompt", "flaky", "twice", "reject", "refuse"}
	return &write{key: key, path: "/payments", body: map[string]string{
		"id": key, "from": from, "bank": behaviours[rand.IntN(len(behaviours))], "to": "1", "amount": amount, "text": key,
	}}
}

// settle sends a write until its outcome is known, to one bank or to one after the other.
func (l *load) settle(ctx context.Context, w *write, only *instance) {
	l.mu.Lock()
	l.writes = append(l.writes, w)
	l.mu.Unlock()
	wait := again
	var giveUp time.Time
	for ctx.Err() == nil {
		b := only
		if b == nil {
			b = l.world.anyInstance()
		}
		w.tries++
		l.attempt(ctx, w, b)
		if w.outcome != unknown {
			return
		}
		select {
		case <-l.ending:
			if giveUp.IsZero() {
				giveUp = time.Now().Add(settleTime)
			}
			if time.Now().After(giveUp) {
				return
			}
			only = nil
		default:
		}
		pause(ctx, wait/2+rand.N(wait))
		wait = min(2*wait, atMostAgain)
	}
}

// attempt sends a write once.
func (l *load) attempt(ctx context.Context, w *write, b *instance) {
	sent := time.Now()
	got, err := l.post(ctx, b, w)
	if err != nil {
		w.problem = err.Error()
		return
	}
	switch {
	case got.status < 300:
		position, err := strconv.ParseUint(got.header.Get("Position"), 10, 64)
		if err != nil {
			l.world.report.wrongf("lost", "%s was acknowledged without a position: %v", w.key, err)
		}
		w.position = position
		w.version, _ = strconv.ParseUint(unquote(got.header.Get("ETag")), 10, 64) // 0 demands nothing of reads
		w.outcome = acknowledged
		l.mu.Lock()
		l.acks = append(l.acks, ack{bank: b.name, sent: sent, at: time.Now()})
		l.mu.Unlock()
	case got.status == http.StatusUnprocessableEntity:
		w.outcome, w.problem = rejected, string(got.text)
	case got.status < 500 && got.status != http.StatusConflict && got.status != http.StatusTooManyRequests:
		w.outcome, w.problem = rejected, string(got.text)
		l.world.report.wrongf("answer", "%s %s: %d %s", w.key, w.path, got.status, got.text)
	case got.status == http.StatusInternalServerError:
		w.problem = string(got.text)
		l.world.report.wrongf("answer", "%s %s from %s: %d %s", w.key, w.path, b.name, got.status, got.text)
	default:
		w.problem = string(got.text)
	}
}

func unquote(tag string) string {
	if text, err := strconv.Unquote(tag); err == nil {
		return text
	}
	return ""
}

func (l *load) post(ctx context.Context, b *instance, w *write) (*answer, error) {
	body, err := json.Marshal(w.body)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url()+w.path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", w.key)
	return l.send(request)
}

// answer is a whole answer of a bank.
type answer struct {
	status int
	header http.Header
	text   []byte
}

// send sends a request and reads the whole answer.
func (l *load) send(request *http.Request) (*answer, error) {
	response, err := l.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	return &answer{response.StatusCode, response.Header, bytes.TrimSpace(text)}, err
}

// read reads the account of a write from any bank, which must show the write.
func (l *load) read(ctx context.Context, w *write) {
	if w.about == "" {
		return
	}
	b := l.world.anyInstance()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url()+"/accounts/"+w.about, nil)
	if err != nil {
		return
	}
	request.Header.Set("Position", strconv.FormatUint(w.position, 10))
	got, err := l.send(request)
	if err != nil || got.status != http.StatusOK {
		return // it may be too early, and says so
	}
	var found struct {
		Version uint64 `json:"version"`
	}
	if err := json.Unmarshal(got.text, &found); err != nil || found.Version < w.version {
		l.world.report.wrongf("stale", "%s reads version %d of account %s at position %d from %s, written was version %d: %v",
			w.key, found.Version, w.about, w.position, b.name, w.version, err)
	}
	l.mu.Lock()
	l.reads++
	l.mu.Unlock()
}
