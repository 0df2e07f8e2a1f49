package eventstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// restored is one message of an archive on its way into a target.
type restored struct {
	sequence uint64 // that the message must get
	subject  string
	header   []string // names and values in turn
	data     []byte
	filler   bool    // stands for an erased commit
	commit   *Commit // nil in a bucket and for a filler
}

// equals reports whether a target holds the same message.
func (m restored) equals(have jsapi.Message) bool {
	return m.subject == have.Subject && bytes.Equal(m.data, have.Data) && slices.Equal(m.header, keptHeader(have.Header))
}

// target is a JetStream stream that is filled from its first message on. Every batch expects that the stream's last
// message is the one before it. So each message gets its sequence or is not stored, however often it is sent.
type target struct {
	conn   *conn
	stream string
	closed bool          // it is only compared
	stored func(*Commit) // is called with every commit that is stored; may be nil

	found    uint64 // the stream was filled up to here when it was looked at
	compared bool   // with what the archive has there
	last     restored
	added    uint64 // sequence of the last message of the archive
	pending  []restored
	size     int // of what is pending
	batch    int // how many messages the server takes at once, if it refused more; else 0
}

// add takes the next message of the archive.
func (t *target) add(ctx context.Context, m restored) error {
	t.added++
	m.sequence = t.added
	if m.sequence <= t.found {
		if !m.filler {
			t.last = m
		}
		t.tell(m)
		return nil
	}
	if err := t.compare(ctx); err != nil {
		return err
	}
	if t.closed {
		return targetTaken(t.stream, fmt.Sprintf("it ends at %d, the archive goes on", t.found))
	}
	if len(t.pending) == importMessages || len(t.pending) > 0 && t.size+len(m.data) > importBytes {
		if err := t.flush(ctx); err != nil {
			return err
		}
	}
	t.pending = append(t.pending, m)
	t.size += len(m.data)
	return nil
}

// finish stores what is pending. The target must not hold more than the archive.
func (t *target) finish(ctx context.Context) error {
	if err := t.compare(ctx); err != nil {
		return err
	}
	if t.added < t.found {
		return targetTaken(t.stream, fmt.Sprintf("it goes on to %d, the archive ends at %d", t.found, t.added))
	}
	return t.flush(ctx)
}

func (t *target) tell(m restored) {
	if t.stored != nil && m.commit != nil {
		t.stored(m.commit)
	}
}

// compare makes sure that the target, as it was looked at, has what the archive has: the same last message at the same
// sequence, in a stream that only imports of this archive wrote to.
func (t *target) compare(ctx context.Context) error {
	if t.compared {
		return nil
	}
	t.compared = true
	if t.last.sequence == 0 {
		return nil
	}
	return t.expect(ctx, t.last)
}

// expect makes sure that the target holds a message.
func (t *target) expect(ctx context.Context, m restored) error {
	have, err := t.conn.message(ctx, t.stream, m.sequence)
	switch {
	case errors.Is(err, jsapi.ErrNotFound) && m.filler:
		return nil // another import, which was faster, has deleted it
	case errors.Is(err, jsapi.ErrNotFound):
		return targetTaken(t.stream, fmt.Sprintf("the message at %d is missing", m.sequence))
	case err != nil:
		return err
	case !m.equals(have):
		return targetTaken(t.stream, fmt.Sprintf("the message at %d is another than the archive's", m.sequence))
	}
	return nil
}

// flush stores what is pending:
//
//	batch -> acknowledged -------------------------------------------------> stored
//	      -> refused for the number of its messages -----------------------> send as many as the server takes
//	      -> refused for a reason that stays -------------------------------> error
//	      -> anything else: ask the leader where the stream ends
//	             before the batch -----------------------------------------> back off and send it again
//	             in the batch, with the archive's message there -------------> send the rest
//	             after it, likewise: another import is faster ---------------> go on after its end
//	             another message there --------------------------------------> another program writes: error
func (t *target) flush(ctx context.Context) error {
	for try := 1; len(t.pending) > 0; try++ {
		n := len(t.pending)
		if t.batch > 0 {
			n = min(n, t.batch)
		}
		last := t.pending[n-1].sequence
		answer := t.conn.api.PublishBatch(ctx, t.writes(n), importPatience*t.conn.cfg.AckTimeout)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if answer.Class == jsapi.Stored && answer.Sequence == last {
			t.done(n)
			try = 0
			continue
		}
		if answer.Class == jsapi.TooMany {
			var err error
			if t.batch, err = t.conn.batchLimit(ctx, t.pending[0].subject); err != nil {
				return err
			}
			continue
		}
		if err := refusedImport(answer); err != nil {
			return err
		}
		moved, err := t.settle(ctx)
		if err != nil {
			return err
		}
		if moved {
			try = 0
			continue
		}
		if err := rescans.Wait(ctx, try); err != nil {
			return err
		}
	}
	return nil
}

// settle finds out how many of the pending messages are stored, and reports whether any is.
func (t *target) settle(ctx context.Context) (moved bool, err error) {
	info, err := t.conn.leaderInfo(ctx, t.stream)
	if err != nil {
		return false, err
	}
	first, last, end := t.pending[0].sequence, t.pending[len(t.pending)-1], info.State.LastSeq
	switch {
	case end == first-1:
		return false, nil
	case end < first:
		return false, targetTaken(t.stream, fmt.Sprintf("it ends at %d, but it had %d messages before", end, first-1))
	case end > last.sequence:
		t.found, t.compared, t.last = end, false, last
		end = last.sequence
	}
	if err := t.expect(ctx, t.pending[end-first]); err != nil {
		return false, err
	}
	t.done(int(end-first) + 1)
	return true, nil
}

// done takes the first n messages off those that are pending.
func (t *target) done(n int) {
	for _, m := range t.pending[:n] {
		t.size -= len(m.data)
		t.tell(m)
	}
	t.pending = slices.Delete(t.pending, 0, n)
}

// writes returns the next n messages that are pending.
func (t *target) writes(n int) []jsapi.Write {
	writes := make([]jsapi.Write, n)
	for i, m := range t.pending[:n] {
		header := make(nats.Header, 4)
		for at := 0; at < len(m.header); at += 2 {
			header[m.header[at]] = append(header[m.header[at]], m.header[at+1])
		}
		writes[i] = jsapi.Write{Subject: m.subject, Unconditional: true, Header: header, Data: m.data}
	}
	writes[0].Header.Set(jetstream.ExpectedLastSeqHeader, fmt.Sprint(t.pending[0].sequence-1))
	return writes
}

// refusedImport returns the error of an answer that will not change, or nil.
func refusedImport(answer jsapi.Answer) error {
	switch answer.Class {
	case jsapi.Full:
		return fmt.Errorf("%w: free or add storage, or raise MaxBytes, and import again: %w", ErrFull, answer.Err)
	case jsapi.TooLarge:
		return fmt.Errorf("%w: raise the server's max_payload, and import again: %w", ErrTooLarge, answer.Err)
	case jsapi.Refused:
		if errors.Is(answer.Err, nats.ErrPermissionViolation) {
			return fmt.Errorf("%w: %w", ErrNoPermission, answer.Err)
		}
		return fmt.Errorf("%w: %w", ErrRefused, answer.Err)
	default:
		return nil
	}
}
