package saga

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/internal/guard"
)

// holding calls a function on a goroutine of its own, and renews the claim meanwhile. If the function panics or
// ends its goroutine, that is an error. A limit of 0 means no limit. The function has Config.Claim to return once
// its context has ended. Then it is left behind, as if its process were frozen: others may go on with the saga.
func holding[S, T any](ctx context.Context, r *runner[S], in *instance[S], limit time.Duration, f func(context.Context) (T, error)) (T, error) {
	var none T
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	limited := ctx
	if limit > 0 {
		var end context.CancelFunc
		limited, end = context.WithTimeout(ctx, limit)
		defer end()
	}
	step := in.status.Current().Name
	var value T // and failed: not looked at once the function is left behind
	var failed error
	done := guard.Go(func() { value, failed = f(limited) })
	renewal := time.NewTimer(r.untilRenewal(in))
	defer renewal.Stop()
	var overdue <-chan time.Time
	for over := limited.Done(); ; {
		select {
		case broken := <-done:
			if broken != nil {
				failed = fmt.Errorf("%s: %w", r.m.definition.where(in.id, step), broken)
			}
			if cause := context.Cause(ctx); failed != nil && errors.Is(cause, errNotOurs) {
				return none, cause
			}
			return value, failed
		case <-over:
			over, overdue = nil, time.After(r.m.cfg.Claim)
		case <-overdue:
			return none, fmt.Errorf("%s: it has not returned %v after its context ended, and is left behind: %w",
				r.m.definition.where(in.id, step), r.m.cfg.Claim, context.Cause(limited))
		case <-renewal.C:
			r.keep(ctx, in, cancel)
			renewal.Reset(r.untilRenewal(in))
		case <-r.lost(in.id):
			r.keep(ctx, in, cancel)
			renewal.Reset(r.untilRenewal(in))
		}
	}
}

// keep renews a claim, or cancels what is done under it if the runner cannot be sure of it any more.
func (r *runner[S]) keep(ctx context.Context, in *instance[S], cancel context.CancelCauseFunc) {
	if err := r.renew(ctx, in); err != nil && (errors.Is(err, errNotOurs) || time.Now().After(in.until)) {
		cancel(errNotOurs)
	}
}

// untilRenewal is how long a claim need not be renewed: a third of what it lasts.
func (r *runner[S]) untilRenewal(in *instance[S]) time.Duration {
	third := r.m.cfg.Claim / 3
	return max(time.Until(in.until)-2*third, third/4)
}

// renew renews a claim. It takes no longer than the claim is sure to last, or than another would if the claim is over.
func (r *runner[S]) renew(ctx context.Context, in *instance[S]) error {
	limit := in.until
	if now := time.Now(); now.After(limit) {
		limit = now.Add(r.m.cfg.Claim)
	}
	ctx, cancel := context.WithDeadline(context.WithoutCancel(ctx), limit)
	defer cancel()
	return r.change(ctx, in, owned(r.id, only(*r.m.claimFor(r))))
}

// lost is told when the log says that a saga which is worked on here may be another's.
func (r *runner[S]) lost(id string) <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.busy[id]
}
