package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// report is what was found in one case. It may be written by several goroutines at once.
type report struct {
	mu    sync.Mutex // guards what follows
	wrong []finding

	acknowledged, rejected, open int           // writes; open: nobody knows the outcome
	commits                      int           // messages in the log
	reads                        int           // by position, that were answered
	first                        time.Duration // write after writes were possible
	longest                      time.Duration // without any acknowledgement
	served                       time.Duration // the first write of a bank that was started in the fault, after its end
	took                         time.Duration // the whole case
}

// finding is one thing that is wrong.
type finding struct{ kind, text string }

// perKind is how many findings of a kind are kept in full.
const perKind = 5

func (r *report) wrongf(kind, format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = append(r.wrong, finding{kind, fmt.Sprintf(format, args...)})
}

// count returns how many findings of a kind there are.
func (r *report) count(kind string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.wrong {
		if f.kind == kind {
			n++
		}
	}
	return n
}

// findings returns the findings as text, a few of each kind.
func (r *report) findings() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := slices.Clone(r.wrong)
	slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(a.kind, b.kind) })
	var text strings.Builder
	said := make(map[string]int)
	for _, f := range found {
		said[f.kind]++
		if said[f.kind] <= perKind {
			fmt.Fprintf(&text, "    %s: %s\n", f.kind, f.text)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(said)) {
		if said[kind] > perKind {
			fmt.Fprintf(&text, "    %s: %d in all\n", kind, said[kind])
		}
	}
	return text.String()
}

// forgiveTimes drops the findings that are about time alone.
func (r *report) forgiveTimes() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wrong = slices.DeleteFunc(r.wrong, func(f finding) bool { return f.kind == "late" || f.kind == "ready" })
}

// ok reports whether nothing is wrong.
func (r *report) ok() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.wrong) == 0
}

// String returns the figures on one line.
func (r *report) String() string {
	word := "right"
	if !r.ok() {
		word = "WRONG"
	}
	text := fmt.Sprintf("%s; %d acknowledged, %d rejected, %d commits, %d reads; first write after %s, longest gap %s",
		word, r.acknowledged, r.rejected, r.commits, r.reads, brief(r.first), brief(r.longest))
	if r.served != 0 {
		text += ", the new bank after " + brief(r.served)
	}
	return text + fmt.Sprintf("; %s in all", brief(r.took))
}

// brief returns a duration in seconds.
func brief(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// settle removes the folder of a case that was right, and says what was wrong otherwise.
func (r *report) settle(out io.Writer, dir string) error {
	if r.ok() {
		return os.RemoveAll(dir)
	}
	_, err := fmt.Fprintf(out, "%s    logs: %s\n", r.findings(), dir)
	return err
}
