//go:build unix

package projection_test

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/runnel-go/runnel/eventstore"
)

// ledger counts what is done in a storm, and keeps what was seen and what was wrong. It is safe for concurrent use.
type ledger struct {
	mu     sync.Mutex
	done   map[string]int
	faults map[string]*fault
	docs   map[sight]stormDoc
	gone   map[absence]string // with the first to whom it happened
}

// sight is a document as it was at one position.
type sight struct {
	key      string
	fold     int
	position eventstore.Position
}

// absence is a key that had no document for a reader, who knew it at a position or waited for that.
type absence struct {
	key    string
	behind eventstore.Position
}

// fault is one kind of what is wrong, with the first times that it was seen.
type fault struct {
	times int
	first []string
}

func newLedger() *ledger {
	return &ledger{done: make(map[string]int), faults: make(map[string]*fault), docs: make(map[sight]stormDoc), gone: make(map[absence]string)}
}

func (l *ledger) count(what string) { l.add(what, 1) }

func (l *ledger) add(what string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[what] += n
}

// wrong notes that a property does not hold.
func (l *ledger) wrong(kind, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.faults[kind]
	if f == nil {
		f = &fault{}
		l.faults[kind] = f
	}
	if f.times++; len(f.first) < 5 {
		f.first = append(f.first, fmt.Sprintf(format, args...))
	}
}

// saw keeps a document that a reader saw. Everybody must see the same at one position.
func (l *ledger) saw(key string, d stormDoc) {
	l.mu.Lock()
	before, known := l.docs[sight{key, d.Fold, d.Position}]
	l.docs[sight{key, d.Fold, d.Position}] = d
	l.mu.Unlock()
	if known && before != d {
		l.wrong("two documents at one position", "key %s: %+v and %+v", key, before, d)
	}
}

// missed keeps that a reader found no document.
func (l *ledger) missed(key string, behind eventstore.Position, whom string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.gone[absence{key, behind}]; !known {
		l.gone[absence{key, behind}] = whom
	}
}

// judge compares all that was seen with what the log says.
func (l *ledger) judge(past map[int]*past) {
	l.add("distinct documents compared with the log", len(l.docs))
	for s, d := range l.docs {
		if want, ok := past[s.fold].at(s.key, s.position); !ok || want != d {
			l.wrong("a reader saw what the log never made", "key %s: %+v, want %+v (%t)", s.key, d, want, ok)
		}
	}
	for a, whom := range l.gone {
		if !past[1].deletedBehind(a.key, a.behind) {
			l.wrong("a reader did not find a document that was there", "%s: key %s, last known at position %d", whom, a.key, a.behind)
		}
	}
}

func (l *ledger) counts() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(l.done)) {
		lines = append(lines, fmt.Sprintf("%8d %s", l.done[what], what))
	}
	return lines
}

func (l *ledger) wrongs() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, kind := range slices.Sorted(maps.Keys(l.faults)) {
		f := l.faults[kind]
		text := fmt.Sprintf("%s: %d times", kind, f.times)
		for _, first := range f.first {
			text += "\n\t" + first
		}
		lines = append(lines, text)
	}
	return lines
}
