package aggregate

import (
	"context"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/ownkey"
	"github.com/runnel-go/runnel/snapshot"
)

// Option is an option of one command.
type Option func(*options)

type options struct {
	key       string
	issuedAt  *eventstore.Position
	issuedIn  string // the identity of the store whose position that is; "" for the repository's own
	closing   *eventstore.StreamClosed
	closeKey  string
	ifVersion *eventstore.Version
	given     []given
	badKey    error // the first of Key and CloseKey that was given what is no key
}

// Key makes a command that is sent again be done once, as the package documentation says. Keys are 1 to 256 bytes, and those
// that begin with "runnel." are the toolkit's own. With another key, the empty one too, the command is refused with an error
// that matches ErrInvalidCommand.
func Key(key string) Option {
	return func(o *options) { o.key = o.checked(key) }
}

// OwnKey is for the toolkit's own packages. It is Key and [IssuedAt], and closes another key unless that is zero. The
// position is of the store with that identity. In another store it means nothing, so there all of the stream is searched.
func OwnKey(key, closes ownkey.Key, store string, issued eventstore.Position) Option {
	return func(o *options) {
		o.key, o.closeKey, o.issuedAt, o.issuedIn = key.String(), closes.String(), &issued, store
	}
}

const maxKey = 256

// checked gives a key of somebody else, and notes if it is none.
func (o *options) checked(key string) string {
	var reason string
	switch {
	case key == "":
		reason = "the idempotency key is empty: give one, or leave the option out"
	case len(key) > maxKey:
		reason = fmt.Sprintf("the idempotency key has %d bytes, at most %d are allowed", len(key), maxKey)
	case ownkey.Reserved(key):
		reason = fmt.Sprintf("the idempotency key %q begins with what the toolkit's own keys begin with: put a prefix of yours before it", key)
	default:
		return key
	}
	if o.badKey == nil {
		o.badKey = fmt.Errorf("%w: %s", ErrInvalidCommand, reason)
	}
	return ""
}

// IfVersion makes a command fail with an error that matches eventstore.ErrConflict unless the aggregate is at that version.
func IfVersion(version eventstore.Version) Option {
	return func(o *options) { o.ifVersion = &version }
}

// Options makes one option of several.
func Options(all ...Option) Option {
	return func(o *options) {
		for _, option := range all {
			option(o)
		}
	}
}

// Close ends the aggregate's stream with the events of the command, or with nothing but its end where the command decides
// none: commands on it that would append are refused from then on with an error that matches eventstore.ErrClosed.
func Close(reason string) Option {
	return func(o *options) { o.closing = &eventstore.StreamClosed{Reason: reason} }
}

// Operation is one aggregate's part in a transaction. Repositories make operations with On; they are for one call of
// [Transact] each.
type Operation interface {
	streamID() eventstore.StreamID
	maxTries() int
	// given are the streams of other aggregates that the operation relies on.
	given() []given
	// lock is what the operation holds while it runs.
	lock() *lock
	// begin loads the state to decide on.
	begin(ctx context.Context, store *eventstore.Store) error
	// refresh loads what the leader has beyond that, and reports whether there was anything.
	refresh(ctx context.Context) (changed bool, err error)
	// search looks for the key of a command that says when it was issued, beyond what the state remembers.
	search(ctx context.Context) error
	// decide gives the write that follows from the state. The position is that of the commit in which the operation was
	// done before, under the same key, or 0.
	decide() (eventstore.Write, eventstore.Position, error)
	// stored takes over what was stored. The commit is nil when the operation decided no events. It fails if what was stored
	// cannot be decoded.
	stored(c *eventstore.Commit) error
	// repeated takes over what was stored before.
	repeated(c *eventstore.Commit) error
}

// Op is the [Operation] of a command on one aggregate.
type Op[S State[S, E], E eventstore.Event] struct {
	repository *Repository[S, E]
	id         string
	command    Command[S, E]
	options    options

	hash    []byte
	entry   entry[S]
	earlier *snapshot.Key // where the command was done before, if that is not remembered
	decided []E
	result  Result[S, E]
	one     [1]eventstore.Event // room for what is appended, which mostly is one event
}

// On makes the operation of a command for [Transact].
func (r *Repository[S, E]) On(id string, command Command[S, E], opts ...Option) *Op[S, E] {
	op := &Op[S, E]{repository: r, id: id, command: command}
	for _, option := range opts {
		option(&op.options)
	}
	return op
}

// Result is what the operation led to, once Transact returned nil.
func (op *Op[S, E]) Result() Result[S, E] { return op.result }

func (op *Op[S, E]) streamID() eventstore.StreamID { return op.repository.stream(op.id) }
func (op *Op[S, E]) maxTries() int                 { return op.repository.cfg.maxTries() }
func (op *Op[S, E]) given() []given                { return op.options.given }
func (op *Op[S, E]) lock() *lock                   { return op.repository.locks.of(op.id) }

func (op *Op[S, E]) begin(ctx context.Context, store *eventstore.Store) error {
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
	if op.options.key != "" {
		var err error
		if op.hash, err = hashCommand(op.command, &op.repository.plainTypes); err != nil {
			return fmt.Errorf("aggregate: %s: %w", op.streamID(), err)
		}
	}
	var err error
	if op.entry, _, err = op.repository.recall(ctx, op.id); err != nil {
		return err
	}
	return op.checkIssued(ctx)
}

func (op *Op[S, E]) refresh(ctx context.Context) (changed bool, err error) {
	op.entry, changed, err = op.repository.refresh(ctx, op.id, op.entry)
	return changed, err
}

func (op *Op[S, E]) decide() (eventstore.Write, eventstore.Position, error) {
	var none eventstore.Write
	stream, head := op.streamID(), op.entry.head
	if before, ok := op.before(); ok {
		if before.Closed {
			return none, 0, &KeyClosedError{Stream: stream, Key: op.options.key, Version: before.Version}
		}
		if string(before.Hash) != string(op.hash) {
			return none, 0, &KeyReusedError{Stream: stream, Key: before.Key, Version: before.Version}
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

// closes gives the key that the operation closes, if any.
func (op *Op[S, E]) closes() []string {
	if op.options.closeKey == "" {
		return nil
	}
	return []string{op.options.closeKey}
}

func (op *Op[S, E]) stored(c *eventstore.Commit) error {
	r := op.repository
	if c != nil {
		folded, given, err := r.asStored(c, op.decided)
		if err != nil {
			return fmt.Errorf("aggregate: %s: the events were stored, but they do not decode: %w", c.Stream, err)
		}
		op.decided = given
		e := &op.entry
		e.state = r.clone(e.state)
		for _, event := range folded {
			e.state = e.state.Evolve(event)
		}
		e.remember(c, op.closes(), r.cfg.keyWindow())
		e.head = c.Head()
	}
	op.entry = r.keep(op.id, op.entry)
	op.result = r.result(op.entry)
	op.result.Events = op.decided
	return nil
}

func (op *Op[S, E]) repeated(c *eventstore.Commit) error {
	if op.options.key != "" && c.Key == op.options.key && string(c.KeyHash) != string(op.hash) {
		return &KeyReusedError{Stream: c.Stream, Key: c.Key, Version: c.First}
	}
	op.result = op.repository.result(op.entry)
	op.result.Version, op.result.Position, op.result.Repeated = c.Last(), c.Position, true
	var err error
	op.result.Events, err = eventsOf[E](c)
	return err
}
