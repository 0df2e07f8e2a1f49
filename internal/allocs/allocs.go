// Package allocs counts the allocations of operations, for tests that hold them to a bound.
//
// All goroutines of the process count, so a server that the operations use belongs in a process of its own
// (eventstoretest.NewProcess). The race detector allocates as well, and so does what waits on a busy machine. So
// [Countable] skips the test unless `make allocs` runs it.
package allocs

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
)

// rounds is the number of counts. The least one is taken, because timers, reconnections and pools that fill up
// only add to it.
const rounds = 5

// Figures are the allocations of one operation.
type Figures struct{ Objects, Bytes float64 }

// String returns both, rounded.
func (f Figures) String() string {
	return fmt.Sprintf("%.2f allocations, %.0f bytes", f.Objects, f.Bytes)
}

// Within fails the test if f has more allocations than bound, and logs the allocations of the other way beside
// it.
func (f Figures) Within(t testing.TB, bound float64, raw Figures) {
	t.Helper()
	t.Logf("%v; nats.go: %v", f, raw)
	if f.Objects > bound {
		t.Errorf("%v; the bound is %v allocations: go test -memprofile shows where they are made", f, bound)
	}
}

// asked is the environment variable with which `make allocs` asks for counts.
const asked = "RUNNEL_TEST_ALLOCS"

// Countable skips a test unless allocations are to be counted.
func Countable(t testing.TB) {
	t.Helper()
	if os.Getenv(asked) == "" {
		t.Skip("run make allocs")
	}
}

// Of returns the allocations of one operation, if operations does n of them.
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
