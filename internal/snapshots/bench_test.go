package snapshots

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/runnel-go/runnel/eventstoretest"
)

// ledger is a state of some size.
type ledger struct{ Entries map[string]int64 }

func (l ledger) Clone() ledger       { l.Entries = maps.Clone(l.Entries); return l }
func (l ledger) Evolve(event) ledger { return l }

func ledgerOf(entries int) ledger {
	l := ledger{Entries: make(map[string]int64)}
	for i := range entries {
		l.Entries[fmt.Sprint("entry ", i)] = int64(i)
	}
	return l
}

// BenchmarkSave measures how long a command waits when its snapshot is due (save). It also measures how long the
// command would wait if it encoded the state instead of copying it (encode).
func BenchmarkSave(b *testing.B) {
	c := openCache(b, openStore(b, eventstoretest.JetStream(b), nil), func(cfg *Config) { cfg.Queue = 1 })
	for _, entries := range []int{10, 1000, 100_000} {
		states, err := For[ledger, event](c, ledgerOf(0), ledger.Clone, 4, time.Hour)
		if err != nil {
			b.Fatal(err)
		}
		snapshot := Snapshot[ledger]{State: ledgerOf(entries), Version: 1, Position: 1, Commits: 1}
		b.Run(fmt.Sprintf("entries=%d/save", entries), func(b *testing.B) {
			for b.Loop() {
				states.Save("1", snapshot)
			}
		})
		b.Run(fmt.Sprintf("entries=%d/encode", entries), func(b *testing.B) {
			for b.Loop() {
				if _, err := states.encode(b.Context(), "1", snapshot); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
