package saga

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/reactor"
)

// claim makes a saga that is due the runner's: one that nobody has claimed, whose claim is over, or whose deadline passes.
func (r *runner[S]) claim(ctx context.Context, in *instance[S]) (err error) {
	due := in.status
	if in.head.Version == 0 { // all that is known of it is its status
		if *in, err = r.m.load(ctx, in.id); err != nil {
			return err
		}
	}
	decide := r.m.definition.claim(r.id, r.m.cfg.Claim, due.Claims)
	if due.State == StateWaiting {
		step := due.Current().Name
		received, err := r.m.receiveUnread(ctx, in, step)
		if err != nil {
			return err
		}
		decide = r.m.definition.expire(r.id, r.m.cfg.Claim, step)
		if received {
			decide = r.m.definition.claim(r.id, r.m.cfg.Claim, in.status.Claims)
		}
	}
	return r.change(ctx, in, decide)
}

// change is Manager.change, of which the agenda is told. Everything that is written of a saga which the runner has claimed is
// a sign of life for others, from when they hear of it, so it lengthens the claim.
func (r *runner[S]) change(ctx context.Context, in *instance[S], decide transition) error {
	now, version := time.Now(), in.status.Version
	err := r.m.change(ctx, in, decide)
	if err == nil && in.status.Version > version {
		in.until = now.Add(r.m.cfg.Claim)
	}
	if in.status.Version > 0 {
		r.note(*in)
	}
	return err
}

// work goes on with a claimed saga until it has ended, waits, or is not the runner's any more.
func (r *runner[S]) work(ctx context.Context, in *instance[S]) error {
	for in.status.Runner == r.id {
		err := ctx.Err()
		if err == nil {
			err = r.act(r.withMetadata(ctx, in), in)
		}
		if err != nil && ctx.Err() != nil {
			r.giveBack(ctx, in)
		}
		if err != nil {
			return err
		}
	}
	if in.status.State == StateStuck {
		r.logger.Warn("saga: stuck", "id", in.id, "step", in.status.Current().Name, "error", in.status.Error)
	}
	return nil
}

// withMetadata gives a context with which appends belong to the saga.
func (r *runner[S]) withMetadata(ctx context.Context, in *instance[S]) context.Context {
	stream := r.m.stream(in.id).String()
	return eventstore.WithMetadata(ctx, eventstore.Metadata{
		Correlation: cmp.Or(in.meta.Correlation, stream), Causation: fmt.Sprintf("%s/%d", stream, in.status.Version),
		TraceParent: in.meta.TraceParent, TraceState: in.meta.TraceState,
	})
}

// giveBack lets others go on at once with a saga when the runner ends. Where it cannot, they do when the claim is over.
func (r *runner[S]) giveBack(ctx context.Context, in *instance[S]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.m.cfg.Claim)
	defer cancel()
	err := r.m.change(ctx, in, owned(r.id, func(Status) ([]eventstore.Event, error) {
		return []eventstore.Event{Released{Runner: r.id}}, nil
	}))
	if err != nil && !errors.Is(err, errNotOurs) {
		r.logger.Warn("saga: not given back", "id", in.id, "error", err)
	}
}

// act does the next thing that a claimed saga needs, and writes down what came of it.
func (r *runner[S]) act(ctx context.Context, in *instance[S]) error {
	d := r.m.definition
	current := in.status.Current()
	step, _ := d.find(current.Name)
	data, err := d.decode(in)
	switch {
	case err != nil:
		return r.settle(ctx, in, data, Permanent(err), Retry{})
	case current.State == Ahead: // started by a manager that did not run
		return r.change(ctx, in, owned(r.id, func(s Status) ([]eventstore.Event, error) {
			return d.onward(&s, s.At, data, time.Now()), nil
		}))
	case step.await != nil:
		data, err = r.take(ctx, in, step.await, data)
		if err != nil && (ctx.Err() != nil || !reactor.IsPermanent(err) && interrupted(err)) {
			return err // nothing is known against the event
		}
		return r.settle(ctx, in, data, err, Retry{})
	case current.State == Undoing:
		data, err = r.perform(ctx, in, step.do.undo, step.do.tryFor(), data)
	default:
		data, err = r.perform(ctx, in, step.do.do, step.do.tryFor(), data)
	}
	if errors.Is(err, errNotOurs) || err != nil && ctx.Err() != nil {
		return err
	}
	return r.settle(ctx, in, data, err, step.do.retry)
}

// settle writes down how a try ended. What was done is written down even where the runner ends meanwhile.
func (r *runner[S]) settle(ctx context.Context, in *instance[S], data S, failed error, retry Retry) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.m.cfg.Claim)
	defer cancel()
	changed, err := r.m.definition.changed(in, data)
	if failed == nil {
		failed = Permanent(err)
	}
	return r.change(ctx, in, owned(r.id, func(s Status) ([]eventstore.Event, error) {
		return r.m.definition.outcome(&s, data, changed, failed, retry, time.Now()), nil
	}))
}

// outcome gives what follows from a try of what is under way.
func (d *Definition[S]) outcome(s *Status, data S, changed []byte, failed error, retry Retry, now time.Time) []eventstore.Event {
	current := s.Current()
	undo := current.State == Undoing
	switch {
	case failed == nil && undo:
		return append([]eventstore.Event{Undone{Step: current.Name, Data: changed}}, d.backward(s, s.At-1)...)
	case failed == nil:
		return append([]eventstore.Event{StepDone{Step: current.Name, Data: changed}}, d.onward(s, s.At+1, data, now)...)
	case final(failed) || s.Failures+1 >= retry.tries():
		return d.giveUp(s, textOf(failed))
	}
	again := now.Add(retry.policy().Delay(s.Failures + 1)).UTC()
	if undo {
		return []eventstore.Event{UndoFailed{Step: current.Name, Error: textOf(failed), Again: again}}
	}
	return []eventstore.Event{StepFailed{Step: current.Name, Error: textOf(failed), Again: again}}
}

// final reports whether no other try helps against an error.
func final(err error) bool {
	return reactor.IsPermanent(err) || errors.Is(err, aggregate.ErrRejected) || errors.Is(err, aggregate.ErrKeyClosed) ||
		errors.Is(err, aggregate.ErrKeyReused) || errors.Is(err, aggregate.ErrInvalidCommand)
}

// take gives the data after what a step awaited, or after its deadline.
func (r *runner[S]) take(ctx context.Context, in *instance[S], await *AwaitStep[S], data S) (S, error) {
	received := in.status.Current().Received
	if received == nil {
		return pure(data, func() (S, error) { return await.otherwise(data) })
	}
	c, err := r.m.store.At(ctx, received.Position)
	if err != nil {
		return data, fmt.Errorf("the event at position %d cannot be read: %w", received.Position, err)
	}
	if c == nil {
		return data, Permanent(fmt.Errorf("the log ends before the event at position %d", received.Position))
	}
	event, name, err := r.m.awaited(eventstore.Recorded{Commit: c, Index: received.Index}, in.id, in.status.Current().Name)
	if err != nil {
		return data, fmt.Errorf("the event at position %d cannot be decoded: %w", received.Position, err)
	}
	if event == nil {
		return data, Permanent(fmt.Errorf("the event at position %d is none that the step awaits any more", received.Position))
	}
	for _, l := range r.m.listening[name] {
		if l.step == in.status.Current().Name {
			return pure(data, func() (S, error) { return l.take(data, event) })
		}
	}
	return data, nil
}

// pure calls a function of the definition that can only say yes or no: what it says does not change by itself.
func pure[S any](data S, f func() (S, error)) (after S, err error) {
	after = data
	defer func() {
		if p := recover(); p != nil {
			after, err = data, Permanent(fmt.Errorf("panic: %v", p))
		}
	}()
	after, err = f()
	return after, Permanent(err)
}

// perform runs an action and renews the claim meanwhile. The action's context ends with the runner, when its time is over, and
// when the runner cannot be sure of its claim any more, by its own clock or by the log; perform waits for it in any case.
func (r *runner[S]) perform(ctx context.Context, in *instance[S], action Action[S], limit time.Duration, data S) (S, error) {
	if time.Now().After(in.until) {
		if err := r.renew(ctx, in); err != nil {
			return data, fmt.Errorf("%w: %w", errNotOurs, err)
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limited, end := context.WithTimeout(ctx, limit)
	defer end()
	type outcome struct {
		data S
		err  error
	}
	done := make(chan outcome, 1)
	call := r.call(in)
	go func() {
		after, err := guarded(limited, call, data, action)
		done <- outcome{after, err}
	}()
	renewal := time.NewTimer(r.untilRenewal(in))
	defer renewal.Stop()
	for {
		select {
		case o := <-done:
			if cause := context.Cause(ctx); o.err != nil && errors.Is(cause, errNotOurs) {
				return data, cause
			}
			return o.data, o.err
		case <-renewal.C:
		case <-r.lost(in.id):
		}
		if err := r.renew(ctx, in); err != nil && (errors.Is(err, errNotOurs) || time.Now().After(in.until)) {
			cancel(errNotOurs)
		}
		renewal.Reset(r.untilRenewal(in))
	}
}

// untilRenewal is how long a claim need not be renewed: a third of what it lasts.
func (r *runner[S]) untilRenewal(in *instance[S]) time.Duration {
	third := r.m.cfg.Claim / 3
	return max(time.Until(in.until)-2*third, third/4)
}

// renew renews a claim. It takes no longer than that can be sure to last, or where it is over no longer than another would.
func (r *runner[S]) renew(ctx context.Context, in *instance[S]) error {
	limit := in.until
	if now := time.Now(); now.After(limit) {
		limit = now.Add(r.m.cfg.Claim)
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), limit)
	defer cancel()
	return r.change(ctx, in, renew(r.id, r.m.cfg.Claim))
}

// lost is told when the log says that a saga which is worked on here may be another's.
func (r *runner[S]) lost(id string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy[id]
}

// call says what the saga's current action is called for.
func (r *runner[S]) call(in *instance[S]) Call {
	current := in.status.Current()
	return Call{
		saga: r.m.stream(in.id), step: current.Name, undo: current.State == Undoing, begun: current.Begun, try: in.status.Failures + 1,
	}
}

// guarded makes an error of a panic.
func guarded[S any](ctx context.Context, call Call, data S, action Action[S]) (after S, err error) {
	defer func() {
		if p := recover(); p != nil {
			after, err = data, fmt.Errorf("panic: %v", p)
		}
	}()
	return action(ctx, call, data)
}
