// Package allocs counts what operations allocate, for tests that hold it to a bound.
//
// All goroutines of the process count, so a server that the operations talk to belongs in a process of its own
// (eventstoretest.NewProcess). The race detector allocates too: [Countable] skips the test there, and `make allocs` runs what
// `make test` skips.
package allocs

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"testing"
)

// rounds is how often is counted. The least counts, since timers, reconnections and pools that fill up only ever add.
const rounds = 5

// Figures is what one operation allocates.
type Figures struct{ Objects, Bytes float64 }

// String gives both, rounded.
func (f Figures) String() string {
	return fmt.Sprintf("%.2f allocations, %.0f bytes", f.Objects, f.Bytes)
}

// Within fails the test where f is more than bound allocations, and logs what the same takes by other means.
func (f Figures) Within(t testing.TB, bound float64, raw Figures) {
	t.Helper()
	t.Logf("%v; nats.go: %v", f, raw)
	if f.Objects > bound {
		t.Errorf("%v; the bound is %v allocations: go test -memprofile tells where they are made", f, bound)
	}
}

// Countable skips a test where the race detector runs.
func Countable(t testing.TB) {
	t.Helper()
	if raceDetector {
		t.Skip("the race detector allocates too: run make allocs")
	}
}

// Of gives what one operation allocates where operations does n of them.
func Of(t testing.TB, n int, operations func()) Figures {
	t.Helper()
	// A collection empties pools, which are then filled again.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	operations()
	var least Figures
	for round := range rounds {
		runtime.GC()
		operations() // fills the pools
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		operations()
		runtime.ReadMemStats(&after)
		f := Figures{
			Objects: float64(after.Mallocs-before.Mallocs) / float64(n),
			Bytes:   float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
		}
		if round == 0 {
			least = f
		}
		least = Figures{min(least.Objects, f.Objects), min(least.Bytes, f.Bytes)}
	}
	return least
}
