package eventstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/system"
)

// Any program in the account may publish to a subject of the store, and JetStream stores the message. It is neither a
// commit nor damage. Its header tells it from damage:
//
//	header of every commit      the expectation under which it was published, and in a batch the batch's id
//	header of another's message neither
//
// The server keeps both. A flipped bit cannot take the header off a commit: the server's checksum covers the header,
// so the server would not return the message at all. Only the header's length is not covered. If a bit of the length
// flips, the header is missing or stands in the payload.
//
// A message with such a header that is not a commit may be a damaged one, or a copy of a commit. Readers end there,
// unless an operator has accepted it.

// headerForeign marks a message that an import stored in the place of a foreign one, because an import publishes in
// batches, as for commits.
const headerForeign = "Runnel-Foreign"

// ownHeaders are the headers of an append, of a transaction or an import, and of an import of one message. Every commit
// has one of them.
var ownHeaders = [...]string{jetstream.ExpectedLastSubjSeqHeader, jsapi.HeaderBatchID, jetstream.ExpectedLastSeqHeader}

// isForeign reports whether a message cannot have been published by a store.
func isForeign(header nats.Header, data []byte) bool {
	if header.Get(headerForeign) != "" {
		return true
	}
	for _, name := range ownHeaders {
		if len(header[name]) > 0 {
			return false
		}
	}
	return !slices.ContainsFunc(ownHeaders[:], func(name string) bool { return bytes.Contains(data, []byte(name)) })
}

// foreign holds what a store knows of messages that other programs published.
type foreign struct {
	records   // of acceptedStream; its mutex guards the fields below
	accepted  map[Position]foreignAccepted
	bySubject map[string][]Position // in their order
	newest    map[string]shadow     // foreign messages that are the last of their subjects, and the commits before them
	known     int
}

// shadow says that all messages of a subject from its newest, tail, down to a commit are foreign.
type shadow struct{ tail, commit Position }

// maxKnown bounds how many foreign messages are remembered. If there are more, loads of their streams read and count
// again.
const maxKnown = 10_000

// note remembers a foreign message, and reports whether it is new.
func (f *foreign) note(subject string, position Position) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, known := slices.BinarySearch(f.bySubject[subject], position)
	if known || f.known == maxKnown {
		return !known
	}
	if f.bySubject == nil {
		f.bySubject = make(map[string][]Position)
	}
	f.known++
	f.bySubject[strings.Clone(subject)] = slices.Insert(f.bySubject[subject], at, position)
	return true
}

// on returns how many foreign messages are known on a subject, up to a position.
func (f *foreign) on(subject string, upTo Position) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, _ := slices.BinarySearch(f.bySubject[subject], upTo+1)
	return n
}

// below returns the commit before the foreign message at the end of a subject, if that is known, and 0 if there is no
// commit.
func (f *foreign) below(subject string, tail Position) (commit Position, known bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, known := f.newest[subject]
	return s.commit, known && s.tail == tail
}

func (f *foreign) standsOn(subject string, tail, commit Position) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.newest == nil || len(f.newest) == maxKnown {
		f.newest = make(map[string]shadow)
	}
	f.newest[strings.Clone(subject)] = shadow{tail: tail, commit: commit}
}

// foreignError says that another program published a message to one of the store's subjects. It matches ErrForeign.
// Readers pass over such a message, count it in Counters.Foreign and log it.
type foreignError struct {
	Store    string
	Position Position // 0 if only the subject is known
	Subject  string
	Accepted bool // it looks like a damaged commit, and an operator said that it is not

	data []byte
}

func (e *foreignError) Error() string {
	what := "which another program published"
	if e.Accepted {
		what = "which Store.AcceptForeign accepted as another program's"
	}
	return fmt.Sprintf("eventstore: store %s at position %d: %v: a message on subject %q, %s: let only this store's programs publish to %s.>",
		e.Store, e.Position, ErrForeign, e.Subject, what, e.Store)
}

// Is reports whether target is ErrForeign.
func (e *foreignError) Is(target error) bool { return target == ErrForeign }

// placeholder stands for the message among commits.
func (e *foreignError) placeholder(d *decoder) *Commit {
	stream, _ := parseSubject(d.store, e.Subject) // the zero stream if the subject names none
	return &Commit{Stream: stream, Position: e.Position, decoder: d, foreign: e}
}

// passForeign counts a message that is passed over, and reports it the first time.
func (f *fetcher) passForeign(ctx context.Context, e *foreignError) {
	f.counters.foreign.Add(1)
	if f.foreign.note(e.Subject, e.Position) {
		f.conn.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "message of another program passed over", slog.String("store", f.conn.store),
			slog.String("subject", e.Subject), slog.Uint64("position", uint64(e.Position)), slog.Bool("accepted", e.Accepted))
	}
}

// judge returns the commit in a leader's message, as parse does. It returns a foreignError if an operator accepted what
// looks like damage.
func (f *fetcher) judge(ctx context.Context, msg jsapi.Message, err error) (*Commit, error) {
	c, err := f.decoder.parse(msg, err)
	if errors.Is(err, errCopied) {
		c, err = f.original(ctx, msg, err)
	}
	if _, damaged := errors.AsType[*ReadError](err); !damaged {
		return c, err
	}
	accepted, asked := f.accepted(ctx, msg)
	switch {
	case asked != nil && jsapi.Transient(asked):
		return nil, asked
	case accepted:
		return nil, &foreignError{Store: f.conn.store, Position: Position(msg.Sequence), Subject: msg.Subject, Accepted: true, data: msg.Data}
	}
	return c, err
}

// accepted reports whether an operator has accepted a message.
func (f *fetcher) accepted(ctx context.Context, msg jsapi.Message) (bool, error) {
	if !f.foreign.has(msg) {
		if _, err := f.foreign.refresh(ctx, f); err != nil {
			return false, err
		}
	}
	return f.foreign.has(msg), nil
}

func (f *foreign) has(msg jsapi.Message) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	record, ok := f.accepted[Position(msg.Sequence)]
	return ok && bytes.Equal(record.Sum, sumOf(msg))
}

// sumOf binds an acceptance to one message, because after a restore something else may stand at the position.
func sumOf(msg jsapi.Message) []byte {
	sum := sha256.Sum256(append([]byte(msg.Subject+"\n"), msg.Data...))
	return sum[:]
}

// acceptedStream is the stream of the records that say which messages were accepted.
var acceptedStream = StreamID{Category: system.Category, ID: "foreign"}

// refresh reads the records that came since the last time, and returns the head of their stream. Another program may
// have published to that stream as well, and only its records say so. So each message is read from the leader, and one
// that does not continue the records is passed over. If a record is missing, the versions show that.
func (f *foreign) refresh(ctx context.Context, from *fetcher) (Head, error) {
	subject, err := acceptedStream.subject(from.conn.store)
	if err != nil {
		return Head{}, err
	}
	head := f.upTo()
	for {
		var msg jsapi.Message
		err := from.conn.patiently(ctx, "load "+acceptedStream.String(), func() (err error) {
			msg, err = from.conn.api.LeaderNext(ctx, from.conn.store, subject, uint64(head.Position)+1)
			return err
		})
		if errors.Is(err, jsapi.ErrNotFound) {
			return from.decoder.origin.give(acceptedStream, head), from.conn.onDisk(ctx, head.Position)
		}
		c, err := from.decoder.recordIn(msg, err, head.Version+1)
		if err != nil {
			return Head{}, err
		}
		if c != nil {
			head = c.Head()
		}
		head.Position = Position(msg.Sequence)
		if err := f.add(c, head); err != nil {
			return Head{}, err
		}
	}
}

// recordIn returns the commit in a message of acceptedStream, or nil if it is not the one with the next version.
func (d *decoder) recordIn(msg jsapi.Message, err error, next Version) (*Commit, error) {
	c, err := d.parse(msg, err)
	switch {
	case errors.Is(err, errCopied):
		// The header of a record on top of another program's message does not fit it.
		record, failed := d.decode(new(room), msg.Subject, Position(msg.Sequence), msg.Data)
		if expected, ok := expectedBy(msg.Header); failed == nil && ok && expected > 0 && record.First == next {
			return record, nil
		}
		return nil, nil
	case errors.Is(err, ErrForeign), errors.Is(err, ErrCorrupt):
		return nil, nil
	case err == nil && c.First != next:
		return nil, &ReadError{Store: d.store, Reason: ErrCorrupt, Stream: c.Stream, Position: c.Position,
			Err: fmt.Errorf("version %d stands where version %d should", c.First, next)}
	}
	return c, err
}

// add takes over the records of a commit, or of none, after which the stream has a head.
func (f *foreign) add(c *Commit, head Head) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if head.Position <= f.head.Position {
		return nil // another goroutine has read it as well
	}
	if c != nil {
		for recorded := range c.Events() {
			decoded, err := recorded.Decode()
			if err != nil {
				return err
			}
			if record, ok := decoded[0].(foreignAccepted); ok {
				f.accepted[record.Position] = record
			}
		}
	}
	f.head = head
	return nil
}

// AcceptForeign records that the message at a position, at which a read ended with ErrCorrupt, is not a damaged commit
// of the store: another program published it with headers that only commits have. It may be a copy of a commit. From
// then on readers pass over it, as they pass over all messages of other programs. Look at the message first (nats
// stream get). If it is a commit, restore the position from a replica or a backup instead. A load of a stream that
// lacks the commit still ends with an error.
//
// The record stands in the stream runnel/foreign, with the reason and a checksum of the message, and counts for that
// message only. AcceptForeign returns an error that matches ErrRefused if a commit stands at the position, or nothing
// stands there. It also fails like [Store.Append] and [Store.At].
func (s *Store) AcceptForeign(ctx context.Context, position Position, reason string) error {
	fail := func(err error) error {
		return fmt.Errorf("eventstore: accept the message at position %d of %s: %w", position, s.conn.store, err)
	}
	for try := 1; ; try++ {
		record, err := s.fetcher.acceptance(ctx, position, reason)
		if err != nil || record == nil {
			return err
		}
		head, err := s.fetcher.foreign.refresh(ctx, s.fetcher)
		if err != nil {
			return fail(err)
		}
		_, err = s.AppendAll(ctx, Write{Stream: acceptedStream, Expected: head, Events: []Event{*record}, system: true})
		if err == nil || !errors.Is(err, ErrConflict) {
			return err
		}
		if err := s.conn.api.Pause(ctx, retries, try); err != nil {
			return fail(err)
		}
	}
}

// acceptance returns the record for a position, or nil if readers pass over the message already.
func (f *fetcher) acceptance(ctx context.Context, position Position, reason string) (record *foreignAccepted, err error) {
	what := fmt.Sprintf("accept the message at position %d of %s", position, f.conn.store)
	refused := func(text string) error { return fmt.Errorf("eventstore: %s: %w: %s", what, ErrRefused, text) }
	err = f.conn.patiently(ctx, what, func() error {
		msg, err := f.conn.api.LeaderSequence(ctx, f.conn.store, uint64(position))
		_, judged := f.judge(ctx, msg, err)
		switch {
		case errors.Is(judged, ErrForeign):
			return nil
		case errors.Is(judged, jsapi.ErrNotFound):
			return refused("nothing stands there: restore it from a replica or a backup")
		case errors.Is(judged, ErrCorrupt):
			record = &foreignAccepted{Position: position, Subject: msg.Subject, Sum: sumOf(msg), Reason: reason}
			return nil
		case judged == nil:
			return refused("it is a commit")
		}
		return judged
	})
	return record, err
}
