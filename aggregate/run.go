package aggregate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/abreast"
	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/internal/system"
)

// retries spaces the tries of one command after conflicts.
var retries = backoff.Policy{Base: time.Millisecond, Max: 100 * time.Millisecond}

// maxLooks bounds how often one command asks the leader whether an answer without an append still holds. Each look that
// finds news is followed by a decision, so the last answer is of what the leader had during the call; without a bound, a
// stream that is written faster than it is read would hold the command until its context ends.
const maxLooks = 20

// Transact runs several operations, made with [Repository.On], as one transaction: the events of all of them are
// stored, or none are. A rejection of one rejects all. Each aggregate may take part once, else the error matches
// eventstore.ErrRefused; operations may be of different repositories over the same store. It blocks, retries and fails
// like [Repository.Do]. After it returned nil, each operation's Result says what became of it.
//
// What it did was decided on one state of the log. An operation that decides no events takes part as a guard of its stream: the
// events of the others are stored only while its aggregate is still at the version that it decided on. Where no operation
// decides events, nothing is stored, and all aggregates were at their versions at one moment during the call.
func Transact(ctx context.Context, store *eventstore.Store, operations ...Operation) error {
	if err := checkStreams(operations); err != nil {
		return err
	}
	return run(ctx, store, operations)
}

// run is the life of one command, or of several as one transaction:
//
//	load (cache, snapshot and what came after, or log) -> decide -> key found, rejected, no events or not the wanted version:
//	                                             ask the leader -> it has more: decide again
//	                                                            -> it has not: give the first commit, or say so
//	                                      -> events: append, with a guard for each state that decided none
//	                                                        -> stored: fold them into the cache
//	                                                        -> conflict: load what came, decide again
//
// Only conflicts of appends count as tries: an answer that was decided on an old state is never the last one. A conflict does not
// count either where it only shows that a remembered state, which decided nothing, was old.
func run(ctx context.Context, store *eventstore.Store, ops []Operation) error {
	var free [1]*lock // as most commands need
	locks, err := lockAll(ctx, ops, free[:])
	if err != nil {
		return err
	}
	defer locks.unlock()
	if err := beginAll(ctx, store, ops); err != nil {
		return err
	}
	var one [1]eventstore.Write // as most commands have
	var conflict error          // of the try before
	fresh := false              // the states are from the leader, and not only remembered
	for tries, looks := 0, 0; ; {
		if err := searchAll(ctx, ops); err != nil {
			return err
		}
		d, no := decideAll(ops, one[:])
		writing, confirmed := d.events && no == nil && d.repeated == 0, false
		if !writing && looks < maxLooks {
			looks++
			changed, err := refreshAll(ctx, ops)
			if err != nil {
				return err
			}
			if fresh = true; changed {
				continue
			}
			confirmed = true
		}
		if !writing {
			return answer(ctx, store, ops, d.repeated, no, confirmed)
		}
		if tries == ops[0].maxTries() && !ended(d.writes) {
			return fmt.Errorf("aggregate: gave up after %d tries: %w", tries, conflict)
		}
		conflict = appendAll(ctx, store, ops, d.writes)
		if !errors.Is(conflict, eventstore.ErrConflict) {
			return conflict
		}
		if fresh || !isGuard(d.writes, conflict) {
			tries++
		}
		if err := goOn(ctx, ops, tries, conflict); err != nil {
			return err
		}
		fresh = true
	}
}

// goOn loads, after a pause, what came before an append that conflicted. It gives the conflict back where that is about what an
// operation was given: only the caller can read that again.
func goOn(ctx context.Context, ops []Operation, tries int, conflict error) error {
	if err := retries.Wait(ctx, max(tries, 1)); err != nil {
		return err
	}
	changed, err := refreshAll(ctx, ops)
	if err == nil && !changed && isGiven(ops, conflict) {
		return conflict
	}
	return err
}

// ended reports whether one of the streams was closed, so that the append is refused before it is sent.
func ended(writes []eventstore.Write) bool {
	return slices.ContainsFunc(writes, func(w eventstore.Write) bool { return !w.Guard && w.Expected.Closed() })
}

func beginAll(ctx context.Context, store *eventstore.Store, ops []Operation) error {
	if len(ops) == 1 {
		return ops[0].begin(ctx, store)
	}
	all := slices.Clone(ops) // so that the one operation of most commands stays on its caller's stack
	_, err := abreast.Do(len(all), func(i int) error { return all[i].begin(ctx, store) })
	return err
}

// checkStreams refuses a transaction in which an aggregate takes part twice: each operation would decide on a state that the
// other is about to change.
func checkStreams(ops []Operation) error {
	seen := make(map[eventstore.StreamID]bool, len(ops))
	for _, op := range ops {
		stream := op.streamID()
		if seen[stream] {
			return fmt.Errorf("aggregate: %s: %w: it takes part in one transaction twice: put both into one command", stream, eventstore.ErrRefused)
		}
		seen[stream] = true
	}
	return nil
}

func searchAll(ctx context.Context, ops []Operation) error {
	if len(ops) == 1 {
		return ops[0].search(ctx)
	}
	all := slices.Clone(ops) // as in beginAll
	_, err := abreast.Do(len(all), func(i int) error { return all[i].search(ctx) })
	return err
}

func refreshAll(ctx context.Context, ops []Operation) (changed bool, err error) {
	if len(ops) == 1 {
		return ops[0].refresh(ctx)
	}
	all, news := slices.Clone(ops), make([]bool, len(ops)) // as in beginAll
	_, err = abreast.Do(len(all), func(i int) (err error) {
		news[i], err = all[i].refresh(ctx)
		return err
	})
	return slices.Contains(news, true), err
}

// decision is what all operations of a command or transaction decided.
type decision struct {
	writes   []eventstore.Write  // of those that decided events, and guards of the others
	events   bool                // some decided events
	repeated eventstore.Position // of a commit in which one was done before
}

// decideAll lets all operations decide. The writes stand in room where they fit. The error is a rejection, or a version that
// is not the wanted one. That one was done before counts for more than what another says to the state since.
func decideAll(ops []Operation, room []eventstore.Write) (d decision, err error) {
	d.writes = room[:0]
	for _, op := range ops {
		write, before, no := op.decide()
		if before != 0 {
			return decision{repeated: before}, nil
		}
		if err == nil {
			err = no
		}
		if len(write.Events) == 0 {
			write = eventstore.Write{Stream: write.Stream, Expected: write.Expected, Guard: true}
		}
		d.events = d.events || !write.Guard
		if no == nil && (!write.Guard || len(ops) > 1) {
			d.writes = append(d.writes, write)
		}
	}
	return d, err
}

// isGuard reports whether a conflict is about a stream that is only guarded.
func isGuard(writes []eventstore.Write, err error) bool {
	conflict, ok := errors.AsType[*eventstore.ConflictError](err)
	return ok && slices.ContainsFunc(writes, func(w eventstore.Write) bool { return w.Guard && w.Stream == conflict.Stream })
}

// answer ends a command that appends nothing: it was done before, or was rejected, or there is nothing to do. With several
// operations, nothing to do is an answer only where the leader had no news of any of the states.
func answer(ctx context.Context, store *eventstore.Store, ops []Operation, repeated eventstore.Position, no error, confirmed bool) error {
	if repeated != 0 {
		return repeat(ctx, store, ops, repeated)
	}
	if err := checkGiven(ctx, ops); err != nil {
		return err
	}
	if no != nil {
		return no
	}
	if !confirmed && len(ops) > 1 {
		return fmt.Errorf("aggregate: gave up after %d looks at %d aggregates, of which one changed each time: %w", maxLooks, len(ops), eventstore.ErrConflict)
	}
	return storedAll(ops, nil)
}

// appendAll appends what was decided, and lets the operations take over what was stored.
func appendAll(ctx context.Context, store *eventstore.Store, ops []Operation, writes []eventstore.Write) error {
	writes, err := withGiven(ops, writes)
	if err != nil {
		return err
	}
	commits, err := store.AppendAll(ctx, writes...)
	if err != nil {
		return err
	}
	return storedAll(ops, commits)
}

// storedAll lets the operations take over what was stored; there are no commits where nothing was.
func storedAll(ops []Operation, commits []*eventstore.Commit) error {
	var failed []error
	for i, op := range ops {
		var own *eventstore.Commit
		if len(commits) > 0 {
			own = commits[i]
		}
		if err := op.stored(own); err != nil {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// repeat gives each operation its part in the commit, or in the transaction, that was stored under the key before.
func repeat(ctx context.Context, store *eventstore.Store, ops []Operation, position eventstore.Position) error {
	first, err := store.At(ctx, position)
	if err != nil {
		return err
	}
	before, err := transactionOf(ctx, store, first, ops)
	if err != nil {
		return err
	}
	for _, op := range ops {
		c, tookPart := before[op.streamID()]
		switch {
		case c != nil:
			err = op.repeated(c)
		case hasNothingToDo(op, tookPart):
			err = op.stored(nil) // and had nothing to do then
		default:
			err = &KeyReusedError{Stream: first.Stream, Key: first.Key, Version: first.First}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// transactionOf gives the commits of a transaction by their streams, and nil for each stream that it guarded. For a single
// operation its own commit is enough.
func transactionOf(ctx context.Context, store *eventstore.Store, c *eventstore.Commit, ops []Operation) (map[eventstore.StreamID]*eventstore.Commit, error) {
	found := map[eventstore.StreamID]*eventstore.Commit{c.Stream: c}
	if c.Transaction == nil || len(ops) == 1 {
		return found, nil
	}
	begin := c.Position - eventstore.Position(c.Transaction.Index)
	all := make([]*eventstore.Commit, c.Transaction.Count)
	_, err := abreast.Do(len(all), func(i int) (err error) {
		all[i], err = store.At(ctx, begin+eventstore.Position(i))
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, c := range all {
		found[c.Stream] = c
		for recorded := range c.Events() {
			if recorded.Type() != (system.StreamGuarded{}).EventType() {
				continue
			}
			decoded, err := recorded.Decode()
			if err != nil {
				return nil, err
			}
			found[eventstore.StreamID(decoded[0].(system.StreamGuarded).Stream)] = nil
		}
	}
	return found, nil
}

// hasNothingToDo reports whether an operation decides nothing. Where it did so in the transaction that is repeated, it may be
// rejected in the meantime: what counts is what was so then.
func hasNothingToDo(op Operation, did bool) bool {
	write, before, err := op.decide()
	return before == 0 && len(write.Events) == 0 && (err == nil || did)
}
