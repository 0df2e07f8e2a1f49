package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// soak settings: one cluster of three with three banks, and a small load for a long time.
const (
	soakNodes = 3
	soakBanks = 3
	soakRest  = 25 * time.Millisecond // of each client between two writes
	soakCheck = 30 * time.Minute      // for the check of the whole log
)

// sample is the size of one bank's process at one moment.
type sample struct {
	bank       string
	since      time.Duration // the start of the soak
	resident   int           // KiB
	goroutines int
}

// soak makes a fault every so often for a long time, on one cluster.
func soak(ctx context.Context, out io.Writer, dir string, p programs, length, every time.Duration) (_ *report, made int, err error) {
	running, stop := context.WithTimeoutCause(ctx, length+soakCheck, fmt.Errorf("the soak has not ended after %s", length+soakCheck))
	w, err := newWorld(running, stop, dir, p, trial{new(fault), soakNodes, soakBanks})
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		if closed := w.close(); err == nil {
			err = closed
		}
	}()
	w.load.rest = soakRest
	if err := w.load.open(running); err != nil {
		return nil, 0, err
	}
	w.load.start(running, clients)
	begin := time.Now()
	var samples []sample
	for time.Since(begin) < length {
		next := time.Now().Add(every)
		t := soakTrials()[made%len(soakTrials())]
		w.began = time.Now()
		if _, err := t.happen(running, w); err != nil {
			return nil, made, fmt.Errorf("%s: %w", t, err)
		}
		made++
		t.awaitWell(running, w, time.Now())
		pause(running, time.Until(next))
		for _, b := range w.instances() {
			s := b.measure(running, w.load.http)
			s.since = time.Since(begin)
			samples = append(samples, s)
			_, _ = fmt.Fprintf(out, "%s %s: %s, %d MiB, %d goroutines\n", s.since.Round(time.Second), t.fault.name, s.bank, s.resident>>10, s.goroutines)
		}
	}
	w.load.stop()
	for _, b := range w.instances() {
		w.checkReady(b, begin, time.Now())
	}
	w.awaitPayments(running)
	w.report.reads, w.report.longest = w.load.reads, w.load.longestGap(begin, time.Now())
	w.checkGrowth(samples)
	if err := w.check(running); err != nil {
		return nil, made, err
	}
	w.report.took = time.Since(begin)
	return w.report, made, context.Cause(running)
}

// soakTrials are the faults of a soak: each that makes sense on its cluster, leaves its files as they were, and starts
// no further bank.
func soakTrials() (all []trial) {
	for _, f := range faults() {
		if slices.Contains(f.nodes, soakNodes) && f.prepare == nil && !f.adds {
			all = append(all, trial{f, soakNodes, soakBanks})
		}
	}
	return all
}

// measure takes a sample of a bank. A figure that cannot be taken is zero.
func (b *instance) measure(ctx context.Context, client *http.Client) sample {
	s := sample{bank: b.name}
	if p := b.process(); p != nil {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if err == nil {
			_, rest, _ := strings.Cut(string(text), "\nVmRSS:")
			s.resident, _ = strconv.Atoi(strings.Fields(rest + " 0")[0]) // 0 if there is no such file
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url()+"/healthz", nil)
	if err != nil {
		return s
	}
	answer, err := client.Do(request)
	if err != nil {
		return s
	}
	defer func() { _ = answer.Body.Close() }()
	var health struct {
		Goroutines int `json:"goroutines"`
	}
	if json.NewDecoder(answer.Body).Decode(&health) == nil {
		s.goroutines = health.Goroutines
	}
	return s
}

// growBound is by which factor a bank may be larger in the last quarter of a soak than in the second.
const growBound = 1.5

// checkGrowth compares the medians of the second and the last quarter.
func (w *world) checkGrowth(samples []sample) {
	for _, b := range w.instances() {
		var resident, goroutines []int
		for _, s := range samples {
			if s.bank == b.name && s.goroutines > 0 {
				resident, goroutines = append(resident, s.resident), append(goroutines, s.goroutines)
			}
		}
		for what, all := range map[string][]int{"KiB resident": resident, "goroutines": goroutines} {
			quarter := len(all) / 4
			if quarter == 0 {
				continue
			}
			early, late := median(all[quarter:2*quarter]), median(all[3*quarter:])
			if float64(late) > growBound*float64(early) {
				w.report.wrongf("growth", "%s has %d %s late in the run, %d early", b.name, late, what, early)
			}
		}
	}
}

func median(all []int) int {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}
