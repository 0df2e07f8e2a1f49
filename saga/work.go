package saga

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/guard"
	"github.com/runnel-go/runnel/internal/hook"
	runners "github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/reactor"
)

// unfitError says why this release cannot run a saga.
type unfitError struct{ reason error }

func (e *unfitError) Error() string { return e.reason.Error() }
func (e *unfitError) Unwrap() error { return e.reason }

// claim makes a saga that is due the runner's: one that nobody has claimed, whose claim is over, or whose deadline
// passes. It returns an unfitError, and writes nothing, if this release cannot run the saga.
func (r *runner[S]) claim(ctx context.Context, in *instance[S]) error {
	due := in.status
	if due.State == StateWaiting && !r.m.passed(due.Current().Deadline) {
		return errNotOurs // it is looked at again
	}
	if in.head.Version == 0 { // all that is known of it is its status
		whole, err := r.m.load(ctx, in.id)
		if err != nil {
			return orUnfit(err)
		}
		*in = whole
	}
	final := in.status.State.Final()
	if !final {
		if err := r.fits(ctx, in); err != nil {
			return err
		}
	}
	r.mu.Lock()
	r.agenda.fits(in.id)
	r.mu.Unlock()
	if final || in.status.Version > due.Version {
		r.note(*in) // what it is now says when it is due
		return errNotOurs
	}
	claimed := *r.m.claimFor(r)
	if due.State == StateWaiting {
		return r.change(ctx, in, expire(claimed, due.Current().Name))
	}
	return r.change(ctx, in, r.m.definition.claim(claimed, due.Claims))
}

// fits returns an unfitError if this release cannot run a saga as it is, or cannot take the event that its step has
// received.
func (r *runner[S]) fits(ctx context.Context, in *instance[S]) error {
	d := r.m.definition
	if err := d.fits(&in.status); err != nil {
		return &unfitError{err}
	}
	if _, err := d.decode(in); err != nil {
		return &unfitError{err}
	}
	current := in.status.Current()
	if in.status.State != StateRunning || current.State != UnderWay || current.Received == 0 {
		return nil
	}
	_, _, err := r.m.heard(ctx, in)
	if _, unfit := errors.AsType[*unfitError](err); unfit {
		return err
	}
	return nil // the work on the saga meets any other error again
}

// orUnfit is an error of loading a saga: an unfitError if a later release has written what this one does not know.
func orUnfit(err error) error {
	if errors.Is(err, eventstore.ErrUnknownType) || errors.Is(err, eventstore.ErrUndecodable) {
		return &unfitError{err}
	}
	return err
}

// change is Manager.change, of which the agenda is told. Everything that is written of a saga which the runner has
// claimed is a sign of life for others, from when they hear of it, so it lengthens the claim.
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
		var unfit *unfitError
		if err != nil && (ctx.Err() != nil || errors.As(err, &unfit)) {
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

// withMetadata returns a context with which appends belong to the saga.
func (r *runner[S]) withMetadata(ctx context.Context, in *instance[S]) context.Context {
	stream := r.m.stream(in.id).String()
	return eventstore.WithMetadata(ctx, eventstore.Metadata{
		Correlation: cmp.Or(in.meta.Correlation, stream), Causation: stream + "/" + strconv.FormatUint(uint64(in.status.Version), 10),
		TraceParent: in.meta.TraceParent, TraceState: in.meta.TraceState,
	})
}

// giveBack lets others go on at once with a saga that this runner cannot go on with. If it cannot tell them, they go
// on when the claim is over.
func (r *runner[S]) giveBack(ctx context.Context, in *instance[S]) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.m.cfg.Claim)
	defer cancel()
	err := r.m.change(ctx, in, owned(r.id, only(sagaevent.Released{Runner: r.id})))
	if err != nil && !errors.Is(err, errNotOurs) {
		r.logger.Warn("saga: not given back", "id", in.id, "error", err)
	}
}

// act does the next thing that a claimed saga needs, and writes down what came of it.
func (r *runner[S]) act(ctx context.Context, in *instance[S]) error {
	d := r.m.definition
	if err := d.fits(&in.status); err != nil {
		return &unfitError{err}
	}
	data, err := d.decode(in)
	if err != nil {
		return &unfitError{err}
	}
	current := in.status.Current()
	step, _ := d.find(current.Name)
	switch {
	case in.status.Back && current.State != Undoing: // a release stopped there that has no Undo for what comes next
		return r.change(ctx, in, owned(r.id, func(s Status) ([]eventstore.Event, error) { return d.backward(&s, s.At), nil }))
	case current.State == Ahead: // its deadline is yet to be set
		return r.beginStep(ctx, in, data)
	case step.await != nil && current.Received == 0:
		return r.late(ctx, in, step, data)
	case step.await != nil:
		whole := *in
		data, err = holding(ctx, r, in, 0, func(ctx context.Context) (S, error) { return r.take(ctx, &whole, data) })
		if _, unfit := errors.AsType[*unfitError](err); unfit || nothingKnown(ctx, err) || err != nil && !reactor.IsPermanent(err) && runners.Passing(err) {
			return err // nothing is known against the event
		}
		return r.settle(ctx, in, outcome[S]{data: data, failed: err})
	case current.State == Undoing:
		data, err = r.perform(ctx, in, step.do.undo, step.do.timeout, data)
	default:
		data, err = r.perform(ctx, in, step.do.do, step.do.timeout, data)
	}
	if nothingKnown(ctx, err) {
		return err
	}
	return r.settle(ctx, in, outcome[S]{data: data, failed: err, retry: step.do.retry})
}

// beginStep begins the step that a saga is at.
func (r *runner[S]) beginStep(ctx context.Context, in *instance[S], data S) error {
	s := in.status
	next, err := holding(ctx, r, in, 0, func(context.Context) (due, error) {
		return r.m.definition.due(&s, s.At, data, r.m.ahead()), nil
	})
	if err != nil {
		return err
	}
	return r.change(ctx, in, owned(r.id, func(s Status) ([]eventstore.Event, error) {
		return r.m.definition.onward(&s, s.At, next), nil
	}))
}

// settle writes down how a try ended. The end of a try is written down even if the runner ends meanwhile.
func (r *runner[S]) settle(ctx context.Context, in *instance[S], o outcome[S]) error {
	ctx = context.WithoutCancel(ctx)
	if o.failed == nil {
		var err error
		if o, err = r.prepare(ctx, in, o); err != nil {
			return err
		}
	}
	err := r.write(ctx, in, o)
	if o.failed == nil && (errors.Is(err, eventstore.ErrTooLarge) || errors.Is(err, eventstore.ErrInvalidEvents)) {
		o.failed = Permanent(fmt.Errorf("what it led to cannot be written down: %w", err))
		return r.write(ctx, in, o)
	}
	return err
}

// write appends what follows from an outcome.
func (r *runner[S]) write(ctx context.Context, in *instance[S], o outcome[S]) error {
	ctx, cancel := context.WithTimeout(ctx, r.m.cfg.Claim)
	defer cancel()
	return r.change(ctx, in, owned(r.id, func(s Status) ([]eventstore.Event, error) {
		return r.m.definition.settle(&s, o, time.Now()), nil
	}))
}

// prepare is prepared that holds the claim if functions of the user are called.
func (r *runner[S]) prepare(ctx context.Context, in *instance[S], o outcome[S]) (outcome[S], error) {
	d := r.m.definition
	if !d.shape.Calls() && !d.awaitsNext(&in.status) {
		return d.prepared(in, o, r.m.ahead()), nil
	}
	whole := *in
	return holding(ctx, r, in, 0, func(context.Context) (outcome[S], error) { return d.prepared(&whole, o, r.m.ahead()), nil })
}

// prepared is the outcome of what succeeded, with what the definition's functions say of it.
func (d *Definition[S]) prepared(in *instance[S], o outcome[S], now time.Time) outcome[S] {
	changed, err := d.changed(in, o.data)
	if err != nil {
		o.failed = Permanent(err)
		return o
	}
	o.changed = changed
	if in.status.Current().State == UnderWay {
		o.next = d.due(&in.status, in.status.At+1, o.data, now)
	}
	return o
}

// late goes on with a saga whose deadline has passed: with an event that stands in the log before that, in whichever
// way it was missed, or else as the step says.
func (r *runner[S]) late(ctx context.Context, in *instance[S], step step[S], data S) error {
	if len(step.await.events) > 0 {
		found, err := r.ask(ctx, in)
		if err != nil {
			return err
		}
		for _, received := range found {
			if err := r.change(ctx, in, owned(r.id, receive(received, nil))); err != nil {
				return err
			}
		}
		if in.status.Runner != r.id || in.status.Current().Received > 0 {
			return nil
		}
	}
	if step.await.otherwise == nil {
		missed := fmt.Errorf("no answer until %s", in.status.Current().Deadline.Format(time.RFC3339))
		return r.settle(ctx, in, outcome[S]{data: data, failed: Permanent(missed)})
	}
	id := in.id // the claim in it is renewed beside the call
	data, err := holding(ctx, r, in, 0, func(context.Context) (S, error) {
		return r.m.definition.pure(id, step.name, "Else", data, func() (S, error) { return step.await.otherwise(data) })
	})
	if nothingKnown(ctx, err) {
		return err
	}
	return r.settle(ctx, in, outcome[S]{data: data, failed: err})
}

// nothingKnown reports whether an error says nothing about the step: the runner ends, or the claim was lost.
func nothingKnown(ctx context.Context, err error) bool {
	return errors.Is(err, errNotOurs) || err != nil && ctx.Err() != nil
}

// ask searches the log for what a saga awaits, from what started it up to where its deadline passed.
func (r *runner[S]) ask(ctx context.Context, in *instance[S]) ([]sagaevent.EventReceived, error) {
	q := &question{saga: in.id, after: in.status.origin(), until: in.status.Current().PassedAt}
	return holding(ctx, r, in, 0, func(ctx context.Context) ([]sagaevent.EventReceived, error) {
		err := r.m.ask(ctx, q)
		if err != nil {
			return nil, err
		}
		return q.found, nil
	})
}

// take returns the data after the event that a step awaited.
func (r *runner[S]) take(ctx context.Context, in *instance[S], data S) (S, error) {
	event, by, err := r.m.heard(ctx, in)
	if err != nil {
		return data, err
	}
	return r.m.definition.pure(in.id, in.status.Current().Name, "what takes the event", data, func() (S, error) { return by.take(data, event) })
}

// perform runs an action. The action's context ends with the runner, when the action's time is over, and when the
// runner cannot be sure of its claim any more, by its own clock or by the log.
func (r *runner[S]) perform(ctx context.Context, in *instance[S], action Action[S], limit time.Duration, data S) (S, error) {
	if time.Now().After(in.until) {
		if err := r.renew(ctx, in); err != nil {
			return data, fmt.Errorf("%w: %w", errNotOurs, err)
		}
	}
	call := r.call(in)
	after, err := holding(ctx, r, in, limit, func(ctx context.Context) (S, error) {
		after, err := r.within(ctx, action, call, data)
		return after, plainly(err)
	})
	if err == nil {
		return after, nil
	}
	var broken *guard.Error
	if errors.As(err, &broken) && len(broken.Stack) > 0 {
		r.logger.Error("saga: an action panicked", "id", in.id, "step", call.step, "error", err, "stack", string(broken.Stack))
	}
	return data, err
}

// within calls an action, within the hook if there is one.
func (r *runner[S]) within(ctx context.Context, action Action[S], call Call, data S) (S, error) {
	if r.m.cfg.Around == nil {
		return action(ctx, call, data)
	}
	after := data
	err := hook.Run(ctx, r.m.cfg.Around, call, func(ctx context.Context) (err error) {
		after, err = action(ctx, call, data)
		return err
	})
	return after, err
}

// call says what the saga's current action is called for.
func (r *runner[S]) call(in *instance[S]) Call {
	current := in.status.Current()
	return Call{
		store: r.m.store.Identity(), saga: r.m.stream(in.id), step: current.Name, undo: current.State == Undoing, begun: current.Begun,
	}
}
