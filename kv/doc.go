// Package kv keeps plain documents of one Go type in a NATS KV bucket, and writes several of them at once.
//
// # Model
//
// A bucket is a JetStream stream that holds the newest message of each subject. It has the same layout as a bucket of
// nats.go or of the nats command line, so any NATS client can read it:
//
//	bucket "balances"           JetStream stream KV_balances, subjects $KV.balances.>
//	key "42"                    subject $KV.balances.42
//	key "anna@example.com.eur"  subject $KV.balances.anna=40example.com.eur
//	document                    the message's data: {"cents":1200}
//	revision                    the message's sequence in the stream
//	deletion                    a message without data and with the header KV-Operation: DEL
//
// A key is any UTF-8 text of 1 to 256 bytes. Dots divide it into levels, and patterns such as "42.*" match by level.
// Letters, digits, - and _ are stored as they are, and other bytes are escaped. No two keys share a subject.
//
// # Use
//
//	bucket, err := kv.Open[Balance](ctx, js, "balances", nil)
//	defer bucket.Close()
//
//	revision, err := bucket.Create(ctx, "42", Balance{Cents: 1200})
//	entry, err := bucket.Get(ctx, "42")
//	_, err = bucket.Update(ctx, "42", Balance{Cents: 900}, entry.Revision) // ErrConflict if another writer was faster
//
// [Bucket.Modify] reads and updates, and repeats both after a conflict. [Bucket.Batch] writes up to 1000 documents.
// Either all of them are stored or none:
//
//	batch := bucket.Batch()
//	batch.Update("42", Balance{Cents: 700}, revision)
//	batch.Create("43", Balance{Cents: 200})
//	_, err = batch.Commit(ctx)
//
// A condition guards the whole batch: if "42" is not at the revision, "43" is not created.
//
// # Documents
//
// A document is plain data, as an event of package eventstore is. Open refuses a type of which [JSON] or [Msgpack]
// would lose something: the error matches ErrEncode and names the field. A write fails with ErrEncode if the codec
// cannot hold the value, such as a url.URL with a user in JSON. A read fails with ErrDecode if a number would be
// rounded or cut to fit into its field, if a list has another length than its array, or if a type that decodes
// itself panics. Times are read in UTC. A codec of your own is trusted to keep what you need.
//
// # Guarantees
//
// A write that was acknowledged is in the bucket's JetStream stream. How durable it is depends on the number of
// replicas and on how the servers sync their disks. An embedded server may leave the syncing to its program
// (natsrun.SyncGroup). Then a write returns once it is on disk, and no read returns what is not on disk yet. Once
// the disk has failed, reads and writes fail with ErrUnavailable.
//
// The leader of the stream decides conditional writes of one key one after the other: Create, Update, DeleteRevision,
// Modify and the same in a batch. Of several writes that expect the same revision at most one is stored.
//
// Get, GetMany and Watch may be answered by a replica that is a few milliseconds behind. GetLeader asks the leader.
// List returns everything that was acknowledged before it began. Get and GetMany ask the leader before they say that
// a document does not exist. So a document that exists may be old, but is never missing. A stale read never loses an
// update, because a conditional write that is based on it is a conflict.
//
// GetMany, and a List of up to 1024 documents, return what the bucket held at one point in time, so they see a batch
// whole or not at all. A longer List may see a part of a batch, and so may a Watch, which returns at least the
// newest value of each key.
//
// # Errors
//
// Each error matches one of the Err variables, or is an error of the server, of the context or of a function that the
// caller passed in. It is an *[Error], or a *[ConflictError], which also has the two revisions.
//
// Some failures pass: there is no leader or no quorum, a server is stopping, the connection is lost. Then the
// operation is tried again until the context or Config.Timeout ends, and fails with ErrUnavailable: nothing was
// stored. A Watch waits without a limit.
//
// If a write was sent and no answer came, it may be stored. Each single write carries an id in the header
// Runnel-Write-Id, so the leader is asked for it. A conditional write that is not there is sent again, because at
// most one of the tries can be stored. A Put or Delete that is not there is not sent again, because it could overwrite
// what another writer stored after the first try. ErrUnknownOutcome is left for four cases: the leader cannot be
// reached, somebody wrote the key after the first try, a Put or Delete is not there, or the write was a batch. To find
// out about a batch, let it write something that no other batch writes, and read that with GetLeader.
//
// An answer is lost with the connection that it would come on. So a write whose connection breaks is looked up as soon
// as there is another one.
//
// Iterators return one error and stop.
//
// # Concurrency
//
// A Bucket may be used by any number of goroutines, and a Batch by one at a time. Reads and writes block until they are
// answered or their context ends. A Watch, and a List of 20,000 documents or more, reads through a consumer of its own,
// which it deletes when the range statement ends.
//
// # Caveats
//
//   - The connection must not have a reconnect buffer: connect with nats.ReconnectBufSize(-1). With a buffer, a
//     write that failed would be sent when the connection is back. Open refuses such a connection.
//   - nats.go's CreateOrUpdateKeyValue switches atomic batches off and removes the name of the codec. The next batch
//     and the next Open restore both, for which the user needs the permission to update the bucket's JetStream
//     stream. If the name is missing, Open looks at the oldest document, and refuses the bucket if that is not in
//     the format of the codec.
//   - On a bucket with one replica and file storage each batch costs the server about 4 ms, whatever its size, and
//     other writes of the bucket wait for it. On three replicas and in memory a batch costs no more than its writes.
//   - Plain subscribers of the subjects see messages of a batch before it is stored or refused. Consumers do not.
//   - Get and GetMany do not ask the leader if the bucket's server belonged to no cluster when the bucket was opened.
//     If the server has joined a cluster since, open the bucket again.
//   - Each deleted key leaves a marker of about 100 bytes in the bucket.
//   - A power cut can leave half of a batch on a server that holds the only replica and does not sync each write
//     (sync_interval: always). The server then serves that half.
//   - If a batch takes an account over its storage limit, a server that holds the only replica stores the part that
//     fits, and does not answer. Commit returns ErrUnknownOutcome after a moment, and a server that restarts may store
//     the rest. Config.MaxBytes prevents it: the bucket refuses a batch that exceeds it whole. Give the streams of an
//     account bounds that add up to no more than its limit.
//   - Other clients see keys in their escaped form. Keys of letters, digits, -, _ and dots look the same. If another
//     client writes a key that this package would escape, such as "a/b", List and Watch skip it and tell
//     Config.Logger.
//   - If a bucket is deleted and created again under the same name, a Watch that is running may miss it. Revisions
//     begin again, and the server compares nothing else. So a conditional write with a revision of the old bucket
//     overwrites a document that has the same key and happens to have that revision in the new one. Stop programs that
//     have the bucket open, or that keep revisions, before you delete it. To empty a bucket, delete its documents.
//   - A JetStream context with a domain or an API prefix works if the subjects $KV.> reach the bucket unchanged.
package kv
