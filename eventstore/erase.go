package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/system"
)

// erasedPerRecord is how many commits one record of an erasure lists. An entry has about 130 bytes with its
// transaction, so a record stays well under the server's default limit of 1 MiB.
const erasedPerRecord = 2000

// erasedStream is the stream of the records that say which positions were erased.
var erasedStream = StreamID{Category: system.Category, ID: "erased"}

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
	if !s.conn.cfg.Erasure {
		return fmt.Errorf("eventstore: erase %s: %w: the store must be made, and opened, with Config.Erasure", stream, ErrSettings)
	}
	if stream.Category == system.Category {
		return fmt.Errorf("eventstore: erase %s: %w: streams of category %s are the toolkit's own", stream, ErrInvalidID, system.Category)
	}
	return s.writer.erase(ctx, stream, reason)
}

func (wr *writer) erase(ctx context.Context, stream StreamID, reason string) error {
	record, err := wr.endErased(ctx, stream, reason)
	if err != nil || record == nil {
		return err
	}
	left, err := wr.leftBefore(ctx, record)
	if err != nil {
		return err
	}
	if err := wr.recordErased(ctx, left); err != nil {
		return err
	}
	for _, c := range left {
		if err := wr.conn.deletePosition(ctx, c.Position); err != nil {
			return fmt.Errorf("eventstore: erase %s: position %d: %w: erase it again to go on", stream, c.Position, err)
		}
	}
	if err := wr.nothingBefore(ctx, record); err != nil {
		return err
	}
	return wr.conn.synced(wr.conn.disk.Sync(ctx))
}

// endErased appends the record that ends the stream, so that nothing can follow, and returns it. It returns nil if the
// stream has no events.
func (wr *writer) endErased(ctx context.Context, stream StreamID, reason string) (record *Commit, err error) {
	err = retries.Retry(ctx, isConflict, func() error {
		history, err := wr.log.load(ctx, stream, readOptions{from: ^Version(0), leader: true})
		if before, ok := errors.AsType[*ReadError](err); ok && errors.Is(err, ErrErased) {
			record, err = wr.log.at(ctx, before.Position)
			return err
		}
		if err != nil || history.Head.Position == 0 {
			return err
		}
		head := history.Head
		head.end = streamOpen // a closed stream can be erased
		commits, err := wr.appendAll(ctx, []Write{{Stream: stream, Expected: head, Events: []Event{StreamErased{reason}}, system: true}})
		if err == nil {
			record = commits[0]
		}
		return err
	})
	return record, err
}

func isConflict(err error) bool { return errors.Is(err, ErrConflict) }

// leftBefore returns the commits on the record's subject before it that are not deleted yet. Among them are remainders
// of torn transactions, and placeholders for foreign messages, which may be copies.
func (wr *writer) leftBefore(ctx context.Context, record *Commit) ([]*Commit, error) {
	subject, err := record.Stream.subject(wr.conn.store)
	if err != nil {
		return nil, err
	}
	var left []*Commit
	for c, err := range wr.log.scan(ctx, scanOptions{subject: subject, upTo: record.Position, patience: wr.conn.cfg.ReadTimeout}) {
		if err != nil {
			return nil, err
		}
		if c.Position < record.Position {
			left = append(left, c)
		}
	}
	return left, nil
}

// nothingBefore returns an error if the leader has a message on the record's subject before it. A replica whose copy is
// damaged does not list a message.
func (wr *writer) nothingBefore(ctx context.Context, record *Commit) error {
	subject, err := record.Stream.subject(wr.conn.store)
	if err != nil {
		return err
	}
	return wr.conn.patiently(ctx, fmt.Sprintf("see what is left of %s", record.Stream), func() error {
		first, err := wr.conn.api.LeaderNext(ctx, wr.conn.store, subject, 1)
		if err == nil && Position(first.Sequence) < record.Position {
			return fmt.Errorf("position %d is still there: erase it again, and see Store.Verify if that does not help: %w",
				first.Sequence, jsapi.ErrNoReply) // it passes if a new leader has not deleted it yet
		}
		return err
	})
}

// recordErased makes sure that each of the commits is recorded as erased. It runs before the first is deleted, so that
// there is never a hole without a record.
func (wr *writer) recordErased(ctx context.Context, commits []*Commit) error {
	for try := 1; ; try++ {
		head, err := wr.fetcher.erasures.refresh(ctx, wr.fetcher)
		if err != nil {
			return err
		}
		var missing []erasedCommit
		for _, c := range commits {
			if wr.fetcher.erasures.at(c.Position) == nil {
				// A foreign message has the nil UUID.
				missing = append(missing, erasedCommit{Position: c.Position, ID: c.ID.String(), Transaction: c.Transaction})
			}
		}
		if len(missing) == 0 {
			return nil
		}
		for chunk := range slices.Chunk(missing, erasedPerRecord) {
			var done []*Commit
			done, err = wr.appendAll(ctx, []Write{{Stream: erasedStream, Expected: head, Events: []Event{positionsErased{chunk}}, system: true}})
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
	records    // its mutex guards the field below
	byPosition map[Position]*Commit
}

// placeholder returns the placeholder for an erased position, or nil if no erasure is recorded for it.
func (e *erasures) placeholder(ctx context.Context, f *fetcher, position Position) (*Commit, error) {
	if c := e.at(position); c != nil {
		return c, nil
	}
	if _, err := e.refresh(ctx, f); err != nil {
		return nil, err
	}
	return e.at(position), nil
}

func (e *erasures) at(position Position) *Commit {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.byPosition[position]
}

// refresh reads the records that came since the last time, and returns the head of their stream.
func (e *erasures) refresh(ctx context.Context, f *fetcher) (Head, error) {
	return e.records.refresh(ctx, f, erasedStream, func(c *Commit, event Event) error {
		if record, ok := event.(positionsErased); ok {
			return e.addLocked(c, record)
		}
		return nil
	})
}

// count is how many positions are recorded as erased.
func (e *erasures) count(ctx context.Context, f *fetcher) (uint64, error) {
	if _, err := e.refresh(ctx, f); err != nil {
		return 0, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return uint64(len(e.byPosition)), nil
}

func (e *erasures) addLocked(c *Commit, record positionsErased) error {
	for _, erased := range record.Commits {
		id, err := uuid.Parse(erased.ID)
		if err != nil {
			return &ReadError{Store: c.decoder.store, Reason: ErrCorrupt, Stream: c.Stream, Position: c.Position, Err: err}
		}
		e.byPosition[erased.Position] = &Commit{
			Position: erased.Position, ID: id, Transaction: erased.Transaction, decoder: c.decoder, erased: true,
		}
	}
	return nil
}
