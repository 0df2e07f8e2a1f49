// Package hook is the one home of the shape that the hooks of commands, reactions and saga actions share.
package hook

import (
	"context"
	"errors"
)

// ErrSkipped means that a hook neither ran its call nor returned an error.
var ErrSkipped = errors.New("Config.Around did not run it: call do, or return an error")

// Run runs do within a hook. It returns the error of the hook, or ErrSkipped if the hook returned nil without running
// do. Call it only if the hook is set, so that a hook that is not set costs nothing.
func Run[C any](
	ctx context.Context, around func(ctx context.Context, call C, do func(ctx context.Context) error) error,
	call C, do func(ctx context.Context) error,
) error {
	called := false
	err := around(ctx, call, func(ctx context.Context) error {
		called = true
		return do(ctx)
	})
	if err == nil && !called {
		return ErrSkipped
	}
	return err
}
