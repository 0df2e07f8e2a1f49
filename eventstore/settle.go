package eventstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// settle goes on from the answer to the first try until the outcome is known:
//
//	publish -> acknowledged ----------------------------------------> stored once on disk; if the position was seen
//	                                                                  before, the log went backwards
//	        -> anything else: look at the leader's tail
//	               our commit at our version -----------------------> stored, likewise
//	               another commit there ----------------------------> conflict
//	               a guarded stream moved, and we were not before it -> conflict
//	               no such version: a clear refusal, no try in doubt -> refused
//	                                otherwise back off and publish again, of all tries at most one can win
//	               a part of our transaction -----------------------> publish again; unknown if that is refused
//	               damage, a lost log, an erasure ------------------> that error, or unknown if a try is in doubt
//	        -> time is up: unavailable, or unknown if a try is in doubt
func (a *attempt) settle(ctx context.Context, answer jsapi.Answer) ([]*Commit, error) {
	wr := a.writer
	for try := 1; ; try++ {
		if answer.Class == jsapi.Stored {
			return a.stored(ctx, Position(answer.Sequence))
		}
		wr.confirmed.Store(nil)
		a.doubt = a.doubt || answer.Class == jsapi.Unknown
		if ctx.Err() != nil {
			return nil, a.undecided(context.Cause(ctx), answer.Err)
		}
		if wr.conn.api.Session().Closed() {
			return nil, a.undecided(nats.ErrConnectionClosed, answer.Err)
		}
		if errors.Is(answer.Err, jsapi.ErrOtherStream) || refusedBySettings(answer.Class) {
			wr.seen.distrust()
		}
		wrong := wr.trust.trusted(ctx)
		drifted := errors.Is(wrong, errDrifted)
		if isDamage(wrong) && (!drifted || !a.doubt) { // the log still says what became of a try in doubt
			return nil, a.hindered(wrong, answer.Err)
		}
		no := a.refusal(ctx, answer)
		// A missing permission is inferred from silence and an older complaint, so it is looked into as well.
		denied := errors.Is(no, ErrNoPermission)
		if no != nil && !denied && !a.doubt {
			return nil, no
		}
		found, last, err := a.look(ctx, answer)
		switch {
		case found:
			wr.resolved.Add(1)
			return a.stored(ctx, last)
		case errors.Is(err, ErrConflict):
			return nil, err
		case isDamage(err), errors.Is(err, ErrErased), errors.Is(err, ErrDisk):
			return nil, a.hindered(err, answer.Err)
		case denied && !a.doubt && (err == nil || errors.Is(err, nats.ErrPermissionViolation)):
			return nil, no
		case drifted:
			return nil, a.hindered(wrong, answer.Err)
		}
		if err := wr.conn.api.Pause(ctx, retries, try); err != nil {
			return nil, a.undecided(err, answer.Err)
		}
		answer = a.publish(ctx)
	}
}

// refusedBySettings reports whether a setting of the stream may be the reason for an answer.
func refusedBySettings(class jsapi.Class) bool {
	return class == jsapi.TooLarge || class == jsapi.NoBatches || class == jsapi.Refused
}

// publish is one try after a wait. The connection may have broken meanwhile, so the log is looked at again before. A
// server that comes up from a power cut may have half of a transaction that was acknowledged, and a commit on top of it
// would vouch for it.
func (a *attempt) publish(ctx context.Context) jsapi.Answer {
	if err := a.writer.trust.ready(ctx); err != nil {
		return jsapi.Answer{Class: jsapi.Unavailable, Err: err}
	}
	a.tries++
	return a.writer.conn.api.PublishBatch(ctx, a.batch(), a.writer.conn.cfg.AckTimeout)
}

// batch returns the writes in the order in which they are sent. Guards come first, so a commit ends the transaction.
func (a *attempt) batch() []jsapi.Write {
	if len(a.writes) == 1 {
		return a.writes
	}
	batch := make([]jsapi.Write, len(a.writes))
	for i, c := range a.commits {
		batch[c.Transaction.Index] = a.writes[i]
	}
	return batch
}

// stored waits until the commits are on disk, and fills in the positions. It is called with the last position, because
// the commits of a batch stand next to each other. A commit that is in the log and may not be on disk is in doubt: a
// power cut may take it away.
func (a *attempt) stored(ctx context.Context, last Position) ([]*Commit, error) {
	if err := a.again(last); err != nil {
		a.doubt = true
		return nil, a.undecided(err, nil)
	}
	if err := a.writer.conn.synced(a.writer.conn.disk.Stored(ctx, uint64(last))); err != nil {
		a.doubt = true
		return nil, a.undecided(err, nil)
	}
	for i, c := range a.commits {
		c.Position = last
		if c.Transaction != nil {
			c.Position -= Position(c.Transaction.Count - 1 - c.Transaction.Index)
		}
		if c.Position == last {
			a.writer.seen.see(c)
		}
		if a.isGuard(i) {
			a.commits[i] = nil
		}
	}
	return a.commits, nil
}

// again refuses a position that was seen before the first try was sent. The server used it a second time, because the
// log has lost the first commit there. It is called with the last position of the attempt's commits.
func (a *attempt) again(last Position) error {
	if a.seen == nil || last >= a.seen.Position+Position(len(a.commits)) {
		return nil
	}
	wr := a.writer
	return wr.trust.condemn(rewound(wr.conn.store, mark{Position: a.seen.Position, Commit: a.seen.ID.String()}, last,
		fmt.Sprintf("a commit was stored at position %d after that", last-min(last, Position(len(a.commits)-1)))))
}

// refusal returns the error for an answer that is a clear refusal, or nil.
func (a *attempt) refusal(ctx context.Context, answer jsapi.Answer) error {
	switch answer.Class {
	case jsapi.TooMany:
		return a.refused(ErrTooLarge, a.writer.adviseFewer(ctx, a.writes), answer.Err)
	case jsapi.NoBatches:
		return a.refused(ErrRefused, "allow atomic batches (allow_atomic) in JetStream stream "+a.writer.conn.store, answer.Err)
	case jsapi.Full:
		return a.refused(ErrFull, "free or add storage, or raise the store's MaxBytes", answer.Err)
	case jsapi.TooLarge:
		// The server's limit was lowered meanwhile.
		largest := slices.MaxFunc(a.writes, func(x, y jsapi.Write) int { return cmp.Compare(len(x.Data), len(y.Data)) })
		return a.refused(ErrTooLarge, a.writer.adviseSmaller(len(largest.Data)), answer.Err)
	case jsapi.Refused:
		if errors.Is(answer.Err, nats.ErrPermissionViolation) {
			return a.refused(ErrNoPermission, "allow this user to publish to "+a.writer.conn.store+".>", answer.Err)
		}
		return a.refused(ErrRefused, "", answer.Err)
	default:
		return nil
	}
}

// refused returns the error of an append that is not stored. If a part of it is in the log, that is not certain.
func (a *attempt) refused(reason error, advice string, err error) error {
	c := a.commits[a.named]
	if a.torn {
		return unknownOutcome(c.Stream, c.First, c.ID, err)
	}
	return &AppendError{Stream: c.Stream, Version: c.First, Reason: reason, Advice: advice, Err: err}
}

// undecided returns the error for an append whose time is up.
func (a *attempt) undecided(cause, last error) error {
	err := cause
	if last != nil && !errors.Is(last, cause) {
		err = fmt.Errorf("%w; last answer: %w", cause, last)
	}
	if !a.doubt {
		return a.refused(ErrUnavailable, "try again when the server answers", err)
	}
	c := a.commits[a.named]
	return unknownOutcome(c.Stream, c.First, c.ID, err)
}

// hindered returns the error for an append that cannot go on because of the state of the log. If a try is in doubt, our
// commit may be what is damaged, lost or erased.
func (a *attempt) hindered(err, last error) error {
	switch {
	case a.doubt:
		return a.undecided(err, last)
	case errors.Is(err, ErrErased):
		return a.refused(ErrErased, "", err)
	}
	return err
}

// look reads, from the stream's leader, what stands on each subject after the expected position. It reports whether
// our commits stand there, and where the last of them is. It returns a ConflictError if they do not and never will. If
// nothing is there, it reports false without an error. Any other error means that the leader did not answer, or that
// the log does not say.
func (a *attempt) look(ctx context.Context, answer jsapi.Answer) (found bool, last Position, err error) {
	for i, c := range a.commits {
		if a.isGuard(i) {
			continue
		}
		next, err := a.writer.fetcher.leaderNext(ctx, a.writes[i].Subject, a.expected[i].Position+1)
		switch {
		case errors.Is(err, jsapi.ErrNotFound) && answer.Class == jsapi.Conflict:
			if err := a.checkExpectation(ctx, i); err != nil {
				return false, 0, err
			}
			continue
		case errors.Is(err, jsapi.ErrNotFound):
			continue
		case err != nil:
			return false, 0, err
		case next.ID == c.ID:
			whole, err := a.writer.fetcher.whole(ctx, next)
			if whole || err != nil {
				return whole, next.end(), err
			}
			a.torn = true
		}
		return false, 0, a.taken(ctx, i, next)
	}
	return false, 0, a.moved(ctx, answer)
}

// taken returns why our commits are not stored, if next is the first commit after the expected position on one of the
// subjects and is not ours. It returns nil if they may still be stored. If next begins at our version, none of our
// tries is stored, or ever will be. If it begins later, the commit at our version is gone, and may have been ours.
func (a *attempt) taken(ctx context.Context, i int, next *Commit) error {
	c := a.commits[i]
	if next.First == c.First {
		a.doubt = false
	}
	head, err := a.writer.log.head(ctx, c.Stream)
	if err != nil {
		return err
	}
	if a.expected[i].Position == 0 && head.Version == 0 && !a.doubt {
		// There are only remainders of torn transactions, which no count noticed in a burst of new streams.
		a.expected[i], a.writes[i].Expected = head, uint64(head.Position)
		return nil
	}
	if err := a.refute(ctx, i); err != nil {
		return err
	}
	if a.doubt {
		return &ReadError{Store: a.writer.conn.store, Reason: ErrCorrupt, Stream: c.Stream, Position: next.Position,
			Err: fmt.Errorf("version %d stands after position %d, where version %d should", next.First, a.expected[i].Position, c.First)}
	}
	return a.firstConflict(ctx, i, &ConflictError{Stream: c.Stream, Expected: a.expected[i].Version, Actual: head.Version})
}

// checkExpectation is called after a conflict with nothing after the expected position. It tells a write in flight
// from an expectation that does not hold, because the subject's last message stands elsewhere. If a try is in doubt,
// that message may be ours and have come between the two questions, or the leader may be another that has not caught
// up. Then what stands there is looked at again.
func (a *attempt) checkExpectation(ctx context.Context, i int) error {
	head, err := a.writer.log.head(ctx, a.commits[i].Stream)
	if err != nil || head.Position == a.expected[i].Position {
		return err
	}
	if err := a.refute(ctx, i); err != nil || a.doubt {
		return err
	}
	if head.Version == a.expected[i].Version && !head.Closed() {
		// The message on top is not a commit: the stream is where its writer saw it. No try is stored, so the next try
		// may expect that message.
		a.expected[i], a.writes[i].Expected = head, uint64(head.Position)
		return nil
	}
	return &ConflictError{Stream: a.commits[i].Stream, Expected: a.expected[i].Version, Actual: head.Version}
}

// refute ends the doubt if an expectation never was true: another stream's commit stands at its position, so none of
// our tries is stored, or ever will be.
func (a *attempt) refute(ctx context.Context, i int) error {
	if !a.doubt || a.expected[i].Position == 0 {
		return nil
	}
	there, err := a.writer.fetcher.at(ctx, a.expected[i].Position)
	if foreign, ok := errors.AsType[*foreignError](err); ok {
		a.doubt = foreign.Subject == a.writes[i].Subject
		return nil
	}
	if err != nil {
		if errors.Is(err, jsapi.ErrNotFound) {
			return nil
		}
		return err
	}
	a.doubt = there.Stream == a.commits[i].Stream
	return nil
}
