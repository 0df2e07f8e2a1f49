package natsrun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// steady is how long a connection must have lasted for the next dial to count
// as the first again. It is far above the longest wait between two, so that a
// program that kills its connection at every start is still held back.
const steady = time.Minute

// Run opens a [Runtime], runs program with it, and closes it. A nil cfg means
// the defaults. It blocks until one of these:
//
//   - ctx ends: program's context is cancelled with a cause that matches
//     [ErrShutdown]. Run waits for program, closes the Runtime, and returns nil
//     for a clean end: program returned nil or an error that matches
//     context.Canceled or ErrShutdown.
//   - program returns while ctx lives and the connections are open: Run closes
//     the Runtime and returns program's error.
//   - the client has closed a connection for good while ctx lives: program's
//     context is cancelled with a [ConnectionClosedError] as cause. Run waits
//     for program, logs its error, closes the Runtime, opens another, with a
//     jittered backoff of up to 5 seconds for as long as that fails, and runs
//     program again. With a MaxReconnects above zero it returns the last error
//     after so many tries in a row.
//
// The first Open is not repeated: what is wrong at the start is returned. If
// program has not ended ShutdownTimeout after its context was cancelled, Run
// closes the Runtime and returns an [UnfinishedError] that names "program";
// it never runs a second program beside a first.
//
// program must not close the Runtime. Its panics are not recovered.
func Run(ctx context.Context, cfg *Config, program func(context.Context, *Runtime) error) error {
	resolved, err := cfg.resolve()
	if err != nil {
		return err
	}
	r := &runner{cfg: resolved, program: program}
	again, err := r.once(ctx)
	for again && r.opened {
		r.tries++
		if resolved.MaxReconnects > 0 && r.tries > resolved.MaxReconnects {
			return err
		}
		if !sleep(ctx, backoff(r.tries)) {
			return nil
		}
		again, err = r.once(ctx)
	}
	return err
}

// unlessEnded drops the error of an Open that failed because ctx ended.
func unlessEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return nil
	}
	return err
}

func sleep(ctx context.Context, d time.Duration) (slept bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

type runner struct {
	cfg     *Config
	program func(context.Context, *Runtime) error
	opened  bool // an Open has succeeded
	tries   int  // to dial anew, since a connection was last steady
}

// once opens a runtime, runs the program and closes the runtime. It says again
// if the runtime could not be opened or was lost while ctx lives.
func (r *runner) once(ctx context.Context) (again bool, err error) {
	rt, err := open(ctx, r.cfg)
	if err != nil {
		r.cfg.Logger.Error("cannot open NATS", slog.Any("error", err))
		return ctx.Err() == nil, unlessEnded(ctx, err)
	}
	r.opened = true
	began := time.Now()
	programErr := r.runProgram(ctx, rt)
	if time.Since(began) >= steady {
		r.tries = 0
	}
	lost := rt.lost()
	closeErr := rt.Close(context.WithoutCancel(ctx))
	switch {
	case errors.Is(programErr, ErrUnfinished):
		return false, errors.Join(programErr, closeErr)
	case ctx.Err() != nil:
		if stoppedCleanly(programErr) || lost != nil {
			programErr = nil
		}
		return false, errors.Join(programErr, closeErr)
	case lost != nil:
		r.cfg.Logger.Error("connection closed for good, dialling anew", slog.Any("error", lost), slog.Any("program", programErr))
		return true, errors.Join(lost, programErr)
	default:
		return false, errors.Join(programErr, closeErr)
	}
}

// runProgram returns the program's error, or an UnfinishedError if it goes on
// after it was told to end.
func (r *runner) runProgram(ctx context.Context, rt *Runtime) error {
	programCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	err := errGoexit // unless program returns
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = r.program(programCtx, rt)
	}()

	select {
	case <-ended:
		return err
	case <-ctx.Done():
		cancel(shutdownCause(context.Cause(ctx)))
	case <-rt.commands.closed:
		cancel(rt.lost())
	case <-rt.reads.closed:
		cancel(rt.lost())
	}
	timer := time.NewTimer(r.cfg.ShutdownTimeout)
	defer timer.Stop()
	select {
	case <-ended:
		return err
	case <-timer.C:
		return &UnfinishedError{Names: []string{"program"}, After: r.cfg.ShutdownTimeout}
	}
}

// errGoexit is what a function that called runtime.Goexit is said to have
// returned.
var errGoexit = errors.New("ended by runtime.Goexit")

// shutdownCause is the cause of a context that is cancelled in good order.
func shutdownCause(why error) error { return fmt.Errorf("%w: %w", ErrShutdown, why) }

// stoppedCleanly tells what a function returns because it was told to end from
// a failure.
func stoppedCleanly(err error) bool {
	return err == nil || errors.Is(err, context.Canceled) || errors.Is(err, ErrShutdown)
}
