// Package snapshot spares long streams from being read from their begin: it keeps the states of aggregates in a NATS KV
// bucket, from which the log is gone on with.
//
// A snapshot is a cache and nothing else. It is used only if it certainly is of this log and of this release of the
// program, and if it is missing, damaged, old or cannot be had, the log is read. No error of a snapshot reaches a command.
//
// # Typical use
//
//	snapshots, err := snapshot.Open(ctx, store, "account", &snapshot.Config{FoldVersion: 1})
//	defer snapshots.Close()
//	accounts, err := aggregate.New(store, "account", Account{}, &aggregate.Config{Snapshots: snapshots})
//
// The state is a value of exported fields, as events are; one that holds maps, slices or pointers has a method Clone. What
// would not be stored whole is refused by aggregate.New. A stream gets a snapshot each [Config.Every] commits, and one that
// is loaded without any gets its first right then.
//
// # What is stored
//
//	bucket   bank-account-snapshots   <store>-<category>-snapshots, a NATS KV bucket
//	key 42   [1, crc, [store, fold version, fingerprint, "account/42", version, position, commit, commits, window, keys, state]]
//
// All of it is msgpack. Store is the identity of the log, commit the id of the commit after which the state was this one.
// The keys are the idempotency keys among the stream's last commits, as many as the window says, so that a command that is
// sent again has the same answer from a snapshot as from the log.
//
// # When a snapshot is used
//
// A load gets the snapshot and then the stream from the snapshot's own commit on. The commit at its position must be the
// one with its id; so a snapshot of another log, or of a part of this one that a restore took back, is never gone on with.
// The document's checksum, its store, its stream and what follows must fit too:
//
// The fold version is the promise. It is raised whenever Evolve gives another state for the same events, and then no
// snapshot of before is read.
//
// The fingerprint is what is found out without being told. It is a hash of the shape of the state and of the events that
// are folded into it, those that are upcast to them included, and of what Evolve and the upcasters make of samples: of each
// type of event the zero value and one with every field filled, folded into the initial state and on top of each other. So a
// renamed field, a new event or another upcaster needs nobody to remember it, and most forgotten fold versions are
// found out; but a change that shows only for certain amounts, or after certain events, is not. Evolve and upcasters meet
// values there that never occur. Where they panic, that is what is hashed; where they would not end, set [Config.Unprobed].
//
// # Guarantees
//
// A state that was taken from a snapshot is the one that the log gives, as long as Evolve is pure and the fold version is
// raised when it changes. Before a snapshot is saved, it is encoded, decoded and compared. A state that does not come back
// as it was switches the repository's snapshots off, with one error in the log.
//
// Saving delays no command, but for the time to copy the state. What is to be saved waits in a bounded queue, of which the
// one that waits longest is dropped when it is full.
//
// # Errors
//
// [Open] and [For] return what cannot work. After that there are [Counters]: what was restored, missing, ignored, not
// answered, saved, dropped and failed. Reasons are logged, those for reading the log at the debug level.
//
// # Concurrency
//
// A [Cache] is safe for concurrent use, and any number of processes may share a bucket; the snapshot that is written last
// stays. Two releases that run beside each other overwrite each other's snapshots, and each ignores those of the other.
// Open starts one goroutine that saves; [Cache.Close] waits for it. A look for a snapshot blocks for half a second at most.
//
// # Caveats
//
// A snapshot is a copy of what the log says. Where a stream is erased, [Cache.Delete] erases its snapshot.
//
// A state of more than the server's max_payload cannot be saved, which is logged each time.
package snapshot
