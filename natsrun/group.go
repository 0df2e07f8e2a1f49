package natsrun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/runnel-go/runnel/internal/guard"
)

// A Group runs the members of a program side by side: views, reactors, sagas, servers. It starts them in the order in
// which they were added and stops them in reverse order. So a member may use the members before it until its own end.
//
// The zero value is an empty group. Add members, then call Run. One goroutine does both.
type Group struct {
	// StopTimeout limits how long all members together may take to stop. Run refuses a negative value. Defaults to 8
	// seconds, so that [Run] has two of its ten seconds left.
	StopTimeout time.Duration

	// Logger receives starts, ends, the stack of a panic, and all failures except the one that Run returns. Defaults to
	// slog.Default().
	Logger *slog.Logger

	members []member
}

type member struct {
	name string
	run  func(context.Context) error
}

// Add adds a member. run must block until its work is done or its context ends, and then return nil or the context's
// error. The name stands in errors and in the log. A group that runs ignores new members.
func (g *Group) Add(name string, run func(context.Context) error) {
	g.members = append(g.members, member{name: name, run: run})
}

// Run starts the members in order and blocks until all of them have ended. Each has a goroutine of its own, which runs
// before the next member is started. If a member returns nil, its work is done and the others go on.
//
// If ctx ends, or if a member fails, Run stops the members in reverse order. It cancels a member's context, waits
// until the member has ended, and goes on to the member before it. After three quarters of StopTimeout it cancels
// all other members at once. The cause of a member's context matches [ErrShutdown]. The context carries the values
// of ctx and ends in no other way.
//
// A member fails if it returns an error, panics, or ends its goroutine. An error that matches context.Canceled
// or ErrShutdown is not a failure after the member's context has ended.
//
// Run returns nil if no member has failed and all have ended. Otherwise it returns the first failure, which wraps
// the member's error, joined with an error that matches [ErrUnfinished] and names the members that still run. For a
// negative StopTimeout it returns an error that matches [ErrConfig] and starts nothing.
func (g *Group) Run(ctx context.Context) error {
	if g.StopTimeout < 0 {
		return fmt.Errorf("%w: Group.StopTimeout is %v: want a duration above zero", ErrConfig, g.StopTimeout)
	}
	r := &groupRun{
		log:     cmp.Or(g.Logger, slog.Default()),
		timeout: cmp.Or(g.StopTimeout, 8*time.Second),
		ended:   make(chan *running, len(g.members)),
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
	ended   chan *running // has room for all members, so none waits to end
	failure error         // the first
}

// A running is a member that was started.
type running struct {
	member
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when run has ended
	err    error         // what run returned, or its panic; read after done
	judged bool          // err has been looked at
}

func (r *groupRun) start(ctx context.Context, m member) {
	// The end of ctx must not reach the members, because Run stops them in its own order.
	memberCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	run := &running{member: m, cancel: cancel, done: make(chan struct{})}
	r.running = append(r.running, run)
	begun := make(chan struct{})
	go func() {
		var returned error
		failed := guard.Call(func() {
			close(begun)
			returned = m.run(memberCtx)
		})
		run.err = cmp.Or(failed, returned)
		close(run.done)
		r.ended <- run
	}()
	<-begun
	r.log.Debug("member started", slog.String("member", m.name))
}

// wait blocks until there is a reason to stop. It returns the cause for the members' contexts, or nil if all members
// have ended by themselves.
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

// stop cancels the members, the last first. If some of them still run after the timeout, it returns an error that names
// them.
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
	var late []string
	for _, run := range r.running {
		// Once the timer has fired, no other member is waited for.
		if len(late) == 0 && endsBefore(run, all.C) || len(late) > 0 && hasEnded(run) {
			r.judge(run, true)
			continue
		}
		late = append(late, run.name)
	}
	if len(late) == 0 {
		return nil
	}
	return unfinished(r.timeout, late...)
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

// judge looks at what a member returned, once. It keeps the first failure and logs the others.
func (r *groupRun) judge(run *running, stopping bool) {
	if run.judged {
		return
	}
	run.judged = true
	if run.err == nil || stopping && stoppedCleanly(run.err) {
		r.log.Debug("member ended", slog.String("member", run.name))
		return
	}
	failure := fmt.Errorf("natsrun: member %s: %w", run.name, run.err)
	if failed, ok := errors.AsType[*guard.Error](run.err); ok && failed.Stack != nil {
		r.log.Error("member panicked", slog.Any("error", failure), slog.String("stack", string(failed.Stack)))
	}
	if r.failure != nil {
		r.log.Error("another member failed", slog.Any("error", failure))
		return
	}
	r.failure = failure
}
