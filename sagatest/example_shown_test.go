package sagatest_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
)

// shown stands for the test of an example, which has none. It counts its subtests, and keeps and prints
// failures.
type shown struct {
	testing.TB // only the methods below are called

	quiet    bool // failures are not printed
	runs     atomic.Int64
	cleanups []func()

	mu       sync.Mutex // guards failures
	failures []string   // including the failures of subtests
}

func (s *shown) Helper() {}

func (s *shown) Context() context.Context { return context.Background() }

func (s *shown) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// TempDir is used if a machine has no file system in memory.
func (s *shown) TempDir() string {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		s.Fatalf("%v", err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (s *shown) Errorf(format string, args ...any) {
	s.fail(fmt.Sprintf(format, args...))
	if !s.quiet {
		fmt.Printf(format+"\n", args...)
	}
}

func (s *shown) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

// Run runs a test in this one, on a goroutine that Fatalf can end.
func (s *shown) Run(_ string, f func(*shown)) bool {
	s.runs.Add(1)
	in := &shown{quiet: s.quiet}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(in)
	}()
	<-ended
	in.end()
	s.fail(in.failures...)
	return len(in.failures) == 0
}

func (s *shown) fail(why ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures = append(s.failures, why...)
}

// end cleans up.
func (s *shown) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}
