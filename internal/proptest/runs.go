// Package proptest sets the number of random runs of a property test.
//
// Rapid makes 100 unless the command line or the environment asks for another number. That suits functions. A
// state machine over a real server makes fewer in each run of the tests, and many more in `make test-long`.
package proptest

import (
	"flag"
	"os"
	"strconv"
	"testing"
)

// checks is rapid's flag for the number of runs of a property.
const checks = "rapid.checks"

// Runs makes rapid.Check do n runs in the rest of this test, unless -rapid.checks or RAPID_CHECKS sets the
// number. The test must not run in parallel with others that use rapid, because all share the flag.
func Runs(t testing.TB, n int) {
	t.Helper()
	f := flag.Lookup(checks)
	if f == nil {
		t.Fatalf("proptest: there is no flag %s: import rapid", checks)
	}
	if chosen() {
		return
	}
	before := f.Value.String()
	// This bypasses flag.Set, so that the flag does not count as chosen.
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatalf("proptest: set %s: %v", checks, err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(before); err != nil {
			t.Errorf("proptest: set %s back: %v", checks, err)
		}
	})
}

// chosen reports whether the command line or the environment sets the number of runs.
func chosen() bool {
	_, given := os.LookupEnv("RAPID_CHECKS")
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == checks })
	return given
}

// long is the environment variable that allows tests to take minutes.
const long = "RUNNEL_TEST_LONG"

// Long reports whether tests may take minutes, as in `make test-long`.
func Long() bool { return os.Getenv(long) != "" }

// AboutTime skips a test in a short run, as in `make race`. It is for tests that hold something to a time, or that take
// much of the processor. The race detector makes everything five times slower.
func AboutTime(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("about time: run make test")
	}
}

// Volume returns the number of repetitions of a test: usual, or many if there is time. It is for tests that
// only become more certain with repetition.
func Volume(usual, many int) int {
	if Long() {
		return many
	}
	return usual
}
