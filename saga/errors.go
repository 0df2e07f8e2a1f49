package saga

import (
	"errors"
	"fmt"

	runners "github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/reactor"
)

var (
	// ErrInvalidDefinition means that a definition or a value of its Config cannot be used, or that the store does not
	// know what the definition needs.
	ErrInvalidDefinition = errors.New("invalid definition")
	// ErrInvalidID means that the id cannot name a saga.
	ErrInvalidID = errors.New("invalid id of a saga")
	// ErrInvalidData means that the data cannot be written down.
	ErrInvalidData = errors.New("invalid data")
	// ErrNotFound means that no saga was started under the id.
	ErrNotFound = errors.New("no such saga")
	// ErrOtherData means that a saga was started under the id before, with other data.
	ErrOtherData = errors.New("started before with other data")
	// ErrState means that what was asked for cannot be done to the saga as it is. See [StateError].
	ErrState = errors.New("not possible in this state")
	// ErrRunning means that the manager runs already.
	ErrRunning = runners.ErrRunning

	// errNotOurs ends the work on a saga that another runner may have: the claim is over, or the history went on
	// without us.
	errNotOurs = errors.New("the saga is not ours any more")
)

// StateError says why something cannot be done to a saga. It matches ErrState. Nothing was changed.
type StateError struct {
	Definition, Saga string
	State            State
	Reason           string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("saga: %s/%s is %s: %s", e.Definition, e.Saga, e.State, e.Reason)
}

// Is reports whether target is ErrState.
func (e *StateError) Is(target error) bool { return target == ErrState }

// Permanent marks an error of Do or Undo as one that no other try helps against. After such an error of Do the saga
// goes back at once, and after one of Undo it is stuck. It is reactor.Permanent, so that one function can serve both.
func Permanent(err error) error { return reactor.Permanent(err) }
