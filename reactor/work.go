package reactor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/backoff"
)

// assignment is what a worker is to handle: the first event of a lane.
type assignment struct {
	lane  *lane
	event eventstore.Recorded
	done  int // of what it decodes to
}

// outcome is what became of an assignment.
type outcome struct {
	lane *lane
	done int
	err  error
}

// work handles assignments until there are no more. It does not begin one whose session has ended.
func (s *session) work(ctx context.Context) {
	for a := range s.assignments {
		o := outcome{lane: a.lane, done: a.done, err: context.Cause(ctx)}
		if o.err == nil {
			o.done, o.err = s.reactor.handle(ctx, a.event, a.done)
		}
		s.results <- o
	}
}

// handle calls the reactions to one event, to several where it decodes to several, and gives how many are done.
func (r *Reactor) handle(ctx context.Context, event eventstore.Recorded, done int) (int, error) {
	decoded, err := event.Decode()
	if err != nil {
		return done, Permanent(err)
	}
	ctx = eventstore.WithMetadata(ctx, eventstore.Metadata{
		Correlation: event.Correlation, Causation: event.EventID(), TraceParent: event.TraceParent, TraceState: event.TraceState,
	})
	for _, one := range decoded[done:] {
		if err := r.call(ctx, one, event); err != nil {
			return done, err
		}
		done++
	}
	return done, nil
}

// call calls the reaction to one decoded event, if there is one. A panic of it is an error.
func (r *Reactor) call(ctx context.Context, event eventstore.Event, recorded eventstore.Recorded) (err error) {
	name, err := r.store.TypeOf(event)
	if err != nil {
		return Permanent(err) // unreachable: what Decode gives is registered and current
	}
	reaction, ok := r.reactions[name]
	if !ok {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the reaction to %q panicked: %v", name, p)
			r.logger.ErrorContext(ctx, "reactor: a reaction panicked", "event", recorded.EventID(), "panic", p, "stack", string(debug.Stack()))
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	return reaction.react(ctx, event, recorded)
}

// finish decides what comes after an outcome:
//
//	done                        the next event of the lane
//	a breaker is open           the lane waits for it; no attempt is counted
//	permanent, not decodable    the lane is parked
//	another error, a panic      again after a wait; after Config.Retries the lane is parked
func (s *session) finish(ctx context.Context, o outcome) {
	l := o.lane
	s.idle++
	l.state, l.done = laneIdle, o.done
	if o.err == nil {
		s.letThrough(l, nil)
		s.complete(l)
		return
	}
	if ctx.Err() != nil {
		return // it failed because the session ends
	}
	if open, ok := errors.AsType[*OpenError](o.err); ok {
		s.letThrough(l, open.breaker)
		s.holdAt(l, open)
		return
	}
	s.letThrough(l, nil)
	l.attempts++
	if IsPermanent(o.err) || l.attempts > s.reactor.cfg.Retries {
		s.park(ctx, l, o.err)
		return
	}
	wait := backoff.Policy{Base: s.reactor.cfg.Backoff, Max: s.reactor.cfg.MaxBackoff}.Delay(l.attempts)
	s.reactor.logger.WarnContext(ctx, "reactor: a reaction failed", "stream", l.stream.String(), "position", l.queue[0].event.Position,
		"attempt", l.attempts, "again in", wait, "error", o.err)
	s.tryLater(l, time.Now().Add(wait))
}

// complete goes on with the next event of a lane, its first being done.
func (s *session) complete(l *lane) {
	s.handled = true
	version := s.pop(l).event.Version()
	switch {
	case l.document == nil:
		s.makeReady(l)
		s.settle(l)
	case len(l.queue) > 0:
		s.replayedTo(l, version)
		s.makeReady(l)
	default:
		s.replayedTo(l, version)
		s.replays = append(s.replays, l) // there may be more since
		s.replaying--
	}
}
