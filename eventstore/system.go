package eventstore

import "github.com/runnel-go/runnel/internal/system"

// systemEvents are the prototypes of the toolkit's own events. Every store knows them.
func systemEvents() []Event {
	return []Event{
		StreamClosed{}, StreamErased{}, KeyClosed{}, positionsErased{}, foreignAccepted{},
		system.StreamGuarded{}, system.ValueClaimed{}, system.ValueReleased{},
	}
}

// StreamClosed ends a stream: it is the last event of its last commit, and appends on top of it are refused with
// ErrClosed. It is appended like any other event, alone or after others:
//
//	store.Append(ctx, account, head, BooksClosed{2026}, eventstore.StreamClosed{Reason: "goes on as account/42-2027"})
//
// A closed stream cannot be opened again. Begin a new one.
type StreamClosed struct{ Reason string }

// EventType is "runnel.stream.closed".
func (StreamClosed) EventType() string { return "runnel.stream.closed" }

// StreamErased stands in the place of a stream's events after [Store.Erase] has deleted them. Its version follows the
// last of theirs.
type StreamErased struct{ Reason string }

// EventType is "runnel.stream.erased".
func (StreamErased) EventType() string { return "runnel.stream.erased" }

// KeyClosed says that no command may be done in the stream any more under an idempotency key, or under one below it:
// "a/1" is below "a". It undoes nothing that was done under the key before. See aggregate.CloseKey.
type KeyClosed struct{ Key string }

// EventType is "runnel.key.closed".
func (KeyClosed) EventType() string { return "runnel.key.closed" }

// positionsErased records, in the stream runnel/erased, which positions of the log [Store.Erase] deletes. By it readers
// tell those positions from damage.
type positionsErased struct{ Commits []erasedCommit }

// erasedCommit is what is kept of an erased commit. It is enough to recognise a checkpoint that stands there, and to
// know that the rest of its transaction is whole.
type erasedCommit struct {
	Position    Position
	ID          string // the commit's UUID
	Transaction *Transaction
}

// EventType is "runnel.positions.erased".
func (positionsErased) EventType() string { return "runnel.positions.erased" }

// foreignAccepted records, in the stream runnel/foreign, that another program published a message which looks like a
// damaged commit of the store. See [Store.AcceptForeign].
type foreignAccepted struct {
	Position Position
	Subject  string
	Sum      []byte // the SHA-256 of the subject, a line feed and the payload
	Reason   string // as Store.AcceptForeign was given it
}

// EventType is "runnel.foreign.accepted".
func (foreignAccepted) EventType() string { return "runnel.foreign.accepted" }
