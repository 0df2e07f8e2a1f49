package reactor

import (
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/internal/runner"
)

// ErrInvalid means that the name, the reactions or a value of a Config cannot be used, or that the checkpoint was
// deleted or holds something else.
var ErrInvalid = errors.New("invalid reactor")

// Errors of Run.
var (
	// ErrOtherStore means that the checkpoint was written for another store of the same name.
	ErrOtherStore = runner.ErrOtherStore
	// ErrRunning means that the reactor already runs in this Reactor.
	ErrRunning = runner.ErrRunning

	// errReplaced says that another runner has taken over.
	errReplaced = errors.New("another runner has taken over")
	// errAsked says that this runner has stopped for one that handles more. It is an errReplaced.
	errAsked = fmt.Errorf("%w: it handles more types of events", errReplaced)
)

// ErrNotParked means that the stream is not parked, or is handled again already.
var ErrNotParked = errors.New("stream not parked")

// Permanent marks an error as one that no repetition helps against: the receiver has answered, and refused. A reactor
// parks the stream at once, and a breaker counts the call as answered. Permanent(nil) is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// IsPermanent reports whether an error, or one that it wraps, was marked by [Permanent].
func IsPermanent(err error) bool {
	var permanent *permanentError
	return errors.As(err, &permanent)
}
