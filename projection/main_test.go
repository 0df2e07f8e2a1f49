package projection_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain runs a view instead of the tests if a test has started this program as a process of its own.
func TestMain(m *testing.M) {
	if url := os.Getenv(runnerURL); url != "" {
		if err := runnerProcess(url, os.Getenv(runnerFold)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}
