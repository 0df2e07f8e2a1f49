package reactor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
)

// A reactor keeps its documents in the store's control bucket, below a prefix of its own.
const (
	prefix          = "reactor"
	checkpointName  = "checkpoint"
	begunName       = "begun"
	parkedPrefix    = "parked"
	discardedPrefix = "discarded"
)

// The states of a document.
const (
	stateParked    = "parked"    // the stream waits
	stateReplay    = "replay"    // the stream is to be handled again, or is
	stateDiscard   = "discard"   // the first event of the stream is to be left out
	stateDiscarded = "discarded" // the record of an event that was left out
	stateBegun     = "begun"     // the reactor has had a checkpoint
)

// document is what is stored under one key: a checkpoint, a parked stream, or the record of a discarded event. Fields
// are only added.
type document struct {
	Checkpoint *checkpoint `json:"checkpoint,omitempty"`

	State    string              `json:"state,omitempty"`
	Category string              `json:"category,omitempty"`
	ID       string              `json:"id,omitempty"`
	Version  eventstore.Version  `json:"version,omitempty"` // of the first event that waits
	Position eventstore.Position `json:"position,omitempty"`
	Type     string              `json:"type,omitempty"`
	EventID  string              `json:"eventId,omitempty"`
	Error    string              `json:"error,omitempty"`
	Attempts int                 `json:"attempts,omitempty"`
	First    time.Time           `json:"first,omitzero"` // when the event was tried first
	Last     time.Time           `json:"last,omitzero"`  // when the event was tried last
	Waiting  int                 `json:"waiting,omitempty"`
	Until    eventstore.Version  `json:"until,omitempty"` // the last version that is counted in Waiting
}

// Parked is a stream that waits because one of its events could not be handled.
type Parked struct {
	Stream    eventstore.StreamID
	Version   eventstore.Version // of the event that failed
	Position  eventstore.Position
	Type      string
	EventID   string
	Error     string    // of the last attempt
	Attempts  int       // how often the event was tried
	First     time.Time // when the event was tried first
	Last      time.Time // when the event was tried last
	Waiting   int       // how many events wait, including the one that failed
	Replaying bool      // the stream is handled again, or will be by the next runner
}

// Discarded is an event that was left out because [Reactor.Discard] was called.
type Discarded struct {
	Stream   eventstore.StreamID
	Version  eventstore.Version
	Position eventstore.Position
	Type     string
	EventID  string
	Error    string    // of the last attempt
	At       time.Time // when the event was left out, by the server's clock
}

func (d document) stream() eventstore.StreamID {
	return eventstore.StreamID{Category: d.Category, ID: d.ID}
}

func (d document) parked() Parked {
	return Parked{
		Stream: d.stream(), Version: d.Version, Position: d.Position, Type: d.Type, EventID: d.EventID, Error: d.Error,
		Attempts: d.Attempts, First: d.First, Last: d.Last, Waiting: d.Waiting, Replaying: d.State != stateParked,
	}
}

func (d document) discarded(at time.Time) Discarded {
	return Discarded{
		Stream: d.stream(), Version: d.Version, Position: d.Position, Type: d.Type, EventID: d.EventID, Error: d.Error, At: at,
	}
}

// failedAt returns the document with the event that failed.
func (d document) failedAt(event eventstore.Recorded, cause error) *document {
	d.Category, d.ID, d.Version, d.Position = event.Stream.Category, event.Stream.ID, event.Version(), event.Position
	d.Type, d.EventID, d.Error = event.Type(), event.EventID(), runner.Shortened(cause.Error(), runner.MaxText)
	return &d
}

// key returns the key of one of the reactor's documents.
func (r *Reactor) key(name string) string { return prefix + "." + r.name + "." + name }

func (r *Reactor) parkedKey(stream eventstore.StreamID) string {
	return streamKey(r.key(parkedPrefix), stream, "")
}

func (r *Reactor) discardedKey(d document) string {
	return streamKey(r.key(discardedPrefix), d.stream(), fmt.Sprintf(".%d", d.Version))
}

// maxKey is how long a key of a bucket may be.
const maxKey = 256

// streamKey returns a key that is about a stream. An id that is too long for a key is replaced by its hash, below a
// level that no category can be.
func streamKey(prefix string, stream eventstore.StreamID, suffix string) string {
	key := prefix + "." + stream.Category + "." + stream.ID + suffix
	if len(key) <= maxKey {
		return key
	}
	sum := sha256.Sum256([]byte(stream.ID))
	return prefix + ".+long." + stream.Category + "." + hex.EncodeToString(sum[:]) + suffix
}
