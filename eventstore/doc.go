// Package eventstore is an append-only log of events on NATS JetStream, with optimistic concurrency on every write.
//
// A [Store] holds everything of one bounded context in one JetStream stream. Its events form streams: a stream is the
// history of one thing, named category/id ("account/42"). What one append writes to one stream is a commit, which is one
// message; it holds one event or more and is stored whole or not at all. Within a stream events are numbered by their
// version, 1, 2, 3 and so on without gaps. Across the store, commits are ordered by their position, which is the
// message's sequence in JetStream.
//
// # What is stored
//
//	JetStream stream   bank                      limits retention, no age or count limits, discard new, deny delete and purge
//	subjects           bank.*.*                  <store>.<category>.<id>: one literal subject for each stream
//	message 1          bank.account.42           commit: versions 1 to 2 of account/42
//	message 2          bank.account.anna=40x.org commit: version 1 of account/anna@x.org
//	message 3          bank.account.42           commit: version 3 of account/42; expects 1 to be the subject's last message
//
// Ids are any UTF-8 of 1 to 256 bytes; what a subject cannot hold is escaped, injectively. The message's payload is a
// msgpack envelope with a checksum; docs/wire-format.md describes it so that other languages can read it. It carries the
// commit's id, time, metadata and events, and links: the positions of the stream's commits before it, newest first. A
// load gets the subject's last message and then the linked ones, all at once, instead of searching the log for them.
//
// A commit is one message and so must fit into one: 1 MiB where max_payload is not raised. [Config.CompressAbove] stores
// larger ones compressed, which every reader reads whatever its own Config says; [Config.Compression] compresses the
// server's files. docs/guides/payloads.md says when which pays, and when a document is better kept outside.
//
// # Typical use
//
// Events are plain structs with a name of their own, the same for ever:
//
//	type Deposited struct{ Amount int64 }
//
//	func (Deposited) EventType() string { return "account.deposited" }
//
// [Open] checks the prototypes and the stream's settings. [Store.Append] writes on top of a [Head], which says where the
// stream stood when the caller decided: the zero Head for a new stream, the head of a [Store.Load], or that of the commit
// before. [Store.AppendAll] writes several streams in one transaction. [Store.Stream] reads one stream, [Store.All] the
// whole log, and with [Live] it goes on with what is appended.
//
// # Guarantees
//
// Of any number of appends that expect the same head, at most one is stored: every message carries the expectation that
// its subject's last message is the one the writer saw. There is no unconditional append.
//
// An append ends in one of four ways, and says which. Stored: the commit, with its position. Conflict: the stream had
// moved, nothing was stored. Refused: the store said no, nothing was stored. Unknown: the context or
// [Config.AppendTimeout] ended before the answer could be found; the error carries what [Store.Outcome] needs to find it
// later. Behind this, once a single try went unanswered, no later answer but an acknowledgement is believed: the commit
// that begins at the expected version is read back from the stream's leader, and its id says whose it is.
//
// A transaction is stored whole or not at all, and read whole. It is an atomic batch of JetStream, which on one replica
// with file storage costs about 4 ms where an append costs 0.03 ms.
//
// How much a stored commit survives is JetStream's to say: replicas, and whether it syncs to disk before it
// acknowledges. On an embedded server that leaves the syncing to its host (natsrun.SyncGroup) the store waits for it: an
// append has ended when it is on disk, and no read, live or not, gives what is not. Where the disk fails, appends end with
// ErrDisk from then on, and reads of what is not known to be on disk. See package natsrun.
//
// # Reading
//
// The log is read unfiltered, and categories and types are picked here: only so can a missing position be seen. It is
// fetched from the leader, and where the leader has none, reading ends with ErrCorrupt. Reads of one stream may lag
// behind its leader where there are replicas; appends are conditional, so a stale read costs a conflict and never a
// wrong write. [Leader] reads what the leader holds.
//
//	Store.Stream    one stream         From a version, Backwards: hop by hop along the links, as far as it is pulled
//	Store.All       the whole log      After a position, FromTime, Until a position, Live; Categories, Types
//	Store.Log       the same, by commits
//	Store.Replay    any part of both into a function, which can go on where it failed; OfStream, OnProgress
//	Store.Streams   the streams of a category, Behind one; Store.Categories the categories
//	Store.Exists    whether a stream was begun; Store.Head its last version
//
// Positions order the log. Two clocks are recorded beside them and order nothing: Commit.Time is the writer's, and the one
// that [FromTime] goes by is that of the server that took the commit.
//
// [Recorded] decodes on demand. A reader of some types never trips over others, so two services, or two releases of one,
// can share a store; asked to decode an event of an unknown type, it says ErrUnknownType.
//
// # What an event may hold
//
// An event is a struct of exported fields: numbers, text, bytes, times, structs, slices, arrays, maps, pointers, and types
// that encode and decode themselves for the store's codec. [Open] encodes and decodes samples of each type, and refuses with
// ErrInvalidEvents a type that would not come back whole. The error names the field. Examples are a field that is not
// exported, two fields of one name, a struct whose MarshalJSON comes from a time that it embeds, and in msgpack a pointer that
// is embedded. A field with the tag `json:"-"` or `msgpack:"-"` is left out deliberately, and need not be exported. The
// fields of an embedded struct are stored whether its type is exported or not. A type that encodes itself is trusted with
// its values.
//
// A value that the codec cannot hold is refused when it is appended, with ErrRefused: in JSON text that is not UTF-8, a number
// that is none, or a year above 9999; in msgpack values nested deeper than 64. A stored number that would be rounded or cut to
// fit the type that its field has today is ErrUndecodable, and so are a list of another length than the array that it is
// read into, and a panic of a type that decodes itself.
//
// A time is an instant: it is decoded in UTC, with nanoseconds. A field of its own keeps the zone, if the zone matters.
//
// # Types that change
//
// A stored event is never changed, and the shape of a type that was written never either. A new shape is a new type, with
// the schema's version in its name, "account.deposited.v2", and an [Upcaster] says what the events of the old type stand
// for today: one newer event, or several. Upcasters run when an event is decoded, one after the other where there is a
// chain. So whoever folds events sees current types only, and an older release goes on reading and writing what it
// knows. Versions and positions count what is stored.
//
// # Streams that end
//
// [StreamClosed] as the last event closes a stream: it is read as ever, and appends to it end with ErrClosed. In a store
// that was made with [Config.Erasure], [Store.Erase] deletes a stream's events from the servers' disks. A record takes
// their place, so that loads say ErrErased, and another in the stream runnel/erased tells readers of the whole log which
// positions are missing for that reason:
//
//	message 4          bank.account.42           version 4 of account/42: StreamErased; messages 1 and 3 are deleted after
//	message 5          bank.runnel.erased        positionsErased: 1 and 3, with their commit ids
//
// Events whose names begin with "runnel." are the toolkit's own. Every store decodes them, and folds that do not ask for
// them pass them over.
//
// # Damage
//
// A server whose disk is damaged does not say so: it passes over a message whose checksum does not hold, and where it made
// its index anew, over all that stood behind it in the same file; then it gives their positions out again. So the store
// looks for itself. Readers of the log see each gap. Loads see versions that do not follow, and compare how many messages
// of a stream they found with how many the server counts; an empty stream is one of which the leader counts none. And
// the highest position that was acknowledged or read is kept outside the log:
//
//	KV bucket bank_control, key mark    {"store":"0198...","position":1200,"commit":"0198..."}
//
// [Open] compares the log with it, and so does a store that is open: on each new connection, half a second after it was
// used, and where a reader lost its consumer. A log that ends before the mark, has another commit there or another
// identity is refused with ErrLogRewound. That an append is acknowledged at a position that was seen before is proof,
// too. From the first proof on, all that the store does ends with it, views, reactors and sagas included, until it is
// opened again; [Store.Done] is closed then. The mark is raised every half second while positions rise, and by
// [Store.Close], and only after the log was compared, so that it is never one of another log. A read behind a position
// that the log does not have ends with ErrPositionAhead. See docs/guides/operations.md for what to do about each error.
//
// [Store.Verify] reads all of the log and tells how much of it holds.
//
// # One log
//
// What is published for a store must come to its own JetStream stream and to no other. The server sees to that within
// one account and domain. Across leaf nodes with domains, imported services and programs that answer on the store's
// subjects, the store looks for itself: Open publishes a question to <store>.runnel.probe that no stream stores, and
// each acknowledgement names its stream and domain. Where another answers, Open, and from then on all that the store
// does, end with ErrOtherStream and the name. So does Open, and each read of the log, where [Config.Reads] leads to
// another log or to a copy. A store cannot have the name of an inbox.
//
// # Messages of other programs
//
// Any program in the account may publish to a subject of the store: by mistake, because its own subjects begin with the same
// word, or as a tool that sends messages again. JetStream stores that. It is no damage, and no backup has a commit there. The
// store knows such a message by what it lacks: every commit was published under an expectation or in an atomic batch, and the
// server keeps the headers that say so. What has none of them cannot be a commit, even where its payload is a copy of one.
//
//	message 6          bank.customers.find       {"name":"x"}, with no header: of another program
//
// All readers, live or not, pass over such a message, count it in [Counters], and log its subject and position once as a
// warning. Loads and appends see through it: an append on top of it expects it, since for the server it is the subject's last
// message. [Store.At] says ErrForeign, [Report] counts it, and archives keep it.
//
// What has the headers of a commit and is none may be a damaged commit, so readers end there with ErrCorrupt. Where an operator
// finds that another program published it, [Store.AcceptForeign] records that, and readers pass over it from then on.
//
// A copy of a commit that was published again with its expectation, on the subject of another stream that happens to be where the
// expectation says, cannot be told from a commit of that stream. Give the permission to publish to a store's subjects to its own
// programs only.
//
// # Backup
//
// [Store.Export] writes the log and the buckets of views into one file while all goes on, and [Import] makes the same store
// of it elsewhere: identity, positions and commits are what they were, so views go on from their checkpoints.
//
//	file    bucket bank-balances-v1-9f86d081, bucket bank-balances, log 1 to 1200, counts, checksum
//
// The file is written in this order so that no checkpoint in it is ahead of the log in it. A store that is half imported is
// refused by Open with ErrUnfinished. docs/guides/backup.md says how to use it, docs/archive-format.md what is in the file.
//
// # Errors
//
// Every error says what failed on which stream and version, and matches one sentinel of this package through [errors.Is].
// Errors with fields that a program needs have a type: [ConflictError], [AppendError], [UnknownOutcomeError], [EventError],
// [CorruptError], [ErasedError] and [LogRewoundError].
//
// What passes is waited out: an interrupted connection, the election of a leader. Appends wait for [Config.AppendTimeout].
// Reads of one stream, and questions such as [Store.At] and [Store.End], wait for [Config.ReadTimeout]. Readers of the whole
// log wait until their context ends. Every wait ends with its context. A refusal by the server ends it at once: a missing
// permission as ErrNoPermission with the subject, a limit as ErrRefused with the words of the server.
//
// A live reader goes on as soon as its connection is back. If the server that kept its consumer is gone, the reader notices
// within a second, because heartbeats stop.
//
// # Concurrency
//
// A Store is safe for concurrent use. It has two goroutines of its own: one raises the high-water mark, and one watches
// the connection. nats.go runs one for its replies. [Store.Close] ends all of them and waits for them, for the last raise
// of the mark a second at most. The connection is the caller's: the store neither dials nor closes. It must have been made
// with nats.ReconnectBufSize(-1), since otherwise a publish that timed out while disconnected is stored later; Open
// checks. Give [Config.Reads] a connection of its own where whole logs are read beside appends.
//
// # Caveats
//
// The mark may be half a second behind. What was acknowledged in that time before a server lost the end of its log is
// missed by the stores that saw it, and by nobody else.
//
// A bit that flipped in the subject of a stream's newest commit, on the disk of the replica that leads, makes the server
// take the commit before for the newest. Loads of the whole stream, readers of the log and Verify tell of it. A load that
// begins at a later version, and an append on a head that was kept from before that commit, do not see it.
//
// A bit that flipped high in a record's sequence makes nats-server 2.15.3 loop when it reads that file: it does not
// answer, and says nothing wrong.
//
// A leader that was cut off from its peers believes itself leader until it steps down, some seconds later, and answers
// reads with what it had. No append can be stored through it, but an outcome, or the confirmation of a rejection, may be
// read from it.
//
// A leader's answers are a third larger than the commit, so behind a leaf node a commit of more than three quarters of the
// leaf node's max_payload cannot be read back from the leader: keep below it.
//
// A first append, or a read, of a stream that was last touched long ago makes the server read a block of 4 MiB from
// disk: 10 to 40 ms.
package eventstore
