// Package system has the events that the toolkit appends beside the user's, if more than one package writes or reads
// them. Every store knows these events.
package system

// Category is the category of the streams in which the toolkit keeps its own records.
const Category = "runnel"

// Prefix begins the names of the toolkit's own event types. No other type's name may begin with it.
const Prefix = "runnel."

// StreamGuarded records that a transaction was stored while a stream that it did not write stood at a version, on which
// the transaction was decided. It is a commit of the transaction, at a position of its own. It belongs to no stream.
type StreamGuarded struct {
	Stream  Stream
	Version uint64
}

// Stream names a stream.
type Stream struct{ Category, ID string }

// EventType is "runnel.stream.guarded".
func (StreamGuarded) EventType() string { return "runnel.stream.guarded" }

// ValueClaimed says who owns a unique value from now on. The stream stands for the value.
type ValueClaimed struct{ Owner string }

// EventType is "runnel.value.claimed".
func (ValueClaimed) EventType() string { return "runnel.value.claimed" }

// OwnedBy returns the owner of the value after the event.
func (e ValueClaimed) OwnedBy() string { return e.Owner }

// ValueReleased says that a unique value is free. Owner had it before.
type ValueReleased struct{ Owner string }

// EventType is "runnel.value.released".
func (ValueReleased) EventType() string { return "runnel.value.released" }

// OwnedBy returns "", because nobody owns the value after the event.
func (ValueReleased) OwnedBy() string { return "" }
