package eventstore

// systemPrefix begins the names of the toolkit's own event types, which no other type's name may.
const systemPrefix = "runnel."

// SystemCategory is the category of the streams in which the toolkit keeps its own records.
const SystemCategory = "runnel"

// systemEvents are the prototypes of the toolkit's own events. Every store knows them.
func systemEvents() []Event {
	return []Event{
		StreamClosed{}, StreamErased{}, PositionsErased{}, ForeignAccepted{}, StreamGuarded{}, ValueClaimed{}, ValueReleased{}, KeyClosed{},
	}
}

// StreamClosed ends a stream: it is the last event of its last commit, and appends on top of it are refused with
// ErrClosed. It is appended like any other event, alone or behind others:
//
//	store.Append(ctx, account, head, BooksClosed{2026}, eventstore.StreamClosed{Reason: "goes on as account/42-2027"})
//
// There is no way to open the stream again. What follows begins a new one.
type StreamClosed struct{ Reason string }

// EventType is "runnel.stream.closed".
func (StreamClosed) EventType() string { return "runnel.stream.closed" }

// StreamErased stands in the place of a stream's events once [Store.Erase] has deleted them. Its version is the one after
// the last of theirs.
type StreamErased struct{ Reason string }

// EventType is "runnel.stream.erased".
func (StreamErased) EventType() string { return "runnel.stream.erased" }

// PositionsErased records, in the stream runnel/erased, which positions of the log [Store.Erase] deletes, so that readers
// can tell them from damage.
type PositionsErased struct{ Commits []ErasedCommit }

// ErasedCommit is what is kept of a commit that was erased: enough for a checkpoint that stands there to be recognised,
// and for the rest of its transaction to be known as whole.
type ErasedCommit struct {
	Position    Position
	ID          string // the commit's UUID
	Transaction *Transaction
}

// EventType is "runnel.positions.erased".
func (PositionsErased) EventType() string { return "runnel.positions.erased" }

// StreamGuarded records that a transaction was stored while a stream that it did not write stood at a version: what the
// transaction wrote was decided on that. See [Write.Guard]. It is a commit of the transaction at a position of its own. It belongs
// to no stream, so no reader of streams or of the log is given it; [Store.At] gives it.
type StreamGuarded struct {
	Stream  StreamID
	Version Version
}

// EventType is "runnel.stream.guarded".
func (StreamGuarded) EventType() string { return "runnel.stream.guarded" }

// ForeignAccepted records, in the stream runnel/foreign, that a message in the store's JetStream stream is no damaged commit: another
// program published it. See [Store.AcceptForeign].
type ForeignAccepted struct {
	Position Position
	Subject  string
	Sum      []byte // the SHA-256 of the subject, a line feed and the payload
	Reason   string // as Store.AcceptForeign was given it
}

// EventType is "runnel.foreign.accepted".
func (ForeignAccepted) EventType() string { return "runnel.foreign.accepted" }

// ValueClaimed says whose a unique value is from now on. The stream stands for the value; see aggregate.Unique.
type ValueClaimed struct{ Owner string }

// EventType is "runnel.value.claimed".
func (ValueClaimed) EventType() string { return "runnel.value.claimed" }

// OwnedBy gives the owner of the value after the event.
func (e ValueClaimed) OwnedBy() string { return e.Owner }

// ValueReleased says that a unique value, which was the owner's, is free.
type ValueReleased struct{ Owner string }

// EventType is "runnel.value.released".
func (ValueReleased) EventType() string { return "runnel.value.released" }

// OwnedBy gives "", since nobody owns the value after the event.
func (ValueReleased) OwnedBy() string { return "" }

// KeyClosed says that no command may be done in the stream any more under an idempotency key, or one below it: "a/1" is
// below "a". It undoes nothing that was done under the key before. See aggregate.CloseKey.
type KeyClosed struct{ Key string }

// EventType is "runnel.key.closed".
func (KeyClosed) EventType() string { return "runnel.key.closed" }
