// Package backoff waits between tries: exponentially with full jitter, so that many callers that failed
// together do not return together. (The scheme is "full jitter" of Marc Brooker, "Exponential Backoff And
// Jitter", AWS Architecture Blog, 2015.)
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Policy bounds the waits. The zero Policy does not wait.
type Policy struct {
	Base time.Duration // the longest first wait
	Max  time.Duration // the longest wait at all
}

// Delay is the wait before try n: the first repetition is 1. It is above zero, and uniform up to Base doubled n-1
// times, at most Max. It is zero if Base or Max is.
func (p Policy) Delay(n int) time.Duration {
	limit := min(p.Base, p.Max)
	for ; n > 1 && limit > 0 && limit < p.Max; n-- {
		limit += min(limit, p.Max-limit) // this doubling never overflows
	}
	if limit <= 0 {
		return 0
	}
	return 1 + rand.N(limit)
}

// Wait blocks for Delay(n). If ctx ends before, it returns the cause of ctx.
func (p Policy) Wait(ctx context.Context, n int) error {
	timer := time.NewTimer(p.Delay(n))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Retry calls do until it returns nil, or an error for which again reports false, and returns that. It waits for
// Delay(1) after the first call, for Delay(2) after the second, and so on. If ctx ends in a wait, Retry returns the
// cause of ctx.
func (p Policy) Retry(ctx context.Context, again func(error) bool, do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil || !again(err) {
			return err
		}
		if err := p.Wait(ctx, try); err != nil {
			return err
		}
	}
}
