package aggregate

import (
	"context"
	"errors"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/hook"
	"github.com/runnel-go/runnel/internal/snapshots"
)

// Operation is one aggregate's part in a transaction. [Repository.On], [Unique.Claim] and [Unique.Release] make
// operations. Each is for one call of [Transact].
type Operation interface {
	streamID() eventstore.StreamID
	// hook returns a function that runs do within the Around of the operation's repository, or nil without an Around.
	hook() func(ctx context.Context, do func(ctx context.Context) error) error
	// said returns what the caller's options say. It must not be changed.
	said() *options
	// lock returns the lock that the operation holds while it runs.
	lock() *lock
	// borrow lends the key of another operation to this one. If this one was done under it before, borrow returns the
	// position of that commit.
	borrow(key string) eventstore.Position
	// begin loads the state to decide on, and looks for a key with a known time of issue beyond the keys that the state
	// remembers. If some operation of the transaction has a key, the commands of all are compared when it is repeated.
	begin(ctx context.Context, store *eventstore.Store, keyed bool) error
	// refresh loads the commits that the leader has beyond that state, and reports whether there were any. If there
	// were, it looks for the key again.
	refresh(ctx context.Context) (changed bool, err error)
	// decide returns the write that follows from the state. If the operation was done before, under the same key, it
	// returns the position of that commit instead.
	decide() (eventstore.Write, eventstore.Position, error)
	// stored takes over the stored commit, nil if the operation decided no events. It fails if the commit cannot be
	// decoded.
	stored(c *eventstore.Commit) error
	// repeated takes over the commit that was stored before.
	repeated(c *eventstore.Commit) error
}

// Op is the [Operation] of a command on one aggregate.
type Op[S State[S, E], E eventstore.Event] struct {
	repository *Repository[S, E]
	id         string
	command    Command[S, E]
	options    options

	hash     []byte
	borrowed string // the key of another operation, or ""
	entry    entry[S]
	earlier  *snapshots.Key // an earlier use of the command's key that the entry does not remember
	decided  []E
	result   Result[S, E]
	one      [1]eventstore.Event // memory for the events to append: most commands decide one
}

// On returns the operation of a command on the aggregate of that id, for [Transact]. It does nothing by itself.
func (r *Repository[S, E]) On(id string, command Command[S, E], opts ...Option) *Op[S, E] {
	op := &Op[S, E]{repository: r, id: id, command: command}
	for _, option := range opts {
		option(&op.options)
	}
	op.options.within(r.store.Identity())
	return op
}

// Result returns what the operation led to, after Transact has returned nil.
func (op *Op[S, E]) Result() Result[S, E] { return op.result }

func (op *Op[S, E]) streamID() eventstore.StreamID { return op.repository.stream(op.id) }
func (op *Op[S, E]) said() *options                { return &op.options }
func (op *Op[S, E]) lock() *lock                   { return op.repository.locks.of(op.id) }

func (op *Op[S, E]) hook() func(ctx context.Context, do func(ctx context.Context) error) error {
	if op.repository.cfg.Around == nil {
		return nil
	}
	return op.around
}

func (op *Op[S, E]) around(ctx context.Context, do func(ctx context.Context) error) error {
	call := Call{Stream: op.streamID(), Command: op.command}
	err := hook.Run(ctx, op.repository.cfg.Around, call, do)
	if errors.Is(err, hook.ErrSkipped) {
		return fmt.Errorf("aggregate: %s: %w", call.Stream, err)
	}
	return err
}

func (op *Op[S, E]) borrow(key string) eventstore.Position {
	op.borrowed = key
	if before, ok := op.entry.keys.find(key); ok && !before.Closed && string(before.Hash) == string(op.hash) {
		return before.Position
	}
	return 0
}

func (op *Op[S, E]) begin(ctx context.Context, store *eventstore.Store, keyed bool) error {
	if store != op.repository.store {
		return fmt.Errorf("aggregate: %s: the transaction is over another store than the repository", op.streamID())
	}
	for _, g := range op.options.given {
		if g.store != store {
			return fmt.Errorf("aggregate: %s: it is given %s of another store", op.streamID(), g.stream)
		}
	}
	if err := op.options.badKey; err != nil {
		return fmt.Errorf("aggregate: %s: %w", op.streamID(), err)
	}
	var err error
	if keyed {
		op.hash, err = hashCommand(op.command, &op.repository.plainTypes)
		if err != nil && op.options.key != "" { // else the command may be one that cannot be compared
			return fmt.Errorf("aggregate: %s: %w", op.streamID(), err)
		}
	}
	if op.entry, _, err = op.repository.recall(ctx, op.id); err != nil {
		return err
	}
	if err := op.checkIssued(ctx); err != nil {
		return err
	}
	return op.search(ctx)
}

func (op *Op[S, E]) refresh(ctx context.Context) (changed bool, err error) {
	op.entry, changed, err = op.repository.refresh(ctx, op.id, op.entry)
	if err != nil || !changed {
		return false, err
	}
	return true, op.search(ctx)
}

func (op *Op[S, E]) decide() (eventstore.Write, eventstore.Position, error) {
	var none eventstore.Write
	stream, head := op.streamID(), op.entry.head
	if before, ok := op.before(); ok {
		if before.Closed {
			return none, 0, &KeyError{Stream: stream, Key: op.options.key, Version: before.Version, Err: ErrKeyClosed}
		}
		if string(before.Hash) != string(op.hash) {
			return none, 0, &KeyError{Stream: stream, Key: before.Key, Version: before.Version, Err: ErrKeyReused}
		}
		return none, before.Position, nil
	}
	if want := op.options.ifVersion; want != nil && *want != head.Version {
		return none, 0, &eventstore.ConflictError{Stream: stream, Expected: *want, Actual: head.Version}
	}
	decided, err := op.command.Decide(op.repository.clone(op.entry.state))
	if err != nil {
		return none, 0, &RejectedError{Stream: stream, Version: head.Version, Err: err}
	}
	op.decided = decided
	events := op.one[:0]
	for _, event := range decided {
		events = append(events, event)
	}
	for _, key := range op.closes() {
		events = append(events, eventstore.KeyClosed{Key: key})
	}
	if op.options.closing != nil {
		events = append(events, *op.options.closing)
	}
	return eventstore.Write{Stream: stream, Expected: head, Events: events, Key: op.options.key, KeyHash: op.hash}, 0, nil
}

// closes returns the key that the operation closes, if any.
func (op *Op[S, E]) closes() []string {
	if op.options.closeKey == "" {
		return nil
	}
	return []string{op.options.closeKey}
}

func (op *Op[S, E]) stored(c *eventstore.Commit) error {
	r := op.repository
	if c != nil {
		folded, returned, err := r.asStored(c, op.decided)
		if err != nil {
			return fmt.Errorf("aggregate: %s: the events were stored, but they do not decode: %w", c.Stream, err)
		}
		op.decided = returned
		e := &op.entry
		e.state = r.clone(e.state)
		for _, event := range folded {
			e.state = e.state.Evolve(event)
		}
		e.remember(c, op.closes())
		e.head = c.Head()
	}
	op.entry = r.keep(op.id, op.entry)
	op.result = r.result(op.entry)
	op.result.Events = op.decided
	return nil
}

func (op *Op[S, E]) repeated(c *eventstore.Commit) error {
	// An older release kept no hash of a command without a key.
	compared := op.options.key != "" || len(op.hash) > 0 && len(c.KeyHash) > 0
	same := c.Key == op.options.key || op.options.key == "" && c.Key == op.borrowed
	if !same || compared && string(c.KeyHash) != string(op.hash) {
		return &KeyError{Stream: c.Stream, Key: c.Key, Version: c.First, Err: ErrKeyReused}
	}
	op.result = op.repository.result(op.entry)
	op.result.Version, op.result.Position, op.result.Repeated = c.Last(), c.Position, true
	var err error
	op.result.Events, err = eventsOf[E](c)
	return err
}
