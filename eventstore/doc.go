// Package eventstore is an append-only log of events on NATS JetStream, with optimistic concurrency on every write.
//
// A [Store] keeps the events of one bounded context in one JetStream stream. Its events form streams: a stream is the
// history of one thing, named category/id ("account/42"). A commit is what one append writes to one stream. It is one
// message with one event or more, and is stored whole or not at all. Within a stream, events are numbered by their
// version: 1, 2, 3 and so on, without gaps. Across the store, commits are ordered by their position, which is the
// message's sequence in JetStream.
//
// # What is stored
//
//	JetStream stream   bank                      no age or count limits, discard new, deny delete and purge
//	subjects           bank.*.*                  <store>.<category>.<id>: one literal subject for each stream
//	message 1          bank.account.42           commit: versions 1 to 2 of account/42
//	message 2          bank.account.anna=40x.org commit: version 1 of account/anna@x.org
//	message 3          bank.account.42           commit: version 3 of account/42; expects 1 to be the subject's last
//
// Ids are any UTF-8 of 1 to 256 bytes. Characters that a subject cannot hold are escaped, so that different ids have
// different subjects. The message's payload is a msgpack envelope with a checksum. docs/wire-format.md describes it, so
// that other languages can read it. The envelope has the commit's id, time, metadata and events, and links: the
// positions of the stream's commits before it, newest first. A load gets the subject's last message and then the linked
// ones, all at once, instead of searching the log for them.
//
// A commit must fit into one message: 1 MiB, unless max_payload is raised. [Config.CompressAbove] stores larger commits
// compressed, and every reader reads them whatever its own Config says. [Config.Compression] compresses the server's
// files. docs/guides/payloads.md says when each pays, and when a document is better kept outside.
//
// # Typical use
//
// Events are plain structs. The name of their type never changes:
//
//	type Deposited struct{ Amount int64 }
//
//	func (Deposited) EventType() string { return "account.deposited" }
//
// [Open] checks the prototypes and the stream's settings. [Store.Append] writes on top of a [Head], which says where
// the stream stood when the caller decided. That is the zero Head for a new stream, the head of a [Store.Load], or the
// head of the commit before. [Store.AppendAll] writes several streams in one transaction. [Store.Stream] reads one
// stream. [Store.All] reads the whole log, and with [Live] it goes on with what is appended.
//
// # Guarantees
//
// Of any number of appends that expect the same head, at most one is stored: every message expects that its subject's
// last message is the one which the writer saw. There is no unconditional append.
//
// An append ends in one of four ways:
//
//	stored      the commit is returned, with its position
//	conflict    the stream had moved, and nothing was stored
//	refused     the store or the server refused, and nothing was stored
//	unknown     ctx or Config.AppendTimeout ended before the answer was found; Store.Outcome finds it later
//
// If a single try went unanswered, the store believes no later answer but an acknowledgement. Instead it reads the
// commit that begins at the expected version from the stream's leader. The id of that commit tells whether it is the
// append's own.
//
// A transaction is stored whole or not at all, and read whole. It is an atomic batch of JetStream. On one replica with
// file storage a batch costs about 4 ms, and an append 0.03 ms.
//
// JetStream decides what a stored commit survives: by its number of replicas, and by whether it syncs to disk before it
// acknowledges. An embedded server may leave the syncing to its host (natsrun.SyncGroup). Then the store waits for it:
// an append returns when the commit is on disk, and no read returns a commit that is not. If the disk fails, appends
// end with ErrDisk from then on, and so do reads of commits that are not known to be on disk. See package natsrun.
//
// # Reading
//
// The log is read unfiltered, and categories and types are picked by the store, because only then can a missing
// position be seen. A missing position is fetched from the leader. If the leader does not have it, reading ends with
// ErrCorrupt. With several replicas, a read of one stream may lag behind its leader. Appends are conditional, so a
// stale read costs a conflict and never a wrong write. [Leader] reads what the leader has.
//
//	Store.Stream    one stream         From a version, Backwards: along the links, as far as it is pulled
//	Store.All       the whole log      After a position, FromTime, Until a position, Live; Categories, Types
//	Store.Log       the same, by commits
//	Store.Replay    any part of both into a function, and goes on where it failed; OfStream, OnProgress
//	Store.Streams   the streams of a category, Behind one
//	Store.Head      the last version of a stream, or 0 if it was not begun
//
// Positions order the log. Two clocks are recorded beside them and order nothing. Commit.Time is the writer's clock.
// [FromTime] goes by the clock of the server that stored the commit.
//
// [Recorded] decodes on demand. A reader of some types never fails on other types, so two services, or two releases of
// one, can share a store. Decode returns ErrUnknownType for an event of an unknown type.
//
// # What an event may hold
//
// An event is a struct of exported fields: numbers, text, bytes, times, structs, slices, arrays, maps, pointers, and
// types that encode and decode themselves for the store's codec. [Open] encodes and decodes samples of each type, and
// refuses with ErrInvalidEvents a type that would not come back whole. The error names the field. Examples are a field
// that is not exported, two fields of one name, a struct whose MarshalJSON comes from a time that it embeds, and in
// msgpack a pointer that is embedded. A field with the tag `json:"-"` or `msgpack:"-"` is left out deliberately, and
// need not be exported. The fields of an embedded struct are stored whether its type is exported or not. A type that
// encodes itself is trusted with its values.
//
// A value that the codec cannot hold is refused when it is appended, with ErrRefused. In JSON that is text that is not
// UTF-8, NaN, an infinity, or a year above 9999. In msgpack it is a value nested deeper than 64. A stored number that
// would be rounded or cut to fit the type that its field has today is ErrUndecodable. So are a list of another length
// than the array that it is read into, and a panic of a type that decodes itself.
//
// A time is an instant: it is decoded in UTC, with nanoseconds. If the zone matters, keep it in a field of its own.
//
// # Types that change
//
// A stored event never changes, and the shape of a type that was written never changes either. A new shape is a new
// type, with the schema's version in its name, "account.deposited.v2". An [Upcaster] turns an event of the old type
// into one newer event, or several. Upcasters run when an event is decoded, one after the other if they form a chain.
// So a fold sees current types only, and an older release goes on reading and writing what it knows. Versions and
// positions count stored events.
//
// # Streams that end
//
// [StreamClosed] as the last event closes a stream: it can still be read, and appends to it end with ErrClosed. In a
// store that was made with [Config.Erasure], [Store.Erase] deletes a stream's events from the servers' disks. A record
// takes their place, so that loads return ErrErased. Another record in the stream runnel/erased tells readers of the
// whole log which positions are missing for that reason:
//
//	message 4          bank.account.42           version 4 of account/42: StreamErased; then 1 and 3 are deleted
//	message 5          bank.runnel.erased        positions 1 and 3, with their commit ids
//
// Events whose names begin with "runnel." belong to the toolkit. Every store decodes them, and folds that do not ask
// for them pass over them.
//
// # Damage
//
// A server does not say that its disk is damaged. It passes over a message whose checksum does not hold. If it rebuilt
// its index, it also passes over everything after that message in the same file, and uses those positions a second
// time. So the store checks for itself. Readers of the log see each gap. Loads see versions that do not follow each
// other, and compare how many messages of a stream they found with the number that the server counts. A stream is empty
// only if the leader counts no message. The highest position that was acknowledged or read is kept outside the log:
//
//	KV bucket bank_control, key mark    {"store":"0198...","position":1200,"commit":"0198..."}
//
// [Open] compares the log with this mark. An open store compares it on each new connection, half a second after it was
// used, and when a reader has lost its consumer. A log that ends before the mark, has another commit there or has
// another identity is refused with ErrLogRewound. An acknowledgement at a position that was seen before is a proof,
// too. From the first proof on, everything that the store does ends with that error, views, reactors and sagas
// included, until the store is opened again. The mark is raised every half second while positions rise, and by
// [Store.Close]. It is raised only after the log was compared, so that it always belongs to the log. A read after a
// position that the log does not have ends with ErrPositionAhead. docs/guides/operations.md says what to do about each
// error.
//
// [Store.Verify] reads the whole log and reports all damage.
//
// # One log
//
// A store's own JetStream stream must take what is published for it, and no other stream may. Within one account and
// domain the server ensures that. Across leaf nodes with domains, imported services and programs that answer on the
// store's subjects, the store checks for itself. Open publishes a question to <store>.runnel.probe that no stream
// stores, and each acknowledgement names its stream and domain. If another stream answers, Open ends with ErrSettings
// and the name, and so does everything that the store does from then on. Open and each read of the log also end with it
// if [Config.Reads] leads to another log or to a copy. A store cannot have the name of an inbox.
//
// # Messages of other programs
//
// Any program in the account may publish to a subject of the store: by mistake, because its own subjects begin with the
// same word, or because a tool sends messages again. JetStream stores such a message. It is not damage, and no backup
// has a commit there. Every commit is published under an expectation or in an atomic batch, and the server keeps the
// headers that say so. A message without these headers cannot be a commit, even if its payload is a copy of one.
//
//	message 6          bank.customers.find       {"name":"x"}, with no header: of another program
//
// All readers, live or not, pass over such a message, count it in [Counters], and log its subject and position once as
// a warning. Loads and appends see through it: an append on top of it expects it, because for the server it is the
// subject's last message. [Store.End] is a commit below it, [Store.At] returns ErrForeign, [Report] counts it, and
// archives keep it.
//
// A message with the headers of a commit that is not a commit may be a damaged one, so readers end there with
// ErrCorrupt. If an operator finds that another program published it, [Store.AcceptForeign] records that, and readers
// pass over it from then on.
//
// A program may publish a copy of a commit on the subject of another stream, with an expectation that happens to hold.
// Such a copy cannot be told from a commit of that stream. Give the permission to publish to a store's subjects to its
// own programs only.
//
// # Backup
//
// [Store.Export] writes the log and the buckets of views into one file while everything goes on. [Import] makes the
// same store from it elsewhere: with the same identity, positions and commits, so views go on from their checkpoints.
//
//	file    bucket bank_balances_v1_9f86d081, bucket bank_control, log 1 to 1200, counts, checksum
//
// The file is written in this order so that no checkpoint in it is ahead of the log in it. Open refuses a store that is
// half imported with ErrUnavailable. docs/guides/backup.md says how to use archives, and docs/archive-format.md
// describes the file.
//
// # Errors
//
// Every error says what failed on which stream and version, and matches one sentinel of this package through
// [errors.Is]. Errors with fields that a program needs have a type: [ConflictError], [AppendError], [ReadError] and
// [LogRewoundError].
//
// The store waits out what passes: an interrupted connection, the election of a leader. Appends wait for
// [Config.AppendTimeout]. Reads of one stream, and questions such as [Store.At] and [Store.End], wait for
// [Config.ReadTimeout]. Readers of the whole log wait until their context ends. Every wait ends with its context. A
// refusal by the server ends it at once: a missing permission as ErrNoPermission with the subject, a limit as
// ErrRefused with the words of the server.
//
// A live reader goes on as soon as its connection is back. If the server that kept its consumer is gone, the reader
// notices within a second, because heartbeats stop. All live readers of one Store share one consumer, and each new
// commit is decoded once for all of them.
//
// A server that is cut off from the rest of its cluster keeps its clients. So if the leader of the log does not answer,
// the store asks through the other servers that the connection knows. If it answers there, the store makes the
// connection reconnect to another server, and logs that. A connection made with nats.NoReconnect is left as it is.
//
// # Concurrency
//
// A Store is safe for concurrent use. It has goroutines of its own: one raises the high-water mark, and some watch each
// connection. One more reads the end of the log while there are live readers. nats.go runs one for its replies.
// [Store.Close] ends all of them and waits for them. It waits a second at most for the last raise of the mark. The
// connection belongs to the caller: the store neither dials nor closes it. It must have been made with
// nats.ReconnectBufSize(-1), because otherwise a publish that timed out while disconnected is stored later. Open checks
// that. Give [Config.Reads] a connection of its own if whole logs are read beside appends.
//
// # Caveats
//
// The mark may be half a second behind. If a server loses the end of its log within that time, only the stores that saw
// those commits notice.
//
// If a bit flips in the subject of a stream's newest commit, on the disk of the replica that leads, the server takes
// the commit before for the newest. Loads of the whole stream, readers of the log and Verify report it. A load that
// begins at a later version does not see it, and neither does an append on a head that was kept from before that
// commit.
//
// If a high bit flips in a record's sequence, nats-server 2.15.3 loops when it reads that file. It does not answer, and
// reports no error.
//
// A leader that was cut off from its peers believes that it leads until it steps down, some seconds later, and answers
// reads with what it had. No append can be stored through it. But an outcome, or the confirmation of a rejection, may
// be read from it.
//
// A leader's answer is a third larger than the commit. So behind a leaf node, a commit of more than three quarters of
// the leaf node's max_payload cannot be read back from the leader. Keep commits below that size.
//
// The first append to a stream that was last touched long ago, or the first read of it, makes the server read a block
// of 4 MiB from disk: 10 to 40 ms.
package eventstore
