package natsrun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"time"
)

// A Group runs the parts of a program side by side: projections, reactors,
// sagas, servers. They are started in the order in which they were added and
// stopped in reverse, so what was added last may use all that was added before
// it until the end.
//
// The zero value is an empty group. Add members, then call Run.
type Group struct {
	// StopTimeout bounds the stopping of all members together. Defaults to 8
	// seconds, which leaves [Run] two of its own ten.
	StopTimeout time.Duration

	// Logger receives starts, ends, the stack of a panic, and all failures but
	// the one that Run returns.
	// Defaults to NewLogger(nil, os.Stderr).
	Logger *slog.Logger

	members []member
}

type member struct {
	name string
	run  func(context.Context) error
}

// Add adds a member. run blocks until its work is done or its context ends, and
// then returns nil or the context's error. The name is for errors and the log.
// Add is not safe for concurrent use, and has no effect on a group that runs.
func (g *Group) Add(name string, run func(context.Context) error) {
	g.members = append(g.members, member{name: name, run: run})
}

// A MemberError is the failure of a member. It unwraps to what the member
// returned, or to a [PanicError].
type MemberError struct {
	Name string // as given to Add
	Err  error
}

// Error names the member.
func (e *MemberError) Error() string { return fmt.Sprintf("natsrun: %s: %v", e.Name, e.Err) }

// Unwrap returns the cause.
func (e *MemberError) Unwrap() error { return e.Err }

// A PanicError is a panic of a group's member.
type PanicError struct {
	Value any    // what it panicked with
	Stack []byte // of the member's goroutine
}

// Error gives the value, without the stack.
func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// Run starts the members in the order added, each in a goroutine of its own that
// runs before the next is started, and blocks until all have ended. A member
// that returns nil has done its work, and the others go on.
//
// When ctx ends, or a member fails or panics, Run stops the members in reverse
// order: it cancels a member's context, waits for it, and goes on to the one
// before. The cause of the contexts matches [ErrShutdown]. When three quarters
// of StopTimeout have passed, the members that are left are all cancelled and
// waited for together. A member's context ends in no other way, but carries
// ctx's values.
//
// Run returns the first failure as a [MemberError], joined with an
// [UnfinishedError] that names the members which did not end in time; nil if
// there is neither. After its context ended, a member that returns an error
// matching context.Canceled or ErrShutdown has not failed.
func (g *Group) Run(ctx context.Context) error {
	r := &groupRun{
		log:     g.Logger,
		timeout: cmp.Or(g.StopTimeout, 8*time.Second),
		ended:   make(chan *running, len(g.members)),
	}
	if r.log == nil {
		r.log = NewLogger(nil, os.Stderr)
	}
	for _, m := range g.members {
		if ctx.Err() != nil {
			break
		}
		r.start(ctx, m)
	}
	late := r.stop(r.wait(ctx))
	return errors.Join(r.failure, late)
}

// A groupRun is one Run of a group:
//
//	start each ─► wait ─┬─ all have ended ──────┬─► stop, in reverse ─► result
//	                    ├─ ctx has ended ───────┤
//	                    └─ a member has failed ─┘
type groupRun struct {
	log     *slog.Logger
	timeout time.Duration
	running []*running
	ended   chan *running // has room for all, so no member waits to end
	failure error         // the first; a MemberError or nil
}

// A running is a member that was started.
type running struct {
	member
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when run has returned
	err    error         // what it returned; read after done
	judged bool          // err has been looked at
}

func (r *groupRun) start(ctx context.Context, m member) {
	// Cut off from ctx, so that the order of stopping is ours to give.
	memberCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	run := &running{member: m, cancel: cancel, done: make(chan struct{})}
	r.running = append(r.running, run)
	begun := make(chan struct{})
	go func() {
		defer func() { r.ended <- run }()
		defer close(run.done)
		close(begun)
		run.err = errGoexit // unless protect returns
		run.err = protect(memberCtx, m.run)
	}()
	<-begun
	r.log.Debug("member started", slog.String("member", m.name))
}

// wait blocks until there is a reason to stop and returns it as the cause for
// the members' contexts, nil if all have ended by themselves.
func (r *groupRun) wait(ctx context.Context) error {
	for range r.running {
		select {
		case <-ctx.Done():
			return shutdownCause(context.Cause(ctx))
		case run := <-r.ended:
			r.judge(run, ctx.Err() != nil)
			if r.failure != nil {
				return shutdownCause(r.failure)
			}
		}
	}
	return nil
}

// stop cancels the members, the last first, and returns an UnfinishedError if
// any of them goes on.
func (r *groupRun) stop(why error) error {
	inOrder, all := time.NewTimer(r.timeout/4*3), time.NewTimer(r.timeout)
	defer inOrder.Stop()
	defer all.Stop()

	slices.Reverse(r.running)
	patient := true
	for _, run := range r.running {
		run.cancel(why)
		if patient {
			patient = endsBefore(run, inOrder.C)
		}
	}
	var names []string
	for _, run := range r.running {
		// Once all has fired, the members that are left are not waited for.
		if len(names) == 0 && endsBefore(run, all.C) || len(names) > 0 && hasEnded(run) {
			r.judge(run, true)
			continue
		}
		names = append(names, run.name)
	}
	if len(names) == 0 {
		return nil
	}
	return &UnfinishedError{Names: names, After: r.timeout}
}

func endsBefore(run *running, timer <-chan time.Time) bool {
	select {
	case <-run.done:
		return true
	case <-timer:
		return hasEnded(run)
	}
}

func hasEnded(run *running) bool {
	select {
	case <-run.done:
		return true
	default:
		return false
	}
}

// judge looks at what a member returned, once. The first failure is the
// group's, the others go to the log.
func (r *groupRun) judge(run *running, stopping bool) {
	if run.judged {
		return
	}
	run.judged = true
	if run.err == nil || stopping && stoppedCleanly(run.err) {
		r.log.Debug("member ended", slog.String("member", run.name))
		return
	}
	failure := &MemberError{Name: run.name, Err: run.err}
	if p, ok := errors.AsType[*PanicError](run.err); ok {
		r.log.Error("member panicked", slog.Any("error", failure), slog.String("stack", string(p.Stack)))
	}
	if r.failure != nil {
		r.log.Error("another member failed", slog.Any("error", failure))
		return
	}
	r.failure = failure
}

// protect turns a panic of run into an error.
func protect(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = &PanicError{Value: value, Stack: debug.Stack()}
		}
	}()
	return run(ctx)
}
