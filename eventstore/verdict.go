package eventstore

import (
	"context"
	"errors"
	"sync"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// verdict is the error with which everything ends once the log was found to be another, or to have lost its end.
type verdict struct {
	done chan struct{}

	mu    sync.Mutex // guards what follows
	err   error
	ended map[*context.CancelCauseFunc]struct{} // what is under way
}

// get returns the verdict, or nil if there is none.
func (v *verdict) get() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.err
}

// set makes err the verdict, unless there is one. It returns the verdict, and whether err is it.
func (v *verdict) set(err error) (first bool, verdict error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		return false, v.err
	}
	v.err = err
	close(v.done)
	for cancel := range v.ended {
		(*cancel)(err)
	}
	return true, err
}

// bind returns a context that ends with the verdict as its cause, and a function to call when it is not needed any
// more.
func (v *verdict) bind(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.err != nil {
		cancel(v.err)
	}
	if v.ended == nil {
		v.ended = make(map[*context.CancelCauseFunc]struct{})
	}
	v.ended[&cancel] = struct{}{}
	return ctx, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.ended, &cancel)
		cancel(nil)
	}
}

// isVerdict reports whether an error is final: the log was replaced, has lost its end, or is not the only one.
func isVerdict(err error) bool {
	return errors.Is(err, ErrLogRewound) || errors.Is(err, jsapi.ErrOtherStream)
}

// isDamage reports whether an error says something about the log itself, and not about the way to it.
func isDamage(err error) bool {
	return errors.Is(err, ErrCorrupt) || errors.Is(err, errDrifted) || isVerdict(err)
}
