package snapshots

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/msgpack"
)

// documentFormat is raised whenever a document changes in any way. Documents of other formats are not read.
const documentFormat = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// envelope is a document on the wire. Its first two fields never change.
type envelope struct {
	Format   uint
	Checksum uint32 // CRC-32C of the body
	Body     []byte // a document in msgpack
}

// document is the snapshot of one aggregate as it is stored.
type document struct {
	Store       string // the store's identity
	FoldVersion int
	Fingerprint []byte // see the function of that name
	Stream      string // category/id

	Version  eventstore.Version
	Position eventstore.Position
	Commit   []byte // the UUID of the commit at that position
	Commits  uint64 // how many commits the stream has up to that position
	Window   uint64 // how many of the last commits Keys covers
	Age      int64  // for how long the program that saved it remembers the keys of earlier commits, in nanoseconds
	Keys     []Key
	Left     Left
	State    []byte // in msgpack
}

// Key is an idempotency key that a commit was stored under, or that it closed.
type Key struct {
	Key      string
	Closed   bool               // the commit closed the key for all later commands
	Hash     []byte             // of the command
	Commit   uint64             // the commit's number in the stream, from 1
	Version  eventstore.Version // of the commit's first event
	Position eventstore.Position
	Time     int64 // of the commit, in nanoseconds since 1970
}

// Left says which keys a snapshot leaves out because their commits are before its window.
type Left struct {
	First Key                 // the oldest that was still remembered; the zero Key for none
	Last  eventstore.Position // of the newest that is left out or was forgotten; 0 for none
	Until int64               // the time of the newest that was still remembered
	// Forgot is the time of the newest that was forgotten; 0 for none.
	Forgot int64
}

func (d *document) encode() ([]byte, error) {
	body, err := msgpack.MarshalArray(d)
	if err != nil {
		return nil, err
	}
	return msgpack.MarshalArray(&envelope{Format: documentFormat, Checksum: crc32.Checksum(body, castagnoli), Body: body})
}

// decodeDocument never panics, and allocates in proportion to the data, whatever the data holds.
func decodeDocument(data []byte) (*document, error) {
	var e envelope
	if err := msgpack.Unmarshal(data, &e); err != nil {
		return nil, err
	}
	if e.Format != documentFormat {
		return nil, fmt.Errorf("format %d, this release reads %d", e.Format, documentFormat)
	}
	if sum := crc32.Checksum(e.Body, castagnoli); sum != e.Checksum {
		return nil, fmt.Errorf("checksum is %08x, the body's is %08x", e.Checksum, sum)
	}
	d := new(document)
	if err := msgpack.Unmarshal(e.Body, d); err != nil {
		return nil, err
	}
	return d, d.check()
}

// check refuses a document that this package never saves, even if its checksum fits.
func (d *document) check() error {
	if d.Version == 0 || d.Position == 0 || d.Commits == 0 || len(d.Commit) != 16 {
		return errors.New("not a snapshot of a commit")
	}
	last := uint64(0)
	for _, k := range d.Keys {
		// A commit has at most one key of its own, and may close others.
		if k.Key == "" || k.Commit == 0 || k.Commit < last || k.Commit == last && !k.Closed || k.Commit > d.Commits || k.Commit+d.Window <= d.Commits {
			return fmt.Errorf("key %q of commit %d is not in the window of %d", k.Key, k.Commit, d.Window)
		}
		last = k.Commit
	}
	return nil
}
