package inside

import (
	"context"
	"log/slog"
	"time"
)

// Store is what a store of package eventstore does for this module alone. E is eventstore.Event. It is safe for
// concurrent use.
type Store[E any] interface {
	Log
	Types[E]
}

// Log is what a store says of its log and its servers.
type Log interface {
	// Logger is where the store reports repairs. It is never nil.
	Logger() *slog.Logger
	// Done is closed when the store has found that its log was replaced, has lost its end, or is not the only one. From
	// then on everything that the store does ends with the error that Err returns.
	Done() <-chan struct{}
	// Err returns nil until Done is closed, and then an error that matches eventstore.ErrLogRewound or
	// eventstore.ErrSettings.
	Err() error
	// Look makes the store compare its log soon with what it has seen of the log, as it does while it is used. It
	// neither blocks nor returns what the store finds: Done and Err do.
	Look()
	// Clocks returns the time by the clock that is behind and by the clock that is ahead, of this program's and the
	// servers'. Both are this program's unless the clocks differ by more than five seconds. The store then compares
	// them again soon.
	Clocks() (behind, ahead time.Time)
	// Reaches reports whether the log goes up to a position. It asks for the log's end only if the store has not met a
	// commit as high. It fails like End.
	Reaches(ctx context.Context, position uint64) (bool, error)
	// Lacks reports whether the log ends before a position for sure, or the store has ended. On several replicas it
	// waits some seconds for a new leader to catch up.
	Lacks(ctx context.Context, position uint64) bool
	// Replicas returns wanted or, if that is 0, how many servers keep the log now. So a bucket that is made for a store
	// has the store's replicas unless its Config says otherwise. It fails like End.
	Replicas(ctx context.Context, wanted int) (int, error)
}

// Types is what a store says of the types of its events.
type Types[E any] interface {
	// Prototypes returns the zero value of each event type that the store can decode, in the order of their names: the
	// types with which it was opened, the old ones that are upcast, and the toolkit's own.
	Prototypes() []E
	// TypeOf returns the name of an event's type. It returns an error that matches eventstore.ErrUnknownType if the
	// store was not opened with the type, or if events of the type are upcast and so are never the result of Decode.
	TypeOf(event E) (string, error)
	// StoredAs returns the names under which events that decode to a type may stand in the log: its own, and the names
	// of the types that are upcast to it. The caller must not change the list.
	StoredAs(typeName string) []string
	// Upcast returns what an event of one of the Prototypes becomes today, as Decode does for an event in the log. It
	// returns an error that matches eventstore.ErrUnknownType for any other event, and eventstore.ErrUndecodable if the
	// upcaster fails.
	Upcast(event E) ([]E, error)
}
