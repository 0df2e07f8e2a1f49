package aggregate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/backoff"
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
//	                                      -> events: append -> stored: fold them into the cache
//	                                                        -> conflict: load what came, decide again
//
// Only conflicts of appends count as tries: an answer that was decided on an old state is never the last one.
func run(ctx context.Context, store *eventstore.Store, ops []Operation) error {
	locks, err := lockAll(ctx, ops)
	if err != nil {
		return err
	}
	defer locks.unlock()
	if err := beginAll(ctx, store, ops); err != nil {
		return err
	}
	var one [1]eventstore.Write // as most commands have
	var conflict error          // of the try before
	for tries, looks := 0, 0; ; {
		if err := searchAll(ctx, ops); err != nil {
			return err
		}
		writes, repeated, err := decideAll(ops, one[:])
		if answer := repeated != 0 || err != nil || len(writes) < len(ops); answer && looks < maxLooks {
			looks++
			changed, refreshErr := refreshAll(ctx, ops)
			if refreshErr != nil {
				return refreshErr
			}
			if changed {
				continue
			}
		}
		if repeated != 0 {
			return repeat(ctx, store, ops, repeated)
		}
		if err != nil {
			return err
		}
		if len(writes) > 0 && tries == ops[0].maxTries() {
			return fmt.Errorf("aggregate: gave up after %d tries: %w", tries, conflict)
		}
		conflict = appendAll(ctx, store, ops, writes)
		if !errors.Is(conflict, eventstore.ErrConflict) {
			return conflict
		}
		tries++
		if err := retries.Wait(ctx, tries); err != nil {
			return err
		}
		if _, err := refreshAll(ctx, ops); err != nil {
			return err
		}
	}
}

func beginAll(ctx context.Context, store *eventstore.Store, ops []Operation) error {
	for _, op := range ops {
		if err := op.begin(ctx, store); err != nil {
			return err
		}
	}
	return nil
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
	for _, op := range ops {
		if err := op.search(ctx); err != nil {
			return err
		}
	}
	return nil
}

// decideAll lets all operations decide and gives the writes of those that decided events, in room where they fit, or the position of a commit in
// which one was done before. That it was counts for more than what another says to the state since.
func decideAll(ops []Operation, room []eventstore.Write) (writes []eventstore.Write, repeated eventstore.Position, err error) {
	writes = room[:0]
	for _, op := range ops {
		write, before, no := op.decide()
		if before != 0 {
			return nil, before, nil
		}
		if err == nil {
			err = no
		}
		if len(write.Events) > 0 {
			writes = append(writes, write)
		}
	}
	return writes, 0, err
}

func refreshAll(ctx context.Context, ops []Operation) (changed bool, err error) {
	for _, op := range ops {
		c, err := op.refresh(ctx)
		if err != nil {
			return false, err
		}
		changed = changed || c
	}
	return changed, nil
}

// appendAll appends what was decided, and lets the operations take over what was stored.
func appendAll(ctx context.Context, store *eventstore.Store, ops []Operation, writes []eventstore.Write) error {
	var commits []*eventstore.Commit
	if len(writes) > 0 {
		var err error
		if commits, err = store.AppendAll(ctx, writes...); err != nil {
			return err
		}
	}
	var failed []error
	for _, op := range ops {
		var own *eventstore.Commit
		if len(commits) > 0 && commits[0].Stream == op.streamID() {
			own, commits = commits[0], commits[1:]
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
	commits := map[eventstore.StreamID]*eventstore.Commit{first.Stream: first}
	if tx := first.Transaction; tx != nil && len(ops) > 1 {
		begin := position - eventstore.Position(tx.Index)
		for i := range tx.Count {
			c, err := store.At(ctx, begin+eventstore.Position(i))
			if err != nil {
				return err
			}
			commits[c.Stream] = c
		}
	}
	for _, op := range ops {
		c := commits[op.streamID()]
		switch {
		case c != nil:
			err = op.repeated(c)
		case hasNothingToDo(op):
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

func hasNothingToDo(op Operation) bool {
	write, before, err := op.decide()
	return err == nil && before == 0 && len(write.Events) == 0
}
