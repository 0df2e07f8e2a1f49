package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// trial is one case: a fault on a number of nodes and banks.
type trial struct {
	fault *fault
	nodes int
	banks int
}

func (t trial) String() string {
	return fmt.Sprintf("%s, %s, %s", t.fault.name, plural(t.nodes, "node"), plural(t.banks, "bank"))
}

// lacks returns what the case needs and does not have, or "".
func (t trial) lacks(p programs) string {
	if t.fault.root && os.Geteuid() != 0 {
		return "root"
	}
	if _, err := os.Stat(p.older); t.fault.older && err != nil {
		return p.older
	}
	return ""
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

const (
	clients  = 12              // beside one for each bank
	warmTime = 2 * time.Second // of load before the fault
	coolTime = 3 * time.Second // of load after all is well again
	holdTime = 6 * time.Second // of a fault that does not say how long
	wellTime = 30 * time.Second
	payTime  = 90 * time.Second // until the payments have ended
	caseTime = 6 * time.Minute
)

// run runs the case in a folder. It returns an error if the rig itself fails.
func (t trial) run(ctx context.Context, dir string, p programs) (_ *report, err error) {
	begin := time.Now()
	running, stop := context.WithTimeoutCause(ctx, caseTime, fmt.Errorf("the case has not ended after %s", caseTime))
	w, err := newWorld(running, stop, dir, p, t)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := t.breakAndMend(running, w); err != nil {
		return nil, err
	}
	w.report.took = time.Since(begin)
	return w.report, nil
}

// breakAndMend makes the fault under load, and checks.
func (t trial) breakAndMend(ctx context.Context, w *world) error {
	if err := w.load.open(ctx); err != nil {
		return err
	}
	w.load.start(ctx, clients)
	pause(ctx, warmTime)
	w.began = time.Now()
	possible, err := t.happen(ctx, w)
	if err != nil {
		return fmt.Errorf("the fault: %w", err)
	}
	mended := time.Now()
	t.awaitWell(ctx, w, mended)
	pause(ctx, coolTime)
	w.load.stop()
	stopped := time.Now()
	w.measure(t.fault, possible, mended, stopped)
	for _, b := range w.instances() {
		w.checkReady(b, w.began.Add(-warmTime), stopped)
	}
	if err := w.writeTimeline(); err != nil {
		return err
	}
	w.awaitPayments(ctx)
	if err := w.check(ctx); err != nil {
		return err
	}
	return context.Cause(ctx)
}

// awaitWell waits until a write has gone through each bank.
func (t trial) awaitWell(ctx context.Context, w *world, mended time.Time) {
	for _, b := range w.instances() {
		err := await(ctx, "a write through "+b.name, wellTime, func() bool { return !w.load.firstAck(b.name, mended).IsZero() })
		if err != nil {
			w.report.wrongf("late", "%v after the end of the fault: %s", err, lastLine(b.log))
		}
	}
}

// measure takes the times of the writes.
func (w *world) measure(f *fault, possible, mended, stopped time.Time) {
	w.report.reads = w.load.reads
	first := w.load.firstAck("", possible)
	w.report.first = first.Sub(possible)
	if first.IsZero() || w.report.first > lateBound {
		w.report.wrongf("late", "the first write came %s after the log had a leader: want %s", w.report.first.Round(time.Millisecond), lateBound)
	}
	w.report.longest = w.load.longestGap(w.began, stopped)
	if f.gap > 0 && w.report.longest > f.gap {
		w.report.wrongf("late", "no write went through for %s: want %s", w.report.longest.Round(time.Millisecond), f.gap)
	}
	for _, b := range w.instances() {
		if b.firstStart.Before(w.began) {
			continue
		}
		served := w.load.firstAck(b.name, mended).Sub(mended)
		w.report.served = max(w.report.served, served)
		if served > startBound || served < 0 {
			w.report.wrongf("late", "%s, which was started during the fault, took its first write %s after its end: want %s",
				b.name, served.Round(time.Millisecond), startBound)
		}
	}
}

// startBound is when a bank that was started during a fault must serve after its end.
const startBound = 5 * time.Second

// firstAck returns when the first write that was sent after a moment was acknowledged, by one bank or by any.
func (l *load) firstAck(bank string, after time.Time) (first time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range slices.Backward(l.acks) {
		if a.at.Before(after) {
			break
		}
		if (bank == "" || a.bank == bank) && !a.sent.Before(after) {
			first = a.at
		}
	}
	return first
}

// longestGap returns the longest time without an acknowledgement.
func (l *load) longestGap(from, to time.Time) (longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := from
	for _, a := range l.acks {
		if a.at.After(from) {
			longest = max(longest, a.at.Sub(last))
			last = a.at
		}
	}
	return max(longest, to.Sub(last))
}

// awaitPayments waits until no payment is under way.
func (w *world) awaitPayments(ctx context.Context) {
	var left string
	err := await(ctx, "all payments have ended", payTime, func() bool {
		b := w.instances()[0]
		text, err := w.get(ctx, b, "/payments?state=running,waiting,compensating,stuck&limit=1", w.load.lastPosition())
		if err != nil {
			left = err.Error()
			return false
		}
		var page struct {
			Payments []json.RawMessage `json:"payments"`
		}
		left = string(text)
		return json.Unmarshal(text, &page) == nil && len(page.Payments) == 0
	})
	if err != nil {
		w.report.wrongf("payments", "%v: %s", err, left)
	}
}

// lastPosition returns the highest position that a client was told.
func (l *load) lastPosition() (last uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.writes {
		last = max(last, w.position)
	}
	return last
}

// writeTimeline writes a line for each half second into the case's folder. It has the time since the fault began, and
// for each bank the acknowledged writes, and the answers of /readyz: + for ready, - for not ready, . for none.
func (w *world) writeTimeline() error {
	const step = 500 * time.Millisecond
	var text strings.Builder
	for from := w.began.Add(-warmTime); from.Before(time.Now()); from = from.Add(step) {
		fmt.Fprintf(&text, "%6.1f", from.Sub(w.began).Seconds())
		for _, b := range w.instances() {
			acks := 0
			for _, a := range w.load.acks {
				if a.bank == b.name && !a.at.Before(from) && a.at.Before(from.Add(step)) {
					acks++
				}
			}
			fmt.Fprintf(&text, "  %s %4d %-8s", b.name, acks, w.looksIn(b, from, from.Add(step)))
		}
		text.WriteString("\n")
	}
	return os.WriteFile(filepath.Join(w.dir, "timeline"), []byte(text.String()), 0o600)
}

func (w *world) looksIn(b *instance, from, to time.Time) (signs string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.looks[b.name] {
		switch {
		case l.at.Before(from) || !l.at.Before(to):
		case l.ready:
			signs += "+"
		case l.came:
			signs += "-"
		default:
			signs += "."
		}
	}
	return signs
}
