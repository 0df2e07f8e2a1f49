package reactor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/guard"
	"github.com/runnel-go/runnel/internal/hook"
	"github.com/runnel-go/runnel/internal/inside"
)

// assignment is what a worker is to handle: the first event of a lane.
type assignment struct {
	lane  *lane
	event eventstore.Recorded
	done  int       // of what it decodes to
	until time.Time // when another instance may have taken over
}

// outcome is what became of an assignment.
type outcome struct {
	lane *lane
	done int
	late bool     // it was not begun, because another instance may have taken over
	err  *failure // or nil
}

// failure is the error of a reaction without any code of the user.
type failure struct {
	text      string
	permanent bool
	breaker   *Breaker // that has refused the call, or nil
}

func (f *failure) Error() string { return f.text }

// failureOf reads the error of a call that began at a time. It calls methods of the error, which may be the user's.
//
// The error of a breaker may have been kept from before the call. Then it counts only if the breaker still refuses
// calls, since nothing else would end the wait for it.
func failureOf(err error, begun time.Time) *failure {
	f := &failure{text: err.Error(), permanent: IsPermanent(err)}
	if open, ok := errors.AsType[*OpenError](err); ok && open.breaker != nil {
		if refuses, _ := open.breaker.refuses(); refuses || !open.made.Before(begun) {
			f.breaker = open.breaker
		}
	}
	return f
}

// work handles assignments until there are no more. It does not begin one after the session has ended, or after
// another instance may have taken over, as when the process was frozen.
func (s *session) work(ctx context.Context) {
	for a := range s.assignments {
		o := outcome{lane: a.lane, done: a.done}
		if ctx.Err() != nil || !time.Now().Before(a.until) {
			o.late = true
		} else {
			o.done, o.err = s.reactor.handle(ctx, a.event, a.done)
		}
		s.results <- o
	}
}

// patience is how many times its timeout a reaction, or a call of a breaker, may last before it is left behind.
const patience = 2

// handle calls the reactions to one event, to several if it decodes to several, and returns how many are done.
// Nothing that the user's code does harms anybody but the event's stream.
func (r *Reactor) handle(ctx context.Context, event eventstore.Recorded, done int) (int, *failure) {
	h := handling{reactor: r, event: event, done: done}
	err := guard.Run(patience*r.cfg.Timeout, func(calls *guard.Calls) { h.run(ctx, calls) })
	if err == nil {
		return h.done, h.failed
	}
	lasted := false
	if stopped, ok := errors.AsType[*guard.Error](err); ok {
		lasted = stopped.Lasted > 0
	}
	// A call that goes on must not be made once more beside itself.
	return h.done, &failure{text: fmt.Sprintf("%s: %v", h.step, err), permanent: lasted || h.decoding}
}

// handling is one event in the hands of a worker.
type handling struct {
	reactor  *Reactor
	event    eventstore.Recorded
	done     int
	decoding bool
	step     string // what is done now, for errors
	failed   *failure
}

func (h *handling) run(ctx context.Context, calls *guard.Calls) {
	decoded, failed := h.decode(calls)
	if failed != nil {
		h.failed = failed
		return
	}
	event := h.event
	ctx = eventstore.WithMetadata(ctx, eventstore.Metadata{
		Correlation: event.Correlation, Causation: event.EventID(), TraceParent: event.TraceParent, TraceState: event.TraceState,
	})
	for _, one := range decoded[min(h.done, len(decoded)):] {
		if h.failed = h.call(ctx, calls, one); h.failed != nil {
			return
		}
		h.done++
	}
}

func (h *handling) decode(calls *guard.Calls) (decoded []eventstore.Event, failed *failure) {
	h.step, h.decoding = "the decoding of the event", true
	begun := time.Now()
	stopped := calls.Call(func() {
		var err error
		if decoded, err = h.event.Decode(); err != nil {
			failed = failureOf(Permanent(err), begun)
		}
	})
	h.decoding = false
	if stopped != nil {
		failed = &failure{text: fmt.Sprintf("%s: %v", h.step, stopped), permanent: true}
	}
	return decoded, failed
}

// call calls the reaction to one decoded event, if there is one.
func (h *handling) call(ctx context.Context, calls *guard.Calls, event eventstore.Event) (failed *failure) {
	r, begun := h.reactor, time.Now()
	name, err := eventstore.Inside(inside.Pass{}, r.store).TypeOf(event)
	if err != nil {
		return failureOf(Permanent(err), begun) // unreachable: what Decode returns is registered and current
	}
	reaction, ok := r.reactions[name]
	if !ok {
		return nil
	}
	h.step = fmt.Sprintf("the reaction to %q", name)
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	stopped := calls.Call(func() {
		if err := r.react(ctx, reaction, event, h.event); err != nil {
			failed = failureOf(err, begun)
		}
	})
	if stopped == nil {
		return failed
	}
	if panicked, ok := errors.AsType[*guard.Error](stopped); ok {
		r.logger.ErrorContext(ctx, "reactor: a reaction panicked", "event", h.event.EventID(), "panic", panicked.Error(), "stack", string(panicked.Stack))
	}
	return &failure{text: fmt.Sprintf("%s: %v", h.step, stopped)}
}

// react calls a reaction, within the hook if there is one.
func (r *Reactor) react(ctx context.Context, reaction Reaction, event eventstore.Event, recorded eventstore.Recorded) error {
	if r.cfg.Around == nil {
		return reaction.react(ctx, event, recorded)
	}
	return hook.Run(ctx, r.cfg.Around, recorded, func(ctx context.Context) error {
		return reaction.react(ctx, event, recorded)
	})
}

// finish decides what comes after an outcome:
//
//	done                                  the next event of the lane
//	not begun                             again, if this instance still runs
//	a breaker has refused the call        the lane waits for it; no attempt is counted
//	permanent, not decodable, lasts on    the lane is parked
//	another error, a panic, Goexit        again after a wait; after Config.Retries the lane is parked
func (s *session) finish(ctx context.Context, o outcome) {
	l := o.lane
	s.idle++
	l.state, l.queue[0].done = laneIdle, o.done
	switch {
	case o.late:
		s.lanes.makeReady(l)
	case o.err == nil:
		s.lanes.letThrough(l, nil)
		s.complete(l)
	case ctx.Err() != nil && !o.err.permanent:
		// It failed because the session ends.
	case o.err.breaker != nil:
		s.lanes.letThrough(l, o.err.breaker)
		s.lanes.holdAt(l, o.err.breaker)
	default:
		s.lanes.letThrough(l, nil)
		s.retryOrPark(ctx, l, o.err)
	}
}

func (s *session) retryOrPark(ctx context.Context, l *lane, failed *failure) {
	l.attempts++
	if failed.permanent || l.attempts > s.reactor.cfg.Retries {
		s.parking.park(ctx, l, failed)
		return
	}
	wait := backoff.Policy{Base: s.reactor.cfg.Backoff, Max: s.reactor.cfg.MaxBackoff}.Delay(l.attempts)
	s.reactor.logger.WarnContext(ctx, "reactor: a reaction failed", "stream", l.stream.String(), "position", l.queue[0].event.Position,
		"attempt", l.attempts, "again in", wait, "error", failed.text)
	s.lanes.tryLater(l, time.Now().Add(wait))
}

// complete goes on with the next event of a lane, because the first is done.
func (s *session) complete(l *lane) {
	s.handled = true
	done := s.lanes.pop(l)
	if done.passage == nil {
		s.parking.replayed(l, done.event.Version())
		return
	}
	s.lanes.makeReady(l)
	s.parking.forget(l)
}
