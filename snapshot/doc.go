// Package snapshot spares long streams from being read from the start. It keeps the states of aggregates in a NATS KV
// bucket. A load takes a state from there and reads only the newer commits from the log.
//
// A snapshot is a cache and nothing else. It is used only if it is certainly of this log and of this release of the
// program. If it is missing, damaged, old or out of reach, the log is read. No error of a snapshot reaches a command.
//
// # Typical use
//
//	snapshots, err := snapshot.Open(ctx, store, "account", &snapshot.Config{FoldVersion: 1})
//	defer snapshots.Close()
//	accounts, err := aggregate.New(store, "account", Account{}, &aggregate.Config{Snapshots: snapshots})
//
// The state is a value of exported fields, as events are. A state that holds maps, slices or pointers has a method
// Clone. aggregate.New refuses a state type that would not be stored whole. A stream gets a new snapshot every
// [Config.Every] commits. A stream that is loaded without a snapshot gets its first one at once if it is that long.
//
// # What is stored
//
//	bucket   bank_account_snapshots   <store>_<category>_snapshots, a NATS KV bucket
//	key 42   [4, crc, [store, fold version, fingerprint, "account/42", version, position, commit,
//	          commits, window, age, keys, left, state]]
//
// All of it is msgpack, and the first number is the format. The store is the identity of the log, and the commit is the
// id of the commit that led to the state. The keys are the idempotency keys among the last commits of the stream. The
// window says how many commits that are. The age is the KeyAge of the program that saved the snapshot, and left says
// which keys of earlier commits are left out or were forgotten. A program with a longer KeyAge does not use a snapshot
// that may have forgotten a key which the program must find. So a command that is sent again gets the same answer from
// a snapshot as from the log.
//
// # When a snapshot is used
//
// A load gets the snapshot, and then the stream from the snapshot's own commit on. The commit at the snapshot's
// position must have the snapshot's commit id. So a snapshot of another log is never used, and neither is a snapshot
// of commits that a restore took back. The checksum, the store and the stream of the document must fit too, and so must
// these two:
//
// The fold version is a promise of the program. Raise it whenever Evolve or an upcaster returns something else for the
// same events. Snapshots of other fold versions are not read. Nothing detects a fold version that was not raised: a
// snapshot then brings back states of the old Evolve.
//
// The fingerprint needs no promise. It is a hash of the initial state and of the shape of the state type and of all
// event types that are folded into it, including the old types that are upcast. So a renamed field, a field of another
// type and a new event are detected.
//
// # Guarantees
//
// A state from a snapshot equals the state that the log leads to, if Evolve is pure and the fold version was raised
// when Evolve changed. Before a snapshot is saved, it is encoded, decoded and compared with the state. If a state does
// not come back as it was, the repository's snapshots are switched off, and one error is logged.
//
// A command never waits for a save, only for the copy of the state. Snapshots wait in a bounded queue to be saved. If
// the queue is full, the oldest waiting snapshot is dropped.
//
// # Errors
//
// [Open] returns an error if the arguments cannot be used or the bucket cannot be opened, and aggregate.New if the
// state type cannot be stored. After that, failures show only in [Counters] and in the logger of [Config]. The reasons
// for reading the log instead of a snapshot are logged at the debug level.
//
// # Concurrency
//
// A [Cache] is safe for concurrent use. Any number of processes may share a bucket; the last written snapshot of an
// aggregate stays. Two releases that run side by side overwrite and ignore each other's snapshots. Open starts one
// goroutine that saves, and [Cache.Close] waits for it. A load waits at most half a second for the bucket.
//
// # Caveats
//
// A snapshot is a copy of data in the log. After a stream is erased, erase its snapshot with [Cache.Delete].
// A save that is under way in another process may bring the snapshot back, so delete it again when all processes know
// of the erasure.
//
// A state larger than the server's max_payload cannot be saved. Each attempt is logged.
package snapshot
