// Package projection keeps read models in NATS KV that are folded from the events of a store.
//
// A view is a set of documents of one type, each under a key, and a checkpoint: the position up to which they are
// complete. Rules say how an event changes documents:
//
//	balances, err := projection.Open[Balance](ctx, store, "balances", 1, nil,
//		projection.On(func(b Balance, e Opened) Balance { return Balance{Owner: e.Owner} }),
//		projection.On(func(b Balance, e Deposited) Balance { b.Amount += e.Amount; return b }),
//		projection.Delete(func(b Balance, e Closed) bool { return true }),
//	)
//	go balances.Run(ctx)
//	b, err := balances.Get(ctx, "42", projection.At(result.Position)) // reads what was just written
//
// # What is stored
//
//	bucket bank_control                     the store's control bucket
//	key view.balances                       the record: {"bucket":"bank_balances_v2_9f86d081","folds":{...},...}
//
//	bucket bank_balances_v2_9f86d081        <store>_<view>_v<fold version>_<build>
//	key 42                                  {"Owner":"anna","Amount":1250}
//	key =checkpoint                         {"store":"0198...","position":17,"commit":"0198...",...}
//	key =parked.43                          why key 43 is not folded any more
//	key =life                               the last sign of life of the build
//
// Documents are plain JSON, which any NATS client reads: the record's field "bucket" names the bucket of the newest
// fold version that is built. The key is the id of the event's stream unless the rule says otherwise. With
// [EventRule.ByEach] one event changes several documents.
//
// # How a view is built
//
// The first time, and whenever the fold version is raised, [View.Run] folds the log from its beginning into a bucket of
// its own that nobody reads and one instance writes. Documents stay in memory, up to [Config.BuildCacheSize], and are
// written once, one after the other without waiting. When the build has caught up, one compare-and-set of the record
// leads readers to it: the flip. Readers follow by themselves, and one List or Watch stays in one version.
//
// Until a fold version is built, plain reads get the newest one before it. Reads with [At] wait for their own fold
// version. Readers move to a newer fold version once it is as far as the one that they read.
//
// A build shows a sign of life each [Config.Heartbeat], beside its work. Another instance builds in its place once the
// build has shown none for [Config.StandBy]. [View.Rebuild] builds the present fold version again. It stops the runner
// for the moment of the flip, so that readers never step back. If the build fails after that, a runner takes its place
// away and goes on with the documents that serve. The documents that served before are kept until [View.Prune].
//
// The fold version is raised when a rule or the document type changes. Old and new code never write the same bucket, so
// both can run: each reads its own version.
//
// # How a view runs
//
// When it is built, the view goes on live. Commits are folded in batches. The documents that a batch changes, what is
// parked and the checkpoint are written together, as one atomic batch of the bucket, under the condition that the
// checkpoint is still the one that was read. The first event after a pause goes out at once. Under load, batches are
// [Config.Interval] apart, so that they do not slow the appends beside them. They come sooner while a reader in the
// same process waits for a position, with [At] or [View.WaitFor].
//
// Any number of instances may run one view. One works and the others stand by. The one that works writes the checkpoint
// at least each [Config.Heartbeat], also while a fold takes longer than that. Another one takes over when the
// checkpoint has not changed for [Config.StandBy], and at once when the one that works ends in good order. [View.Pause]
// stops all of them, wherever they run.
//
// # Guarantees
//
// Documents and checkpoint always agree: whatever is killed, and whenever, each event is folded into the view exactly
// once, in the order of the log. A runner that was frozen and wakes changes nothing.
//
// Get of one View never steps back, neither when the view is rebuilt nor when another replica answers.
//
// The record, the bucket and the checkpoint name the store by its identity, and the checkpoint names the commit that it
// stands at. A view refuses to run on another store, or on a log that went backwards, and readers get ErrOtherStore.
//
// A server that holds the only replica and does not sync each write may come up from a power cut with half of a batch
// in the bucket. A view looks for that when it is opened, when Run begins, and whenever the connection was lost and is
// back. It then says so in a warning and in [Status], is not read any more, and is built anew. Readers get
// ErrNotReady meanwhile, and see no half of a transaction.
//
// # When an event cannot be folded
//
// A rule may panic, end its goroutine, or not return within [Config.FoldTimeout]. So may the methods with which events
// and documents encode and decode themselves. The document that a rule makes may be larger than the server takes, or
// have no JSON, such as NaN. A key may be longer than 256 bytes, not UTF-8, or begin with U+FFFD.
//
// Run stops at such an event, before the batch that would pass it, with a [FoldError] that names the event and the key.
// With [Config.Park] it parks the key instead, with the first position, and the others go on. A key that cannot be
// stored is parked under a name that stands for it, and [Parked] shows the key. A parked event is not met again,
// neither after a restart nor by the next event of the key. An event that does not decode parks the key if that is the
// id of its stream. If the key is in the event, or the function fails that finds the key, Run stops, because it is not
// known which document is stale. The function may then return "" for the event, which leaves the event out.
//
// Folds are pure, so they are not tried again by themselves: [View.Replay] folds a parked key again from the start of
// the log, once the rule is mended, and [View.Discard] does it without the event. [View.Get] with [At] says ErrParked
// for a key that is parked. A document that should have come from a parked key by a [Move] also parks its new key, and
// is replayed with the other.
//
// A fold that never returns leaves its goroutine behind, because Go has no way to end it. The view goes on without it,
// and returns it neither documents nor memory that are used further.
//
// # Errors
//
// Run and Rebuild return a [FoldError] for an event that cannot be folded, an eventstore.ReadError for one that does
// not decode, and an error that matches ErrOtherStore or ErrLogRewound when the checkpoint does not fit the log.
// Interruptions of the connection are waited out. Get returns ErrNotFound for a key without a document, ErrNotReady
// while nothing is built, ErrPositionAhead for a position that the log does not have, and ErrStale if nobody could be
// asked for [Config.StallAfter] which bucket serves.
//
// # Metrics
//
// [View.Status] says how a view is, from any process. A [Trace] is called as each batch and each build of this process
// begins and ends.
//
// # Concurrency
//
// A View is safe for concurrent use. Run blocks until its context ends, and returns nil, or until it fails. It waits
// for the goroutines that it starts. Open starts some that follow the record and the connection until Close. Readers
// need no Run in their process.
//
// # Caveats
//
// A client that outlives the power cut of its server, and reads in the moment between its connection's return and the
// look at the bucket, may see documents of half a batch. A bucket with one replica in a cluster, on a node that the
// runner is not connected to, is looked at only when a write to it has failed.
//
// A batch changes 999 documents at most, and fewer if the operator of the server has set max_batch_size. It is also
// written once its documents have 16 MiB together, or as many bytes as a slow link takes in half a [Config.Heartbeat],
// or once its folds have lasted for half a Heartbeat. One commit or transaction whose events change more is written in
// several batches. Each event still counts once, and a reader that waits for the position sees all of it. Another
// reader may see some of the documents changed and others not yet. The keys between which one transaction moves
// documents are written in one batch, so there may be no more of them than fit.
//
// A document read without [At] may lag behind the log, and behind the bucket's leader if there are replicas, but never
// behind what the same View has read before. A program whose fold version is not built yet gets documents of the
// version before from plain reads, so keep their JSON readable, or read with At.
package projection
