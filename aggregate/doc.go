// Package aggregate decides commands on the state of one stream and appends what was decided.
//
// State evolves, commands decide. The state of an aggregate is a plain value with one method that folds an event into it;
// a command is a plain value with one method that looks at the state and gives events, or says no:
//
//	func (a Account) Evolve(e Event) Account           // one type switch, pure
//	func (c Withdraw) Decide(a Account) ([]Event, error) // one rule, pure
//
// Event is an interface of the caller's that the aggregate's events, and no others, implement.
//
// # Typical use
//
//	accounts, err := aggregate.New(store, "account", Account{}, nil)
//	result, err := accounts.Do(ctx, "42", Withdraw{Amount: 100})
//
// [Repository.Do] loads stream account/42, decides, and appends the events on top of exactly the version it decided on.
// When another writer was faster, it loads what came and decides again. [Transact] does the same for several aggregates
// at once, all or nothing.
//
// # Idempotency keys
//
// With [Key], a command that is sent again is not done again: the stream's last commits, [Config.KeyWindow] of them, are
// searched for the key, and the first commit's events, version and position are given back with Repeated set. The same
// key with a different command is refused with ErrKeyReused. Rejections are not remembered: a command that was rejected
// may be sent again under its key, and may be accepted then.
//
// Commands are compared by a hash of their Go type, with its package, and of what their fields say. So renaming or moving the
// type of a command ends what its keys protect: a command that is repeated across such a release is refused with
// ErrKeyReused. A field that has its zero value says nothing, so a command that gains a field is the same command as long as
// the field is not used; and so says an empty slice or map, which is the same as none, while a pointer to a zero value says
// more than nil. Neither the order of the fields nor that of a map's entries matters, a time is an instant, and a pointer to
// a command stands for the command. A field that may differ when a command is sent again, such as the day of the booking,
// is left out with the tag `msgpack:"-"`. A struct with fields that are not exported says what its methods MarshalText or
// MarshalBinary write, if it has the methods that read it again; else the command is refused with ErrInvalidCommand.
//
// Keys that begin with "runnel." are the toolkit's own, such as those of sagas, and are refused: so a program may take keys
// from strangers. Keys of its own it keeps apart from theirs by a prefix.
//
// The window is the same whether the state is from the cache, a snapshot or the log. A command that is repeated after the
// window has passed over it is done again. [IssuedAt] makes the search exact: the caller names a position of the log from
// before it first issued the command, and the stream is searched back to there, however many commits came since.
//
// # Unique values
//
// No two customers have one e-mail address: a [Unique] keeps each value of a category to one owner. It is claimed and
// released in the transaction that changes what it belongs to, and can be kept out of the log by a secret.
//
// # The cache
//
// A repository keeps the states it met last, [Config.CacheSize] of them. A cached state may be old; the append's
// expectation finds out, and so does a look at the stream's leader before a command is rejected or found to change
// nothing. So a cache changes no outcome, it saves a load. A state of plain fields is cached as it is. One that holds
// maps, slices or pointers is cached only if it has a method Clone() S, since callers would share what they point to. With
// it, neither a caller that changes [Result.State] nor a Decide that writes into its receiver reaches the cached one.
//
// What a command leaves in the cache is folded from what was stored, as a later load would fold it: times are in UTC, fields
// that a tag leaves out are zero, and no memory is shared with the command or with [Result.Events]. Events that come back
// exactly as they were decided, and hold no pointers, are folded as they are, so this costs them nothing. Others are decoded.
//
// # Snapshots
//
// A state that is not cached is folded from its stream's begin, unless the repository has [Config.Snapshots]:
//
//	snapshots, err := snapshot.Open(ctx, store, "account", &snapshot.Config{FoldVersion: 1})
//	accounts, err := aggregate.New(store, "account", Account{}, &aggregate.Config{Snapshots: snapshots})
//
// Then it is taken from its snapshot, and what came since from the log: an aggregate of 10,000 events loads as fast as one
// of 100. See package snapshot for when one is used. [Repository.Counters] says where states were from.
//
// # Guarantees
//
// What Do appends was decided on the state right before it. A rejection, and a result without events, was true on the
// leader's newest version at some time during the call. Decide runs again for every try, so it must be pure.
//
// Transactions are serializable. All operations of one decide on states that hold together at the moment its events are stored:
// one that decides no events guards its stream. So a rule over several streams, such as that one of two doctors is on duty, is an
// operation on each of them, of which some decide nothing. [Repository.Given] does the same for what the caller has read before.
// Where nothing is stored, all states were so at one moment during the call.
//
// # Errors
//
// A command's own error comes back as [RejectedError], which unwraps to it. Do returns an error that matches
// eventstore.ErrConflict when IfVersion does not hold or the tries are used up, ErrKeyReused, ErrPositionAhead, and everything that
// appending and loading return: an event in the aggregate's stream that is of an unknown type, undecodable, or none of
// the aggregate's own fails the command, since a state without it would be wrong. If an event that was just stored does not
// decode, because of a mistake in a type that decodes itself, the error says that it was stored.
//
// # Concurrency
//
// A Repository is safe for concurrent use. Within one process, commands on one aggregate run one at a time, in no
// particular order; commands on different aggregates rarely wait for each other. A call blocks until the outcome is
// known or ctx ends. The loads of a transaction run side by side, on goroutines that have ended when the call returns.
//
// # Caveats
//
// A transaction costs an atomic batch: about 4 ms on one replica with file storage, also where one operation decides events and the
// others only guard. A transaction of one operation is a plain append. Each guard takes a position in the log. On several
// replicas, transactions that guard or write one stream are stored one after the other, a round trip between the replicas each;
// none of them conflicts for a guard alone.
package aggregate
