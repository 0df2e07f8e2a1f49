package sagatest_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
)

// shown stands for the test of an example, which has none. It counts the tests in it, and counts and prints what fails.
type shown struct {
	testing.TB // what is not below, nobody calls here

	runs, failures atomic.Int64
	cleanups       []func()
}

func (s *shown) Helper() {}

func (s *shown) Context() context.Context { return context.Background() }

func (s *shown) Cleanup(f func()) { s.cleanups = append(s.cleanups, f) }

// TempDir is where a machine has no file system in memory.
func (s *shown) TempDir() string {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		s.Fatalf("%v", err)
	}
	s.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (s *shown) Errorf(format string, args ...any) {
	s.failures.Add(1)
	fmt.Printf(format+"\n", args...)
}

func (s *shown) Fatalf(format string, args ...any) {
	s.Errorf(format, args...)
	runtime.Goexit()
}

// Run runs a test in this one, on a goroutine that Fatalf can end.
func (s *shown) Run(_ string, f func(*shown)) bool {
	s.runs.Add(1)
	in := &shown{}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f(in)
	}()
	<-ended
	in.end()
	s.failures.Add(in.failures.Load())
	return in.failures.Load() == 0
}

// end cleans up.
func (s *shown) end() {
	for _, f := range slices.Backward(s.cleanups) {
		f()
	}
}
