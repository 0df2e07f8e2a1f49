// Package runnel is the root of a toolkit for event sourcing and CQRS on NATS JetStream. It holds no code. Its example
// is a complete program. These are the packages, from the log upwards:
//
//	eventstore   append-only streams with optimistic concurrency on every write; transactions; reads; archives
//	kv           typed buckets over plain documents in NATS KV, with atomic batches
//	snapshot     states of aggregates in NATS KV, so that a long stream loads as fast as a short one
//	aggregate    commands decided on the state of one stream, or of several at once
//	projection   read models in NATS KV, folded from the log exactly once
//	reactor      functions called for events, at least once and in order for each stream
//	saga         long processes of steps that are completed or undone
//	natsrun      an embedded server or a cluster, for programs
//
// These packages are for tests:
//
//	eventstoretest   a real server in one line, clusters in process, a proxy with faults
//	aggregatetest    domain rules by example and by properties
//	projectiontest   views by example, and in every way that they can be folded
//	sagatest         a saga that is struck at every point of its process
//
// The command examples/bank is a service that uses all of them. DESIGN.md explains the decisions, and the guides in
// docs/guides say how to use each package.
package runnel
