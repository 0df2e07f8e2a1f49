package main

import (
	"context"
	"io"
	"net/http"
	"slices"
	"time"
)

// look is one answer of /readyz.
type look struct {
	sent, at time.Time
	ready    bool
	came     bool // an answer
	text     string
}

// watch asks a bank all the time whether it is ready.
func (w *world) watch(ctx context.Context, b *instance) {
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		l := ask(ctx, client, b)
		w.mu.Lock()
		w.looks[b.name] = append(w.looks[b.name], l)
		w.mu.Unlock()
		pause(ctx, 100*time.Millisecond)
	}
}

func ask(ctx context.Context, client *http.Client, b *instance) look {
	l := look{sent: time.Now()}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url()+"/readyz", nil)
	if err != nil {
		return l
	}
	answer, err := client.Do(request)
	l.at = time.Now()
	if err != nil {
		l.text = err.Error()
		return l
	}
	defer func() { _ = answer.Body.Close() }()
	text, _ := io.ReadAll(answer.Body) // only for people
	l.came, l.ready, l.text = true, answer.StatusCode == http.StatusOK, string(text)
	return l
}

// readyBound is how long /readyz may be wrong, and readySlack what a look and a write may take on a busy machine.
// A bank may say yes up to readyEarly before the first write goes through, and no up to readySlack before the last one.
const (
	readyBound = 2 * time.Second
	readyEarly = time.Second
	readySlack = 300 * time.Millisecond
)

// checkReady compares the looks of a bank with the writes that went through it, between two moments.
//
//	wrong yes: no write was acknowledged from readyBound before the look until readyEarly after it
//	wrong no:  all answers have been no for readyBound, and in each part of that time, and for readySlack after it,
//	           writes were acknowledged
func (w *world) checkReady(b *instance, from, to time.Time) {
	var acks []time.Time
	for _, a := range w.load.acks {
		if a.bank == b.name {
			acks = append(acks, a.at)
		}
	}
	slices.SortFunc(acks, time.Time.Compare)
	began := b.firstStart
	var lastYes time.Time
	for _, l := range w.looks[b.name] {
		if l.ready {
			lastYes = l.at
		}
		if l.sent.Before(from.Add(readyBound)) || l.at.Add(readyEarly).After(to) || l.sent.Before(began.Add(readyBound)) || !l.came {
			continue
		}
		since := l.sent.Add(-readyBound - readySlack)
		got := between(acks, since, l.at.Add(readyEarly))
		switch {
		case l.ready && got == 0:
			w.report.wrongf("ready", "%s says ready %s after the fault began, and no write went through for %s",
				b.name, l.at.Sub(w.began).Round(time.Millisecond), readyBound)
		case !l.ready && lastYes.Before(l.sent.Add(-readyBound)) && steady(acks, since, l.at.Add(readySlack)):
			w.report.wrongf("ready", "%s says not ready %s after the fault began, and writes went through for %s: %s",
				b.name, l.at.Sub(w.began).Round(time.Millisecond), readyBound, l.text)
		}
	}
}

// steady reports whether acknowledgements came in each of ten parts of the time.
func steady(acks []time.Time, from, to time.Time) bool {
	part := to.Sub(from) / 10
	for i := range 10 {
		begin := from.Add(time.Duration(i) * part)
		if between(acks, begin, begin.Add(part)) == 0 {
			return false
		}
	}
	return true
}

// between counts the times in an interval.
func between(sorted []time.Time, from, to time.Time) int {
	first, _ := slices.BinarySearchFunc(sorted, from, time.Time.Compare)
	last, _ := slices.BinarySearchFunc(sorted, to, time.Time.Compare)
	return last - first
}
