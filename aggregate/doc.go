// Package aggregate decides commands on the state of one stream and appends the resulting events.
//
// State evolves, commands decide. The state of an aggregate is a plain value with one method that folds an event into
// it. A command is a plain value with one method that looks at the state and returns events, or an error to reject:
//
//	func (a Account) Evolve(e Event) Account             // one type switch, pure
//	func (c Withdraw) Decide(a Account) ([]Event, error) // one rule, pure
//
// Event is an interface of the program's own, which the events of the aggregate implement and no others.
//
// # Typical use
//
//	accounts, err := aggregate.New(store, "account", Account{}, nil)
//	result, err := accounts.Do(ctx, "42", Withdraw{Amount: 100})
//
// [Repository.Do] loads stream account/42, decides, and appends the events on top of exactly the version it decided on.
// If another writer was faster, Do loads the newer commits and decides again. [Transact] does the same for several
// aggregates at once, all or nothing.
//
// # Idempotency keys
//
// With [Key], a command that is sent again is not done again. The stream's last commits are searched for the key: the
// last [Config.KeyWindow], and all of the last [Config.KeyAge]. If it is found, Do returns the events, version and
// position of the first commit, with Repeated set. The same key with a different command is refused with ErrKeyReused.
// Rejections are not remembered: a rejected command may be sent again under its key, and may be accepted then.
//
// Commands are compared by a hash of their Go type, with its package, and of their fields. So a key does not protect
// across a release that renames or moves the command's type: a repeated command is then refused with ErrKeyReused.
//
//   - A field with its zero value does not count. So a command that gains a field is the same as long as the field is
//     not set. An empty slice or map counts as nil. A pointer to a zero value differs from nil.
//   - The order of fields and of map entries does not matter. Times are compared as instants. A pointer to a command
//     counts as the command.
//   - Exclude a field that may differ when a command is sent again, such as the day of the booking, with the tag
//     `msgpack:"-"`.
//   - A struct with unexported fields counts as its methods MarshalText or MarshalBinary write it, if it has the
//     methods to read it again. Otherwise the command is refused with ErrInvalidCommand.
//
// A key of one operation is the key of its whole transaction, which is taken for repeated only with the same commands
// under the same keys. The key is kept with the events of its operation. If that decides none, it is kept with the
// first events that another operation decides.
//
// Keys that begin with "runnel." are the toolkit's own, such as the keys of sagas, and are refused. So a program may
// accept keys from strangers. It keeps its own keys apart from theirs by a prefix.
//
// The search is the same whether the state is from the cache, a snapshot or the log. A command that is repeated after
// more commits than the window, and later than that age, is done again. [KeyIssuedAt] makes the search exact: the
// caller names a position of the log from before it first issued the command, and the stream is searched back to there.
//
// # Unique values
//
// No two customers may have the same e-mail address: a [Unique] keeps each value of a category to one owner. A value is
// claimed and released in the transaction that changes the aggregate it belongs to. A secret keeps it out of the log.
//
// # The cache
//
// A repository caches the states it used last, [Config.CacheSize] of them. A cached state may be old. The expected
// version of the append detects that. Before a command is rejected or found to change nothing, Do asks the stream's
// leader. So a cache changes no outcome and saves a load.
//
// A state of plain fields is cached as it is. A state that holds maps, slices or pointers is cached only if it has a
// method Clone() S, because callers would otherwise share its memory. With Clone, the cached state stays as it is even
// if a caller changes [Result.State] or a Decide writes into its receiver.
//
// A command leaves in the cache the state that a later load would fold: times are in UTC, fields that a tag excludes
// are zero, and no memory is shared with the command or with [Result.Events]. Events that are stored exactly as they
// were decided, and hold no pointers, are folded as they are, which costs nothing. Others are decoded.
//
// # Snapshots
//
// A state that is not cached is folded from the start of its stream, unless the repository has [Config.Snapshots]:
//
//	snapshots, err := snapshot.Open(ctx, store, "account", &snapshot.Config{FoldVersion: 1})
//	accounts, err := aggregate.New(store, "account", Account{}, &aggregate.Config{Snapshots: snapshots})
//
// Then the state is taken from its snapshot, and only the newer commits are read from the log. So an aggregate of
// 10,000 events loads as fast as one of 100. Package snapshot says when a snapshot is used. [Repository.Counters] says
// where states came from.
//
// # The hook
//
// [Config.Around] wraps each command, for logging, metrics, tracing or permissions. Commands, reactions and the actions
// of sagas have a hook of the same shape, so one generic function serves all three:
//
//	func logged[C any](ctx context.Context, call C, do func(context.Context) error) error {
//		began := time.Now()
//		err := do(ctx)
//		slog.InfoContext(ctx, "done", "call", call, "took", time.Since(began), "error", err)
//		return err
//	}
//
//	accounts, err := aggregate.New(store, "account", Account{}, &aggregate.Config{Around: logged[aggregate.Call]})
//
// # Guarantees
//
// The events that Do appends were decided on the state right before them. A rejection, and a result without events, was
// true for the leader's newest version at some time during the call. Decide runs again on every try, so it must be
// pure.
//
// Transactions are serializable. All operations of a transaction decide on states that hold together at the moment at
// which its events are stored, because an operation that decides no events guards its stream. A rule over several
// streams, such as that one of two doctors is on duty, is an operation on each of them, and some decide nothing.
// [Repository.Given] does the same for an aggregate that the caller has read before. If nothing is stored, all states
// held together at one moment during the call.
//
// # Errors
//
// A command's own error comes back within a [RejectedError], which unwraps to it. Do returns an error that matches
//
//   - eventstore.ErrConflict if IfVersion or Given does not hold, or the tries are used up,
//   - ErrKeyReused or ErrKeyClosed, as [KeyError], if the key does not allow the command,
//   - ErrInvalidCommand if the key is not allowed or the command cannot have one,
//   - eventstore.ErrPositionAhead if the log does not have the position of KeyIssuedAt,
//   - ErrForeignEvent if the stream holds an event of another aggregate.
//
// It also returns the errors of appending and loading. An event of an unknown type and an event that cannot be decoded
// fail the command, because a state without the event would be wrong. If an event that was just stored cannot be
// decoded, because of a mistake in a type that decodes itself, the error says that it was stored.
//
// # Concurrency
//
// A Repository is safe for concurrent use. Within one process, commands on one aggregate run one at a time, in no
// particular order. Commands on different aggregates rarely wait for each other. A call blocks until the outcome is
// known or ctx ends. The loads of a transaction run side by side, on goroutines that have ended when the call returns.
//
// # Caveats
//
// A transaction costs an atomic batch, about 4 ms on one replica with file storage, even if only one operation decides
// events and the others guard. A transaction of one operation is a plain append. Each guard takes a position in the
// log. On several replicas, transactions that guard or write the same stream are stored one after the other, with a
// round trip between the replicas each. Two transactions that only guard a stream never conflict.
package aggregate
