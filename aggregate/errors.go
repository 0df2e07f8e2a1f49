package aggregate

import (
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
)

var (
	// ErrRejected means that a command's Decide returned an error. See [RejectedError].
	ErrRejected = errors.New("rejected")
	// ErrKeyReused means that a different command was done under the idempotency key. See [KeyError].
	ErrKeyReused = errors.New("idempotency key reused")
	// ErrKeyClosed means that a command with CloseKey closed the idempotency key. See [KeyError].
	ErrKeyClosed = errors.New("idempotency key closed")
	// ErrForeignEvent means that the aggregate's stream holds an event that is not one of the aggregate's.
	ErrForeignEvent = errors.New("event of another aggregate")
	// ErrInvalid means that New or NewUnique got a state type, a Config or a secret that it cannot use.
	ErrInvalid = errors.New("invalid repository")
	// ErrTaken means that a unique value has another owner. See [TakenError].
	ErrTaken = errors.New("value taken")
	// ErrInvalidCommand means that a command's idempotency key is not allowed, or that the command cannot have a key
	// because it cannot be compared with others.
	ErrInvalidCommand = errors.New("invalid command")
)

// RejectedError says that a command's Decide returned an error. It matches ErrRejected and unwraps to that error.
// Nothing was stored.
type RejectedError struct {
	Stream  eventstore.StreamID
	Version eventstore.Version // of the state that was decided on
	Err     error              // the error that Decide returned
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("aggregate: %s at version %d: %v: %v", e.Stream, e.Version, ErrRejected, e.Err)
}

// Is reports whether target is ErrRejected.
func (e *RejectedError) Is(target error) bool { return target == ErrRejected }

// Unwrap returns the error that Decide returned.
func (e *RejectedError) Unwrap() error { return e.Err }

// KeyError says that a command was refused for its idempotency key. It unwraps to ErrKeyReused if another command was
// done under the key, and to ErrKeyClosed if the key was closed. Nothing was stored. Send a new command under a new
// key; do not send a command again after its key was closed.
type KeyError struct {
	Stream  eventstore.StreamID
	Key     string
	Version eventstore.Version // of the first event of the commit that used or closed the key
	Err     error              // ErrKeyReused or ErrKeyClosed
}

func (e *KeyError) Error() string {
	advice := "another command was done under it: use a new key for a new command"
	if errors.Is(e.Err, ErrKeyClosed) {
		advice = "the work that the command was part of was given up: do not send it again"
	}
	return fmt.Sprintf("aggregate: %s: %v: %q, at version %d: %s", e.Stream, e.Err, e.Key, e.Version, advice)
}

// Unwrap returns ErrKeyReused or ErrKeyClosed.
func (e *KeyError) Unwrap() error { return e.Err }

// TakenError says that a claim or release of a [Unique] value was rejected. It matches ErrTaken and comes within a
// [RejectedError]. It does not hold the value, which may be personal.
type TakenError struct {
	Category string // of the value
	Owner    string // the present owner of the value
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("%v: this %s belongs to %q: choose another, or let its owner release it", ErrTaken, e.Category, e.Owner)
}

// Is reports whether target is ErrTaken.
func (e *TakenError) Is(target error) bool { return target == ErrTaken }
