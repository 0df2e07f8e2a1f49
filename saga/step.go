package saga

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/internal/defaults"
)

// Action is what a step does, or how it is undone. It is given the saga's data and returns what becomes of it; both are
// its own. Commands on aggregates are given [Call.Once], effects outside [Call.Key], so that they count once: an action
// may run again after it has done its work, also in another process while it still runs here. Its effects must follow
// from the data alone, so that they are the same then. It must end when ctx does.
type Action[S any] func(ctx context.Context, call Call, data S) (S, error)

// DoStep is a step that does something. [Step] makes such steps. Its methods change the step and return it.
type DoStep[S any] struct {
	name      string
	do        Action[S]
	undo      Action[S]
	nothing   bool // there is nothing to undo
	retriable bool
	retry     Retry
	timeout   time.Duration
}

// Step makes a step. It says with one of [DoStep.Undo], [DoStep.NoUndo] and [DoStep.Retriable] what becomes of it
// when the saga goes back.
//
// When Do returns an error, it is tried again as [DoStep.Retry] says, and then the saga goes back. It goes back at
// once if the error is a rejection by an aggregate or [Permanent]. A panic is an error.
func Step[S any](name string, do Action[S]) *DoStep[S] { return &DoStep[S]{name: name, do: do} }

// Undo is called when the saga goes back, for every step that has begun, the last one first, whether or not its Do
// came to an end or had any effect. It undoes what it finds, and closes the way to what may come late: see
// [Call.Once] and [Call.DoKey]. When it has failed as often as [DoStep.Retry] allows, or for good, the saga is stuck.
func (s *DoStep[S]) Undo(undo Action[S]) *DoStep[S] {
	s.undo = undo
	return s
}

// NoUndo says that nothing of the step has to be undone, even if its Do comes late, after the saga has ended: it
// only reads, say.
func (s *DoStep[S]) NoUndo() *DoStep[S] {
	s.nothing = true
	return s
}

// Retriable says that there is no return from the step on: once it has begun, the saga only goes forwards. When Do has
// failed as often as [DoStep.Retry] allows, or for good, the saga is stuck. All steps after it are retriable too.
func (s *DoStep[S]) Retriable() *DoStep[S] {
	s.retriable = true
	return s
}

// Retry says how often Do and Undo are tried. The default is the zero [Retry].
func (s *DoStep[S]) Retry(retry Retry) *DoStep[S] {
	s.retry = retry
	return s
}

// Timeout is after how long the context of one try ends. The default is 30 seconds.
func (s *DoStep[S]) Timeout(timeout time.Duration) *DoStep[S] {
	s.timeout = timeout
	return s
}

func (s *DoStep[S]) add(d *Definition[S]) error {
	ways := 0
	for _, way := range []bool{s.undo != nil, s.nothing, s.retriable} {
		if way {
			ways++
		}
	}
	switch {
	case s.do == nil:
		return fmt.Errorf("step %q has nothing to do", s.name)
	case ways != 1:
		return fmt.Errorf("step %q must have one of Undo, NoUndo and Retriable", s.name)
	}
	if err := errors.Join(s.retry.setDefaults(), defaults.Set("Timeout", &s.timeout, 30*time.Second)); err != nil {
		return fmt.Errorf("step %q: %w", s.name, err)
	}
	return d.addStep(step[S]{name: s.name, do: s})
}

// Retry says how often something is tried, and how long is waited between. The zero Retry has the defaults.
// [Define] refuses impossible values, such as negative ones.
type Retry struct {
	// Tries is how often it is tried at all; 1 is never again. Defaults to 10.
	Tries int
	// Backoff is the longest wait before the second try. It doubles with each, and the waits are random below it.
	// Defaults to 100 milliseconds.
	Backoff time.Duration
	// MaxBackoff is the longest wait before any try. Defaults to 30 seconds.
	MaxBackoff time.Duration
}

func (r *Retry) setDefaults() error {
	return errors.Join(
		defaults.Set("Tries", &r.Tries, 10),
		defaults.Set("Backoff", &r.Backoff, 100*time.Millisecond),
		defaults.Set("MaxBackoff", &r.MaxBackoff, 30*time.Second),
		defaults.Ordered("Backoff", &r.Backoff, "MaxBackoff", &r.MaxBackoff),
	)
}
