package aggregate

import (
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
)

var (
	// ErrRejected means that the domain said no. See [RejectedError].
	ErrRejected = errors.New("rejected")
	// ErrKeyReused means that the idempotency key stands for a different command. See [KeyReusedError].
	ErrKeyReused = errors.New("idempotency key reused")
	// ErrKeyClosed means that the idempotency key was closed by CloseKey. See [KeyClosedError].
	ErrKeyClosed = errors.New("idempotency key closed")
	// ErrForeignEvent means that the aggregate's stream holds an event that is not one of the aggregate's.
	ErrForeignEvent = errors.New("event of another aggregate")
	// ErrPositionAhead means that the log does not have the position that IssuedAt names. It is the one of package
	// eventstore.
	ErrPositionAhead = eventstore.ErrPositionAhead
	// ErrInvalidState means that the state type cannot be used as it is.
	ErrInvalidState = errors.New("invalid state type")
	// ErrOtherSnapshots means that the snapshots were opened for another store or category than the repository's.
	ErrOtherSnapshots = errors.New("snapshots of other aggregates")
	// ErrTaken means that a unique value is another's. See [TakenError].
	ErrTaken = errors.New("value taken")
	// ErrInvalidSecret means that the secret of unique values is too short to keep them.
	ErrInvalidSecret = errors.New("invalid secret")
	// ErrInvalidCommand means that the command cannot be compared with others, so it cannot have a key, that its key is not
	// allowed, or that it has none where one is needed.
	ErrInvalidCommand = errors.New("invalid command")
)

// RejectedError says that a command's Decide returned an error. It matches ErrRejected and unwraps to that error.
// Nothing was stored.
type RejectedError struct {
	Stream  eventstore.StreamID
	Version eventstore.Version // of the state that decided
	Err     error              // what Decide returned
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("aggregate: %s at version %d: %v: %v", e.Stream, e.Version, ErrRejected, e.Err)
}

// Is reports whether target is ErrRejected.
func (e *RejectedError) Is(target error) bool { return target == ErrRejected }

// Unwrap gives what Decide returned.
func (e *RejectedError) Unwrap() error { return e.Err }

// KeyReusedError says that a key was used before, for another command. It matches ErrKeyReused. Nothing was stored: send
// the command under a key of its own.
type KeyReusedError struct {
	Stream  eventstore.StreamID
	Key     string
	Version eventstore.Version // of the first event that was stored under the key
}

func (e *KeyReusedError) Error() string {
	return fmt.Sprintf("aggregate: %s: %v: %q stands for the command that gave version %d: use a new key for a new command",
		e.Stream, ErrKeyReused, e.Key, e.Version)
}

// Is reports whether target is ErrKeyReused.
func (e *KeyReusedError) Is(target error) bool { return target == ErrKeyReused }

// TakenError is why a claim of a [Unique] value, or its release, was rejected. It matches ErrTaken, and comes within a
// [RejectedError]. It does not hold the value, which may be personal.
type TakenError struct {
	Category string // of the value
	Owner    string // whose the value is
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("%v: this %s belongs to %q: choose another, or let its owner release it", ErrTaken, e.Category, e.Owner)
}

// Is reports whether target is ErrTaken.
func (e *TakenError) Is(target error) bool { return target == ErrTaken }
