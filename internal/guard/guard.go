// Package guard runs code of the user so that it can harm nobody but itself.
//
// Such code may panic, may end its goroutine with [runtime.Goexit], and may never return. [Call] guards one call at the
// price of a goroutine. [Run] guards many calls, one after the other, at the price of one goroutine for all of them:
//
//	caller     Run ----------- watches how long the call under way lasts --------- returns
//	goroutine      \- work: Call(f1), Call(f2), ... ------------------------------/
//
// After a call that panics, the work goes on: Calls.Call returns the error. A call that ends its goroutine, or
// lasts too long, ends the work as well. Then Run returns the error, and its caller begins another Run after
// that call.
package guard

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Error says how a call failed to return. Exactly one of Panic, Goexit and Lasted is set.
type Error struct {
	Panic  any           // what it panicked with
	Goexit bool          // it ended its goroutine
	Lasted time.Duration // it has not returned for at least this time, and its goroutine goes on
	Stack  []byte        // of the call, if it panicked
	text   string        // of Panic, since that may have methods of the user
	cause  *tamed        // Panic, if that is an error
}

// Error says what happened, as the rest of a sentence that begins with the name of the call. It calls no code of the
// user.
func (e *Error) Error() string {
	switch {
	case e.Goexit:
		return "ended its goroutine with runtime.Goexit"
	case e.Lasted > 0:
		return fmt.Sprintf("has not returned for %v", e.Lasted)
	}
	return "panicked: " + e.text
}

// Is reports whether the call panicked with an error that matches target.
func (e *Error) Is(target error) bool { return e.cause != nil && e.cause.Is(target) }

// As finds target in the error that the call panicked with.
func (e *Error) As(target any) bool { return e.cause != nil && e.cause.As(target) }

// Call runs f on a goroutine of its own, and blocks until f returns, panics, or ends its goroutine. It returns nil or
// an [*Error].
func Call(f func()) error { return <-Go(f) }

// Go is [Call] that does not block: what Call returns comes on the channel.
func Go(f func()) <-chan error {
	ended := make(chan error, 1)
	go func() {
		var err error = &Error{Goexit: true}
		defer func() { ended <- err }()
		err = new(Calls).Call(f)
	}()
	return ended
}

// CallWithin is [Call] with a limit. It returns an [*Error] with Lasted if f has not returned for that time, or
// up to a quarter longer. Then it leaves the goroutine of f behind, and whatever f still does must harm nobody.
// 0 means no limit.
func CallWithin(limit time.Duration, f func()) error {
	var failed error
	if err := Run(limit, func(c *Calls) { failed = c.Call(f) }); err != nil {
		return err // f may still return, so do not read failed
	}
	return failed
}

// Calls makes the calls of one [Run]. Only the goroutine of the work may use it.
type Calls struct {
	turn atomic.Uint64 // odd while a call is under way, and givenUp once Run has left
}

// givenUp is the turn of a work that Run has given up.
const givenUp = 1 << 63

// Run runs work on a goroutine of its own, and blocks until it returns. It returns an [*Error] if a call of the
// work has ended the goroutine, or has lasted for limit or up to a quarter longer. Then the work has stopped
// within that call and never goes on after it. So the caller may use everything that the work has changed
// before. 0 means no limit. A panic of the work outside its calls is a mistake of this module, and ends the
// process.
func Run(limit time.Duration, work func(*Calls)) error {
	c, done, finished := &Calls{}, make(chan struct{}), false
	go func() {
		defer close(done)
		work(c)
		finished = true
	}()
	if limit > 0 && !c.watch(limit, done) {
		return &Error{Lasted: limit}
	}
	<-done
	if !finished {
		return &Error{Goexit: true}
	}
	return nil
}

// looks is the number of times that Run looks at a call within its limit. A process that was frozen looks once
// when it wakes, so that the time for which it stood still does not count for the call.
const looks = 4

// watch blocks until the work is done. It returns false if it has given up a call that lasts too long.
func (c *Calls) watch(limit time.Duration, done <-chan struct{}) bool {
	look := time.NewTicker(max(limit/looks, 1))
	defer look.Stop()
	seen, same := uint64(0), 0
	for {
		select {
		case <-done:
			return true
		case <-look.C:
		}
		now := c.turn.Load()
		if now%2 == 0 || now != seen {
			seen, same = now, 0
			continue
		}
		if same++; same >= looks && c.turn.CompareAndSwap(now, givenUp) {
			return false
		}
	}
}

// Call runs f. It returns an [*Error] if f panics. It does not return if f ends the goroutine, or if Run has
// given up f. Then the deferred functions of the work run, and must touch nothing that the caller of Run still
// uses.
func (c *Calls) Call(f func()) (err error) {
	turn := c.turn.Add(1)
	defer func() {
		if p := recover(); p != nil {
			// The text is made here, because here the methods of p are guarded as well.
			failed := &Error{Panic: p, Stack: debug.Stack(), text: textOf(p)}
			if cause, ok := p.(error); ok {
				failed.cause = &tamed{text: failed.text, err: cause}
			}
			err = failed
		}
		if !c.turn.CompareAndSwap(turn, turn+1) {
			runtime.Goexit()
		}
	}()
	f()
	return nil
}

// Recover turns a panic into the error of the function that defers it, and tames any other error of that function. The
// function calls code of the user, so the error may be the user's.
func Recover(err *error) {
	if p := recover(); p != nil {
		*err = errors.New("panic: " + textOf(p))
		return
	}
	*err = tame(*err)
}
