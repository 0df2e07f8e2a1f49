package eventstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/system"
)

// A guard is a message of an atomic batch whose expectation is about the subject of a stream that the batch does not
// write:
//
//	guard 1, guard 2, ... -> <store>.runnel.guards, each expects the last sequence of the stream that it guards
//	commit 1, commit 2, ... -> the subjects of their streams, each expects its last sequence
//
// The server compares all of them at one moment, with what is stored and with what is under way. Of two batches that
// each write what the other guards, it refuses one. No batch expects anything of the guards' own subject, so batches
// that guard one stream are all stored. Subjects of expectations are literal: see Append.

// guardStream stands for the guards in the log. It is not a stream, because guards have no versions.
var guardStream = StreamID{Category: system.Category, ID: "guards"}

// guardSubject is the end of the subject of all guards of a store.
const guardSubject = "." + system.Category + ".guards"

// isGuard reports whether a commit that was read is a guard.
func (c *Commit) isGuard() bool { return c.Stream == guardStream }

// subjectToRead returns the subject of a stream that can be read.
func subjectToRead(store string, stream StreamID) (string, error) {
	if stream == guardStream {
		return "", fmt.Errorf("%w: %s is not a stream: Store.At returns the guards of a transaction, which stand before its commits", ErrInvalidID, stream)
	}
	return stream.subject(store)
}

// indexOf returns the index in the transaction of one of its writes. Guards come first.
func indexOf(writes []Write, at int) (index int) {
	for i, w := range writes {
		if w.Guard && !writes[at].Guard || w.Guard == writes[at].Guard && i < at {
			index++
		}
	}
	return index
}

// isGuard reports whether a write of the attempt is a guard.
func (a *attempt) isGuard(i int) bool { return a.writes[i].Guards != "" }

// moved returns why nothing of an attempt is stored: a stream that it guards has moved. If a try is in doubt, that must
// be proved, because the try may have been stored before the stream moved, after we had looked for it.
func (a *attempt) moved(ctx context.Context, answer jsapi.Answer) error {
	for i, c := range a.commits {
		if !a.isGuard(i) {
			continue
		}
		next, err := a.writer.fetcher.leaderNext(ctx, a.writes[i].Guards, a.expected[i].Position+1)
		switch {
		case errors.Is(err, jsapi.ErrNotFound) && answer.Class == jsapi.Conflict:
			if err := a.checkExpectation(ctx, i); err != nil {
				return err
			}
			continue
		case errors.Is(err, jsapi.ErrNotFound):
			continue
		case err != nil:
			return err
		}
		if err := a.provenMoved(ctx, i, next.Position); err != nil || a.doubt {
			return err
		}
		head, err := a.writer.log.head(ctx, c.Stream)
		if err != nil {
			return err
		}
		return a.firstConflict(ctx, i, &ConflictError{Stream: c.Stream, Expected: a.expected[i].Version, Actual: head.Version})
	}
	return nil
}

// provenMoved ends the doubt if one replica, at one moment, has the guarded stream's commit at a position and nothing
// of the attempt. Any later try is refused because of the guard, and an earlier one would be there.
func (a *attempt) provenMoved(ctx context.Context, guard int, position Position) error {
	if !a.doubt {
		return nil
	}
	guarded, written := a.writes[guard].Guards, a.writes[a.named].Subject
	last, err := a.writer.conn.api.DirectLastMany(ctx, a.writer.conn.store, []string{guarded, written}, 2*int(min(a.writer.conn.limit(), fetchBytes)))
	if err != nil || last.Pending > 0 {
		return err
	}
	moved, stored := false, false
	for _, msg := range last.Found {
		moved = moved || msg.Subject == guarded && Position(msg.Sequence) >= position
		stored = stored || msg.Subject == written && Position(msg.Sequence) > a.expected[a.named].Position
	}
	a.doubt = !moved || stored
	return nil
}
