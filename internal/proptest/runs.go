// Package proptest says how many random runs a property test makes.
//
// Rapid makes 100 unless the command line or the environment asks for another number. That suits functions. A state
// machine over a real server does with fewer in each run of the tests, and with many more in `make test-long`.
package proptest

import (
	"flag"
	"os"
	"strconv"
	"testing"
)

// checks is the flag of rapid's that says how many runs a property has.
const checks = "rapid.checks"

// Runs makes rapid.Check do n runs in the rest of this test, unless -rapid.checks or RAPID_CHECKS says how many. The test
// must not run in parallel with others that use rapid, since the flag is one for all.
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
	// Past flag.Set, so that the flag does not count as chosen.
	if err := f.Value.Set(strconv.Itoa(n)); err != nil {
		t.Fatalf("proptest: set %s: %v", checks, err)
	}
	t.Cleanup(func() {
		if err := f.Value.Set(before); err != nil {
			t.Errorf("proptest: set %s back: %v", checks, err)
		}
	})
}

// chosen reports whether whoever runs the tests has said how many runs there are to be.
func chosen() bool {
	_, given := os.LookupEnv("RAPID_CHECKS")
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == checks })
	return given
}

// long is the variable of the environment that gives tests the time.
const long = "RUNNEL_TEST_LONG"

// Long reports whether there is time for what takes minutes, as in `make test-long`.
func Long() bool { return os.Getenv(long) != "" }

// Volume gives how often a test repeats what it does: usual times, or many times where there is time. It is for what only gets
// more certain with more of it.
func Volume(usual, many int) int {
	if Long() {
		return many
	}
	return usual
}
