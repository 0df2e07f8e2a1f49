package eventstore

import (
	"fmt"
	"iter"
	"time"

	"github.com/google/uuid"
)

// Commit is what one append wrote to one stream: one message at one position, with one event or more. It is read-only
// and safe to share.
type Commit struct {
	Stream   StreamID
	Position Position
	First    Version   // of its first event
	ID       uuid.UUID // chosen by the writer, unique; version 7
	Time     time.Time // the writer's clock, in UTC; orders nothing
	Metadata

	// Key is the idempotency key under which the commit was written, or "". KeyHash is the hash of the command.
	Key     string
	KeyHash []byte

	// Transaction says to which transaction the commit belongs. It is nil if the commit stands alone.
	Transaction *Transaction

	links   []Position // of the stream's commits before this one, newest first
	events  []event
	body    []byte        // holds the data of the events
	payload []byte        // as it is stored; nil for a commit that was not read from the log
	erased  bool          // a placeholder: erasedCommit has all that is known
	foreign *foreignError // a placeholder for a message that is not a commit
	decoder *decoder      // nil for a commit that no store returned

	unproven bool // it was read alone, and its transaction may be torn
}

// Transaction is the place of one commit in its transaction. The commits of a transaction stand next to each other in
// the log, after its guards: see [Write].Guard.
type Transaction struct {
	ID    uuid.UUID
	Index int // of this commit, counted from 0 with the first guard
	Count int // of the transaction's guards and commits
}

// event is one event as it is stored. It is small, because a read makes one for each event.
type event struct {
	kind     *eventType // has only the name if the type is not registered
	from, to uint32     // where the data stands in the commit's body
}

// data returns the stored data of one of the commit's events.
func (c *Commit) data(e event) []byte { return c.body[e.from:e.to:e.to] }

// isForeign reports whether the commit stands for a message of another program.
func (c *Commit) isForeign() bool { return c.foreign != nil }

// Len is the number of the commit's events.
func (c *Commit) Len() int { return len(c.events) }

// Last is the version of the commit's last event.
func (c *Commit) Last() Version { return c.First + Version(len(c.events)) - 1 }

// Head is where the stream stood once the commit was stored.
func (c *Commit) Head() Head {
	head := Head{Version: c.Last(), Position: c.Position}
	if c.decoder == nil || len(c.events) == 0 {
		return head
	}
	head.links, head.end = linksAfter(c.Position, c.links), endOf(c.events[len(c.events)-1])
	if c.unproven {
		return head // an append looks it up
	}
	return c.decoder.origin.give(c.Stream, head)
}

// absent reports whether the commit is a placeholder for something that is not part of the log.
func (c *Commit) absent() bool { return c.erased || c.foreign != nil }

// Whole reports whether the log up to and with this commit holds every transaction whole. Then a checkpoint may stand
// here.
func (c *Commit) Whole() bool {
	return c.Transaction == nil || c.Transaction.Index == c.Transaction.Count-1
}

// begin is the position of the first commit of the commit's transaction.
func (c *Commit) begin() Position {
	if c.Transaction == nil {
		return c.Position
	}
	return c.Position - min(c.Position-1, Position(c.Transaction.Index))
}

// end is the position of the last commit of the commit's transaction.
func (c *Commit) end() Position {
	if c.Transaction == nil {
		return c.Position
	}
	return c.Position + Position(c.Transaction.Count-1-c.Transaction.Index)
}

// Events yields the commit's events in the order of their versions.
func (c *Commit) Events() iter.Seq[Recorded] {
	return func(yield func(Recorded) bool) {
		for i := range c.events {
			if !yield(Recorded{Commit: c, Index: i}) {
				return
			}
		}
	}
}

// Recorded is one event in the log. It is a small value; what it shares with the other events of its commit is in
// Commit.
type Recorded struct {
	*Commit
	Index int // within the commit, from 0
}

// Version is the event's version in its stream.
func (r Recorded) Version() Version { return r.First + Version(r.Index) }

// Type is the event's name.
func (r Recorded) Type() string { return r.events[r.Index].kind.name }

// Data is the event as the store's codec encoded it. It must not be changed.
func (r Recorded) Data() []byte { return r.data(r.events[r.Index]) }

// EventID names the event uniquely: the commit's id and the event's index in it.
func (r Recorded) EventID() string { return fmt.Sprintf("%s/%d", r.ID, r.Index) }

// Decode returns one value of the event's registered type or, if an upcaster says so, one or more of newer types. It
// returns an [ReadError] that matches ErrUnknownType or ErrUndecodable.
func (r Recorded) Decode() ([]Event, error) {
	// This function is inlined, so the list costs nothing if the caller only reads it.
	return r.decode(make([]Event, 0, 1))
}

// decode is Decode with room for one event, which is all that most events need.
func (r Recorded) decode(room []Event) ([]Event, error) {
	e := r.events[r.Index]
	if e.kind.goType == nil {
		return nil, r.fault(ErrUnknownType, nil)
	}
	decoded, err := r.decoder.registry.codec.decode(r.data(e), e.kind)
	if err != nil {
		return nil, r.fault(ErrUndecodable, err)
	}
	if e.kind.upcaster == nil {
		return append(room, decoded), nil
	}
	current, err := r.decoder.registry.upcast(e.kind, decoded)
	if err != nil {
		return nil, r.fault(ErrUndecodable, err)
	}
	return current, nil
}

func (r Recorded) fault(reason, err error) error {
	return &ReadError{
		Store: r.decoder.store, Stream: r.Stream, Version: r.Version(), Position: r.Position, Type: r.Type(), Reason: reason, Err: err,
	}
}
