package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// erasedPerRecord is how many commits one record of an erasure lists. An entry has about 130 bytes with its
// transaction, so a record stays well under the server's default limit of 1 MiB.
const erasedPerRecord = 2000

// erasedStream is the stream of the records that say which positions were erased.
var erasedStream = StreamID{Category: SystemCategory, ID: "erased"}

// Erase deletes all events of a stream from the disks of the servers, and leaves a record. Then loads and appends end
// with ErrErased, and the whole log is read without the erased commits. The store must have been made with
// [Config.Erasure].
//
// It blocks until all is deleted: 5 ms for each commit of a small store, and more if the blocks that must be rewritten
// are full. If Erase was interrupted, the stream is erased for all readers, but some commits may still be on disk. Call
// it again until it returns nil, which is harmless at any time. It returns an error that matches ErrSettings if the
// store does not allow erasure, or the errors of appending and reading. A stream without events is left as it is,
// without an error.
//
// The caller must erase what was copied out of the log: documents of views, snapshots, backups. The stream's id stays
// in the record, in the guards of transactions that relied on the stream, and in the metadata of other commits. So use
// the HMAC of an id that is personal.
func (s *Store) Erase(ctx context.Context, stream StreamID, reason string) error {
	if !s.cfg.erasure() {
		return fmt.Errorf("eventstore: erase %s: %w: the store must be made, and opened, with Config.Erasure", stream, ErrSettings)
	}
	if stream.Category == SystemCategory {
		return fmt.Errorf("eventstore: erase %s: %w: streams of category %s are the toolkit's own", stream, ErrInvalidID, SystemCategory)
	}
	record, err := s.endErased(ctx, stream, reason)
	if err != nil || record == nil {
		return err
	}
	left, err := s.leftBefore(ctx, record)
	if err != nil {
		return err
	}
	if err := s.recordErased(ctx, left); err != nil {
		return err
	}
	for _, c := range left {
		if err := s.deletePosition(ctx, c.Position); err != nil {
			return fmt.Errorf("eventstore: erase %s: position %d: %w: erase it again to go on", stream, c.Position, err)
		}
	}
	return s.synced(s.disk.Sync(ctx))
}

// deletePosition overwrites a message on disk. If the message is gone already, that is not an error.
func (s *Store) deletePosition(ctx context.Context, position Position) error {
	return s.patiently(ctx, fmt.Sprintf("delete position %d of %s", position, s.name), func() error {
		err := s.api.EraseMessage(ctx, s.name, uint64(position))
		if err == nil {
			return nil
		}
		if _, gone := s.api.LeaderSequence(ctx, s.name, uint64(position)); errors.Is(gone, jsapi.ErrNotFound) {
			return nil
		}
		return err
	})
}

// endErased appends the record that ends the stream, so that nothing can follow, and returns it. It returns nil if the
// stream has no events.
func (s *Store) endErased(ctx context.Context, stream StreamID, reason string) (*Commit, error) {
	for try := 1; ; try++ {
		history, err := s.Load(ctx, stream, From(^Version(0)), Leader())
		if before, ok := errors.AsType[*ErasedError](err); ok {
			return s.At(ctx, before.Position)
		}
		if err != nil || history.Head.Position == 0 {
			return nil, err
		}
		head := history.Head
		head.end = streamOpen // a closed stream can be erased
		commits, err := s.AppendAll(ctx, Write{Stream: stream, Expected: head, Events: []Event{StreamErased{reason}}, system: true})
		if err == nil {
			return commits[0], nil
		}
		if !errors.Is(err, ErrConflict) {
			return nil, err
		}
		if err := retries.Wait(ctx, try); err != nil {
			return nil, err
		}
	}
}

// leftBefore returns the commits on the record's subject before it that are not deleted yet. Among them are remainders
// of torn transactions, and placeholders for foreign messages, which may be copies.
func (s *Store) leftBefore(ctx context.Context, record *Commit) ([]*Commit, error) {
	subject, err := record.Stream.subject(s.name)
	if err != nil {
		return nil, err
	}
	var left []*Commit
	for c, err := range s.scan(ctx, scanOptions{subject: subject, upTo: record.Position, patience: s.cfg.readTimeout()}) {
		if err != nil {
			return nil, err
		}
		if c.Position < record.Position {
			left = append(left, c)
		}
	}
	return left, nil
}

// recordErased makes sure that each of the commits is recorded as erased. It runs before the first is deleted, so that
// there is never a hole without a record.
func (s *Store) recordErased(ctx context.Context, commits []*Commit) error {
	for try := 1; ; try++ {
		head, err := s.erasures.refresh(ctx, s)
		if err != nil {
			return err
		}
		var missing []erasedCommit
		for _, c := range commits {
			if s.erasures.at(c.Position) == nil {
				// A foreign message has the nil UUID.
				missing = append(missing, erasedCommit{Position: c.Position, ID: c.ID.String(), Transaction: c.Transaction})
			}
		}
		if len(missing) == 0 {
			return nil
		}
		for chunk := range slices.Chunk(missing, erasedPerRecord) {
			var done []*Commit
			done, err = s.AppendAll(ctx, Write{Stream: erasedStream, Expected: head, Events: []Event{positionsErased{chunk}}, system: true})
			if err != nil {
				break
			}
			head = done[0].Head()
		}
		if err != nil && !errors.Is(err, ErrConflict) {
			return err
		}
		if err := retries.Wait(ctx, try); err != nil {
			return err
		}
	}
}

// erasures holds what is known of the records in erasedStream. It is filled when a reader meets a hole. So a store in
// which nothing was erased never asks for the records.
type erasures struct {
	mu         sync.Mutex // guards the fields below
	head       Head       // up to where the records are known
	byPosition map[Position]*Commit
}

// placeholder returns the placeholder for an erased position, or nil if no erasure is recorded for it.
func (e *erasures) placeholder(ctx context.Context, s *Store, position Position) (*Commit, error) {
	if c := e.at(position); c != nil {
		return c, nil
	}
	if _, err := e.refresh(ctx, s); err != nil {
		return nil, err
	}
	return e.at(position), nil
}

// recorded is up to where the records are known.
func (e *erasures) recorded() Position {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.head.Position
}

func (e *erasures) at(position Position) *Commit {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byPosition[position]
}

// refresh reads the records that came since the last time, and returns the head of their stream.
func (e *erasures) refresh(ctx context.Context, s *Store) (Head, error) {
	e.mu.Lock()
	known := e.head.Version
	e.mu.Unlock()
	history, err := s.load(ctx, erasedStream, readOptions{from: known + 1, leader: true})
	if err != nil {
		return Head{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range history.Commits {
		for recorded := range c.Events() {
			decoded, err := recorded.Decode()
			if err != nil {
				return Head{}, err
			}
			if record, ok := decoded[0].(positionsErased); ok {
				if err := e.addLocked(c, record); err != nil {
					return Head{}, err
				}
			}
		}
	}
	if history.Head.Version > e.head.Version {
		e.head = history.Head
	}
	return history.Head, nil
}

// count is how many positions are recorded as erased.
func (e *erasures) count(ctx context.Context, s *Store) (uint64, error) {
	if _, err := e.refresh(ctx, s); err != nil {
		return 0, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return uint64(len(e.byPosition)), nil
}

func (e *erasures) addLocked(c *Commit, record positionsErased) error {
	if e.byPosition == nil {
		e.byPosition = make(map[Position]*Commit)
	}
	for _, erased := range record.Commits {
		id, err := uuid.Parse(erased.ID)
		if err != nil {
			return &CorruptError{Store: c.decoder.store, Stream: c.Stream, Position: c.Position, Err: err}
		}
		e.byPosition[erased.Position] = &Commit{
			Position: erased.Position, ID: id, Transaction: erased.Transaction, decoder: c.decoder, erased: true,
		}
	}
	return nil
}
