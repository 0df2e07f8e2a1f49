// Package kv keeps plain documents of one Go type in a NATS KV bucket, and writes several of them at once.
//
// # Model
//
// A bucket is a JetStream stream that holds the newest message of each subject. It has the shape that nats.go and the
// nats command line give a bucket, and any NATS client can read it:
//
//	bucket "balances"           JetStream stream KV_balances, subjects $KV.balances.>
//	key "42"                    subject $KV.balances.42
//	key "anna@example.com.eur"  subject $KV.balances.anna=40example.com.eur
//	document                    the message's data: {"cents":1200}
//	revision                    the message's sequence in the stream
//	deletion                    a message without data and with the header KV-Operation: DEL
//	cell "checkpoint"           subject $KV.balances.=checkpoint, which no key has
//
// Keys are any UTF-8 of 1 to 256 bytes. Dots separate levels, which patterns such as "42.*" go by. Letters, digits, - and
// _ are stored as they are, other bytes are escaped, and no two keys share a subject.
//
// # Use
//
//	bucket, err := kv.Open[Balance](ctx, js, "balances", nil)
//	defer bucket.Close()
//
//	revision, err := bucket.Create(ctx, "42", Balance{Cents: 1200})
//	entry, err := bucket.Get(ctx, "42")
//	_, err = bucket.Update(ctx, "42", Balance{Cents: 900}, entry.Revision) // ErrConflict if somebody wrote meanwhile
//
// [Bucket.Modify] does the last two until nobody did. [Bucket.Batch] writes up to [MaxBatch] documents all together or not
// at all, and a [Cell] is a document of another type that takes part in such a batch:
//
//	checkpoint, err := kv.NewCell[Checkpoint](bucket, "checkpoint")
//
//	batch := bucket.Batch()
//	batch.Put("42", Balance{Cents: 900})
//	batch.Delete("43")
//	checkpoint.UpdateIn(batch, Checkpoint{Position: 7}, last)
//	last, err = batch.Commit(ctx)
//
// The cell's condition guards the whole batch: whoever has an older revision of the cell stores nothing.
//
// # Documents
//
// A document is plain data, as an event of package eventstore is. With the codecs of this package, Open, NewCell and NewCells
// refuse a type that would not come back whole: ErrEncode, and the error names the field. A write of a value that the codec
// cannot hold is ErrEncode, too, such as a url.URL with a user in JSON. A number that would be rounded or cut to fit into its
// field, a list of another length than its array, and a panic of a type that decodes itself, are ErrDecode. Times are
// read in UTC. A codec of the caller's own knows itself what it keeps.
//
// # Guarantees
//
// An acknowledged write is in the bucket's JetStream stream, with the durability of its replicas and of the servers' sync
// setting. On an embedded server that leaves the syncing to its host (natsrun.SyncGroup) a write has ended when it is on
// disk, and no read gives what is not; once the disk has failed, both end with ErrUnavailable.
//
// Conditional writes (Create, Update, DeleteRevision, Modify and those in a batch) of one key are decided one
// after the other by the stream's leader: of those that expect the same revision at most one is stored. A batch is stored
// whole or not at all.
//
// Get, GetMany and Watch may be answered by a replica that is a few milliseconds behind. GetLeader is not, and List gives
// everything that was acknowledged before it. Stale reads never lose an update, since a conditional write based on one is a
// conflict. GetMany, and a List of up to 1024 documents, are of one point in time and see batches whole; a longer List is not;
// Watch gives at least the newest value of each key.
//
// # Errors
//
// All errors match one of the Err variables through errors.Is, or are those of the server, of the context or of a
// function that was passed in. *ConflictError, *TooLargeError, *UnknownOutcomeError, *DecodeError and *SettingsError
// have more to say; the others are an *Error.
//
// What fails for a reason that passes (no leader, no quorum, a server that ends, not connected) is tried again until the
// context or Config.Timeout ends, and then is ErrUnavailable: nothing was stored. A Watch waits for as long as it
// takes. When a write was sent and no answer came, a single write is looked up at the leader: each carries an id in the
// header Runnel-Write-Id. A conditional write that is found missing is sent again, as at most one try can win. What is
// left is ErrUnknownOutcome: the leader cannot be reached, somebody wrote the key after the first try, or it is a
// batch. A caller that put an id of its own into a batch, in a cell for instance, reads it through the leader and
// knows.
//
// Iterators give one error and stop.
//
// # Concurrency
//
// A Bucket and a Cell may be used by any number of goroutines, a Batch by one. Reads and writes block until they are
// answered or their context ends. A Watch, and a List of 20,000 documents or more, reads through a consumer of its own, which
// it gives back when the range statement is left.
//
// # Caveats
//
//   - The connection must not have a reconnect buffer (nats.ReconnectBufSize(-1)), or a write that was given up is sent
//     when the connection is back. Open refuses others.
//   - nats.go's CreateOrUpdateKeyValue switches atomic batches off and takes the codec's name away. The next batch, and the next
//     Open, bring both back, for which the user needs the permission to update the bucket's JetStream stream. Open refuses a
//     bucket without the name whose oldest document is not in the format of its codec.
//   - On a bucket with one replica and file storage each batch costs the server about 4 ms, whatever its size, and other
//     writes of the bucket wait for it. On three replicas and in memory it costs no more than its writes.
//   - Plain subscribers of the subjects (not consumers) see messages of a batch before it is stored, or refused.
//   - Deleted keys leave a marker of about 100 bytes for good.
//   - A power cut can leave half of a batch on a server that holds the only replica and does not sync each write
//     (sync_interval: always): the server then serves the half. [Bucket.Torn] finds it.
//   - Other clients see keys in their escaped form; keys of letters, digits, -, _ and dots look the same. A key that
//     another client writes and this package never would, such as "a/b", is passed over by List and Watch, which tell
//     Config.Logger; Get cannot name it.
//   - A bucket that is deleted and created again under the same name while a Watch is running may be missed by it.
//   - JetStream contexts with a domain or an API prefix work where the subjects $KV.> of the bucket reach it unchanged.
package kv
