package natsrun

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// steady is how long a runtime must have lasted until the tries to open another count from 1 again. It is far above the
// longest wait between two tries. So a program that breaks its connection at every start still waits longer each time.
const steady = time.Minute

// Run opens a [Runtime], runs program with it, and closes it. A nil cfg means the defaults. Run blocks until one of
// these happens:
//
//   - ctx ends. Run cancels program's context with a cause that matches [ErrShutdown], waits for program, and
//     closes the Runtime. It returns nil if program returned nil or an error that matches context.Canceled or
//     ErrShutdown.
//   - program returns, while ctx has not ended and the connections are open. Run closes the Runtime and returns
//     program's error.
//   - The client has closed a connection for good. Run cancels program's context with a cause that matches
//     [ErrConnectionClosed], waits for program, logs its error, and closes the Runtime. Then it opens another
//     Runtime and runs program again. If that fails, it tries again after a random wait that grows up to 5 seconds.
//     If MaxReconnects is above zero, it returns the last error after so many failures in a row.
//
// Run does not repeat the first Open. It returns that error, as [Open] documents it. If program still runs
// ShutdownTimeout after its context was cancelled, Run closes the Runtime and returns an error that matches
// [ErrUnfinished] and names "program". It never runs a second program beside the first.
//
// program must not close the Runtime. Run does not recover its panics.
func Run(ctx context.Context, cfg *Config, program func(context.Context, *Runtime) error) error {
	full, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	r := &runner{cfg: full, program: program}
	again, err := r.once(ctx)
	for again && r.opened {
		r.tries++
		if full.MaxReconnects > 0 && r.tries > full.MaxReconnects {
			return err
		}
		if waited := pauses().Wait(ctx, r.tries) == nil; !waited {
			return nil // ctx has ended
		}
		again, err = r.once(ctx)
	}
	return err
}

type runner struct {
	cfg     *Config
	program func(context.Context, *Runtime) error
	opened  bool // an Open has succeeded
	tries   int  // to open another runtime, since one was steady
}

// once opens a runtime, runs the program and closes the runtime. It returns again if ctx has not ended and the runtime
// could not be opened or was lost.
func (r *runner) once(ctx context.Context) (again bool, err error) {
	rt, err := open(ctx, r.cfg)
	if err != nil {
		r.cfg.Logger.Error("cannot open NATS", slog.Any("error", err))
		if ctx.Err() != nil && (r.opened || errors.Is(err, context.Cause(ctx))) {
			return false, nil
		}
		return ctx.Err() == nil, err
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
		r.cfg.Logger.Error("connection closed for good, connecting again", slog.Any("error", lost), slog.Any("program", programErr))
		return true, errors.Join(lost, programErr)
	default:
		return false, errors.Join(programErr, closeErr)
	}
}

// runProgram runs the program and returns its error. If the program still runs after it was told to end, it returns an
// error that matches ErrUnfinished.
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
		return unfinished(r.cfg.ShutdownTimeout, "program")
	}
}
