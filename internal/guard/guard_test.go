package guard_test

import (
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/guard"
)

// hung blocks until the test ends, and returns a function that waits for the goroutine that it blocked.
func hung(t *testing.T) (block func()) {
	release, released := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(release)
		<-released
	})
	return func() {
		defer close(released)
		<-release
	}
}

// badText is a value to panic with whose text does harm.
type badText struct{ harm func() }

func (b badText) String() string {
	b.harm()
	return "harmless"
}

func TestACallIsOnlyWhatItDoes(t *testing.T) {
	called := false
	require.NoError(t, guard.Call(func() { called = true }))
	require.True(t, called)
}

func TestAPanicIsAnError(t *testing.T) {
	err := guard.Call(func() { panic("no money") })
	var failed *guard.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, "no money", failed.Panic)
	require.Contains(t, string(failed.Stack), "TestAPanicIsAnError")
	require.EqualError(t, err, "panicked: no money")
	require.ErrorIs(t, guard.Call(func() { panic(io.ErrUnexpectedEOF) }), io.ErrUnexpectedEOF)
	var none any
	require.Error(t, guard.Call(func() { panic(none) }))
}

func TestTheEndOfTheGoroutineIsAnError(t *testing.T) {
	for _, call := range []func(func()) error{guard.Call, func(f func()) error { return guard.CallWithin(time.Minute, f) }} {
		var failed *guard.Error
		require.ErrorAs(t, call(runtime.Goexit), &failed)
		require.True(t, failed.Goexit)
		require.ErrorContains(t, failed, "Goexit")
	}
}

func TestTheTextOfAPanicIsGuarded(t *testing.T) {
	require.ErrorContains(t, guard.Call(func() { panic(badText{func() { panic("again") }}) }), "PANIC")
	var failed *guard.Error
	require.ErrorAs(t, guard.Call(func() { panic(badText{runtime.Goexit}) }), &failed)
	require.True(t, failed.Goexit)
	block := hung(t)
	require.ErrorAs(t, guard.CallWithin(20*time.Millisecond, func() { panic(badText{block}) }), &failed)
	require.Equal(t, 20*time.Millisecond, failed.Lasted)
}

func TestACallThatLastsTooLongIsLeft(t *testing.T) {
	const limit = 40 * time.Millisecond
	begun := time.Now()
	err := guard.CallWithin(limit, hung(t))
	require.GreaterOrEqual(t, time.Since(begun), limit)
	require.Less(t, time.Since(begun), 100*limit)
	var failed *guard.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, limit, failed.Lasted)
	require.EqualError(t, err, "has not returned for 40ms")
}

func TestTheWorkStopsInACallThatIsLeft(t *testing.T) {
	release, ended := make(chan struct{}), make(chan struct{})
	steps := 0
	err := guard.Run(20*time.Millisecond, func(c *guard.Calls) {
		defer close(ended)
		require.NoError(t, c.Call(func() {}))
		steps++
		_ = c.Call(func() { <-release })
		steps++
	})
	require.Error(t, err)
	steps++ // the caller goes on with what the work has changed
	close(release)
	<-ended
	require.Equal(t, 2, steps)
}

func TestAPanicDoesNotStopTheWork(t *testing.T) {
	var errs []error
	require.NoError(t, guard.Run(time.Minute, func(c *guard.Calls) {
		for i := range 4 {
			errs = append(errs, c.Call(func() {
				if i%2 == 1 {
					panic(i)
				}
			}))
		}
	}))
	require.Equal(t, []bool{false, true, false, true}, []bool{errs[0] != nil, errs[1] != nil, errs[2] != nil, errs[3] != nil})
}

// The work between calls, such as a read from a server, may last as long as it needs.
func TestOnlyCallsAreWatched(t *testing.T) {
	waited := make(chan struct{})
	timer := time.AfterFunc(100*time.Millisecond, func() { close(waited) })
	defer timer.Stop()
	require.NoError(t, guard.Run(10*time.Millisecond, func(c *guard.Calls) {
		require.NoError(t, c.Call(func() {}))
		<-waited
		require.NoError(t, c.Call(func() {}))
	}))
}

// Many short calls may last long together, because the limit is for each call.
func TestManyShortCallsAreNotOneLong(t *testing.T) {
	const limit = 20 * time.Millisecond
	begun := time.Now()
	require.NoError(t, guard.Run(limit, func(c *guard.Calls) {
		for time.Since(begun) < 3*limit {
			require.NoError(t, c.Call(func() {}))
		}
	}))
}

func TestErrorsOfThePanicAreFound(t *testing.T) {
	cause := &fs.PathError{Op: "open", Path: "x", Err: io.ErrUnexpectedEOF}
	err := guard.Call(func() { panic(fmt.Errorf("because: %w", cause)) })
	var found *fs.PathError
	require.ErrorAs(t, err, &found)
	require.Equal(t, cause, found)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NotErrorIs(t, err, io.EOF)
	err = guard.Call(func() { panic("text") })
	require.NotErrorIs(t, err, io.EOF)
	require.NotErrorAs(t, err, &found)
}

// nested is an error whose text panics, and so does the text of that panic.
type nested struct{}

func (nested) Error() string { panic(nested{}) }

// badError is an error whose methods do harm when they are asked what it matches.
type badError struct{ harm func() }

func (badError) Error() string { return "no money" }

func (b badError) Is(error) bool {
	b.harm()
	return true
}

func (b badError) As(any) bool {
	b.harm()
	return true
}

// returned runs a function whose error is tamed as a decoder's is.
func returned(f func() error) (err error) {
	defer guard.Recover(&err)
	return f()
}

func TestATextThatPanicsTwiceIsGuarded(t *testing.T) {
	require.ErrorContains(t, guard.Call(func() { panic(nested{}) }), "panicked: a guard_test.nested")
	require.ErrorContains(t, returned(func() error { panic(nested{}) }), "panic: a guard_test.nested")
	require.ErrorContains(t, returned(func() error { return nested{} }), "a guard_test.nested")
}

// A caller that looks at an error calls its methods, and has no guard itself.
func TestTheMethodsOfAnErrorAreGuarded(t *testing.T) {
	for what, harms := range map[string][2]func(){
		"panics":             {func() { panic(nested{}) }, func() { panic(nested{}) }},
		"ends its goroutine": {runtime.Goexit, runtime.Goexit},
		"does not return":    {hung(t), hung(t)},
	} {
		for where, err := range map[string]error{
			"in a panic": guard.Call(func() { panic(badError{harms[0]}) }),
			"returned":   returned(func() error { return fmt.Errorf("decode: %w", badError{harms[1]}) }),
		} {
			require.ErrorContains(t, err, "no money", where)
			require.NotErrorIs(t, err, io.EOF, "%s, %s", what, where)
			var found *fs.PathError
			require.NotErrorAs(t, err, &found, "%s, %s", what, where)
		}
	}
	require.ErrorIs(t, returned(func() error { return io.ErrUnexpectedEOF }), io.ErrUnexpectedEOF)
	require.NoError(t, returned(func() error { return nil }))
}

func BenchmarkCalls(b *testing.B) {
	sum := 0
	_ = guard.Run(time.Minute, func(c *guard.Calls) {
		for b.Loop() {
			_ = c.Call(func() { sum++ })
		}
	})
}

func BenchmarkCall(b *testing.B) {
	sum := 0
	for b.Loop() {
		_ = guard.Call(func() { sum++ })
	}
}
