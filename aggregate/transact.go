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
	"github.com/runnel-go/runnel/internal/defaults"
	"github.com/runnel-go/runnel/internal/system"
)

// TransactConfig holds the settings of a transaction. A nil *TransactConfig and the zero one give the defaults.
// Transact refuses negative numbers.
type TransactConfig struct {
	// MaxTries is how many appends of the transaction may conflict before Transact gives up. Defaults to 20.
	MaxTries int
}

// retries spaces the tries of one command after conflicts.
var retries = backoff.Policy{Base: time.Millisecond, Max: 100 * time.Millisecond}

// maxLooks bounds how often one command asks the leader whether an answer without an append still holds. A command
// decides again after each look that finds newer commits, so its last answer was true at some time during the call.
// Without a bound, a stream that is written faster than it is read would hold the command until its context ends.
const maxLooks = 20

// Transact runs several operations as one transaction: the events of all of them are stored, or none are. If one
// operation is rejected, all are. Each aggregate may take part once, otherwise the error matches eventstore.ErrRefused.
// The operations may be of different repositories over the same store. Transact blocks, retries and fails like
// [Repository.Do]. After it has returned nil, each operation's Result says what it led to.
//
// All operations decide on one state of the log. An operation that decides no events guards its stream: the events of
// the other operations are stored only if its aggregate is still at the version that it decided on. If no operation
// decides events, nothing is stored, and all aggregates were at their versions at one moment during the call.
func Transact(ctx context.Context, store *eventstore.Store, cfg *TransactConfig, operations ...Operation) error {
	full := defaults.Of(cfg)
	if err := defaults.Set("MaxTries", &full.MaxTries, 20); err != nil {
		return fmt.Errorf("aggregate: transaction: %w: %w", ErrInvalid, err)
	}
	if err := checkStreams(operations); err != nil {
		return err
	}
	return runAround(ctx, store, operations, full.MaxTries)
}

// checkStreams refuses a transaction in which an aggregate takes part twice, because each operation would decide on a
// state that the other is about to change.
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

// runAround runs operations within the Around of each of their repositories, the first operation's outermost.
func runAround(ctx context.Context, store *eventstore.Store, ops []Operation, maxTries int) error {
	hooked := false
	for _, op := range ops {
		hooked = hooked || op.hook() != nil
	}
	if !hooked {
		return run(ctx, store, ops, maxTries)
	}
	all := slices.Clone(ops) // as in beginAll
	return around(ctx, all, func(ctx context.Context) error { return run(ctx, store, all, maxTries) })
}

func around(ctx context.Context, ops []Operation, do func(ctx context.Context) error) error {
	if len(ops) == 0 {
		return do(ctx)
	}
	inner := func(ctx context.Context) error { return around(ctx, ops[1:], do) }
	if hook := ops[0].hook(); hook != nil {
		return hook(ctx, inner)
	}
	return inner(ctx)
}

// run is the life of one command, or of several as one transaction:
//
//	load: cache, or snapshot and newer commits, or log
//	decide --> no append follows: the key was used, a rejection, no events, or another version than IfVersion wants
//	  ^          ask the leader --> it has newer commits: decide again
//	  |                         --> it has none: return the answer
//	  |    --> events: append them, with a guard for each operation that decided none
//	  |          --> stored: fold them into the cache, return
//	  +----------<-- conflict: load the newer commits
//
// Only conflicts of appends count as tries, because the last answer is never decided on an old state. A conflict does
// not count if it only shows that a cached state, which was merely guarded, was old.
func run(ctx context.Context, store *eventstore.Store, ops []Operation, maxTries int) error {
	var free [1]*lock // enough for most commands
	locks, err := lockAll(ctx, ops, free[:])
	if err != nil {
		return err
	}
	defer locks.unlock()
	if err := beginAll(ctx, store, ops); err != nil {
		return err
	}
	var one [1]eventstore.Write // enough for most commands
	var conflict error          // of the try before
	fresh := false              // the states are the leader's, and not only cached
	for tries, looks := 0, 0; ; {
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
		if tries == maxTries && !ended(d.writes) {
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

// goOn waits after a conflict and loads the newer commits. It returns the conflict if it is about an aggregate that an
// operation was given, because only the caller can read that again.
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
		return ops[0].begin(ctx, store, ops[0].said().key != "")
	}
	all := slices.Clone(ops) // so that a command's single operation stays on the stack of Do
	keyed := transactionKey(all) != ""
	_, err := abreast.Do(len(all), func(i int) error { return all[i].begin(ctx, store, keyed) })
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
	writes   []eventstore.Write  // the events, and guards for the operations that decided none
	events   bool                // at least one operation decided events
	repeated eventstore.Position // the commit in which an operation was done before, or 0
}

// decideAll lets all operations decide. It appends the writes to memory, as long as they fit. The error is a rejection,
// or a version that is not the wanted one. A command that was already done is reported as repeated even if another
// operation would now reject.
func decideAll(ops []Operation, memory []eventstore.Write) (d decision, err error) {
	d.writes = memory[:0]
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
	if err == nil && d.events {
		d.repeated = d.keepKey(ops)
	}
	return d, err
}

// transactionKey returns the first key of an operation, or "" if none has one.
func transactionKey(ops []Operation) string {
	for _, op := range ops {
		if key := op.said().key; key != "" {
			return key
		}
	}
	return ""
}

// keepKey makes sure that the key of a transaction is stored. An operation that decides no events keeps none, so the
// first one that decides some borrows its key. It returns the position of the commit in which that was done before.
func (d *decision) keepKey(ops []Operation) eventstore.Position {
	key := transactionKey(ops)
	first := slices.IndexFunc(d.writes, func(w eventstore.Write) bool { return !w.Guard })
	if key == "" || slices.ContainsFunc(d.writes, func(w eventstore.Write) bool { return w.Key != "" }) {
		return 0
	}
	d.writes[first].Key = key
	return ops[first].borrow(key)
}

// isGuard reports whether a conflict is about a stream that is only guarded.
func isGuard(writes []eventstore.Write, err error) bool {
	conflict, ok := errors.AsType[*eventstore.ConflictError](err)
	return ok && slices.ContainsFunc(writes, func(w eventstore.Write) bool { return w.Guard && w.Stream == conflict.Stream })
}

// answer ends a command that appends nothing: it was done before, was rejected, or has nothing to do. Several
// operations have nothing to do only if the leader confirmed all their states at once.
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
		return fmt.Errorf("aggregate: gave up after %d looks at %d aggregates, one of which changed each time: %w", maxLooks, len(ops), eventstore.ErrConflict)
	}
	return storedAll(ops, nil)
}

// appendAll appends what was decided, and passes the stored commits to the operations.
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

// storedAll passes the stored commits to the operations. Without commits, nothing was stored.
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

// repeat passes to each operation its part in the commit or transaction that was stored under the key before.
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
			err = op.stored(nil) // it had nothing to do then, too
		default:
			err = &KeyError{Stream: first.Stream, Key: first.Key, Version: first.First, Err: ErrKeyReused}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// transactionOf returns the commits of a transaction by their streams, and nil for each stream that it guarded. For a
// single operation its own commit is enough.
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

// hasNothingToDo reports whether an operation decides nothing. If it guarded its stream in the transaction that is
// repeated, a present rejection does not count, because only its decision at that time does.
func hasNothingToDo(op Operation, guarded bool) bool {
	write, before, err := op.decide()
	return before == 0 && len(write.Events) == 0 && (err == nil || guarded)
}
