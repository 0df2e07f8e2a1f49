// Package runnel is the root of a toolkit for event sourcing and CQRS on NATS JetStream. It holds no code; its example is
// a complete program. The packages, from the log upwards:
//
//	eventstore   append-only streams with optimistic concurrency on every write; transactions; reads
//	kv           typed buckets over plain documents in NATS KV, with atomic batches
//	aggregate    commands decided on the state of one stream, or of several at once
//	projection   read models in NATS KV, folded from the log exactly once
//	reactor      functions called for events, at least once and in order for each stream
//	natsrun      an embedded server or a cluster, for programs
//
// and beside them eventstoretest, a real server for tests in one line, and examples/bank, a service that uses it all.
package runnel
