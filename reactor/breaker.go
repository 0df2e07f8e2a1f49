package reactor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/runnel-go/runnel/internal/defaults"
)

// ErrOpen means that a [Breaker] keeps calls away from its downstream. See [OpenError].
var ErrOpen = errors.New("breaker open")

// OpenError says that a call was not made, or that its failure left the breaker open. It matches ErrOpen and its
// cause. A [Reactor] does not count it as a failure of the event: the stream waits until the breaker lets a call
// through. If the breaker does so already, an error that was made before the reaction began is a failure like any
// other.
type OpenError struct {
	Breaker string
	Until   time.Time // when it is worth trying again
	Err     error     // the failure that opened the breaker; nil if the call was not made
	breaker *Breaker
	made    time.Time
}

func (e *OpenError) Error() string {
	text := fmt.Sprintf("reactor: %v: %s fails: try again at %s", ErrOpen, e.Breaker, e.Until.Format(time.RFC3339Nano))
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Is reports whether target is ErrOpen.
func (e *OpenError) Is(target error) bool { return target == ErrOpen }

// Unwrap returns the cause.
func (e *OpenError) Unwrap() error { return e.Err }

// BreakerState says what a breaker does with calls.
type BreakerState string

// The states of a breaker. They are words for people and for metrics.
const (
	BreakerClosed   BreakerState = "closed"    // calls are made
	BreakerOpen     BreakerState = "open"      // calls are refused
	BreakerHalfOpen BreakerState = "half-open" // one call is made, to see whether the downstream is back
)

// BreakerConfig holds what NewBreaker needs beyond its arguments. A nil *BreakerConfig and the zero one give the
// defaults.
type BreakerConfig struct {
	// Failures is how many failures in a row open the breaker. Defaults to 5.
	Failures int
	// Cooldown is how long it stays open before it lets one call through: a random time between half of it and all of
	// it, so that many callers that failed together do not come back together. Defaults to 30 seconds.
	Cooldown time.Duration
}

// Breaker keeps calls away from a downstream that fails, so that it can come back and its callers need not wait for
// timeouts. Make one for each downstream and share it. It is safe for concurrent use.
//
//	closed --failures in a row--> open --cool-down--> half-open --success--> closed
//	                               ^                      |
//	                               +------- failure ------+
//
// (The circuit breaker of Michael Nygard, "Release It!", 2007.)
type Breaker struct {
	name string
	cfg  BreakerConfig

	mu       sync.Mutex // guards the fields below
	failures int        // in a row, while closed
	open     bool
	until    time.Time // when open turns into half-open
	probe    *attempt  // the one call of half-open, while it is under way
	period   int       // counts the changes of open: what was begun before one says nothing about the time after
}

// attempt is one call that is made.
type attempt struct {
	period int
	over   bool // it was counted
}

// NewBreaker makes a closed breaker. The name is the downstream's, for errors and for [Reactor.Status]. It returns an
// error that matches ErrInvalid for a negative value.
func NewBreaker(name string, cfg *BreakerConfig) (*Breaker, error) {
	b := &Breaker{name: name, cfg: defaults.Of(cfg)}
	err := errors.Join(
		defaults.Set("Failures", &b.cfg.Failures, 5),
		defaults.Set("Cooldown", &b.cfg.Cooldown, 30*time.Second),
	)
	if err != nil {
		return nil, fmt.Errorf("reactor: breaker %s: %w: %w", name, ErrInvalid, err)
	}
	return b, nil
}

// State returns what the breaker does with calls now.
func (b *Breaker) State() BreakerState {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case !b.open:
		return BreakerClosed
	case b.probe != nil || !time.Now().Before(b.until):
		return BreakerHalfOpen
	}
	return BreakerOpen
}

// Do makes a call, or returns an [OpenError] at once if the breaker is open. It returns what the call returns, in an
// OpenError if that left the breaker open. It blocks for as long as the call does.
//
// An error or a panic counts as a failure of the downstream, unless the error is [Permanent]: then the downstream has
// answered, and refused what it was asked. A call whose context was canceled counts for nothing. A call that ran out
// of time has failed.
//
// If the context ends after some time, and the call has not returned after twice that time, the call is given up. Then
// it counts as if it had returned an error, and what it returns later counts for nothing. So use a context that ends.
func (b *Breaker) Do(ctx context.Context, call func(ctx context.Context) error) error {
	a, err := b.enter()
	if err != nil {
		return err
	}
	defer b.watch(ctx, a)()
	counted := false
	defer func() {
		if !counted { // the call has panicked, or a method of its error
			_ = b.leave(ctx, a, errors.New("the call panicked"))
		}
	}()
	err = b.leave(ctx, a, call(ctx))
	counted = true
	return err
}

func (b *Breaker) enter() (*attempt, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if refuses, until := b.refusesLocked(); refuses {
		return nil, b.refusalLocked(until, nil)
	}
	a := &attempt{period: b.period}
	if b.open {
		b.probe = a
	}
	return a, nil
}

// refuses reports whether the next call is refused, and when it is worth trying again.
func (b *Breaker) refuses() (refuses bool, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusesLocked()
}

func (b *Breaker) refusesLocked() (refuses bool, until time.Time) {
	now := time.Now()
	if b.probe != nil {
		// How long the one call takes is not known; its end is worth waiting for.
		return true, now.Add(max(b.cfg.Cooldown/20, time.Millisecond))
	}
	return b.open && now.Before(b.until), b.until
}

// watch gives up a call that does not return, by the rule by which a reactor leaves a reaction behind. The caller ends
// the watch.
func (b *Breaker) watch(ctx context.Context, a *attempt) (end func() bool) {
	begun := time.Now()
	return context.AfterFunc(ctx, func() {
		time.AfterFunc((patience-1)*time.Since(begun), func() { _ = b.leave(ctx, a, errors.New("the call does not return")) })
	})
}

// leave counts the outcome of a call, unless it was counted already.
func (b *Breaker) leave(ctx context.Context, a *attempt, err error) error {
	failed := err != nil && !IsPermanent(err) // methods of the user, which may not return, are called without the lock
	canceled := failed && errors.Is(ctx.Err(), context.Canceled)
	b.mu.Lock()
	defer b.mu.Unlock()
	counts := !a.over && a.period == b.period
	a.over = true
	switch {
	case !counts:
	case canceled:
		b.probe = nil
		return err
	case failed:
		b.failures++
		if b.open || b.failures >= b.cfg.Failures {
			half := b.cfg.Cooldown / 2
			b.turnLocked(true, time.Now().Add(half+rand.N(half+1)))
		}
	case b.open:
		b.turnLocked(false, time.Time{})
	default:
		b.failures = 0
	}
	if failed && b.open {
		return b.refusalLocked(b.until, err)
	}
	return err
}

func (b *Breaker) turnLocked(open bool, until time.Time) {
	b.open, b.until, b.probe, b.failures = open, until, nil, 0
	b.period++
}

func (b *Breaker) refusalLocked(until time.Time, cause error) error {
	return &OpenError{Breaker: b.name, Until: until, Err: cause, breaker: b, made: time.Now()}
}
