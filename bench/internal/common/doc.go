// Package common is the common way to keep events on NATS JetStream, as it is built from the documentation of NATS by
// who does not think of what it costs the server. The figures of bench stand Runnel beside it. It is written for them,
// and it is what is used: whoever has such a store should find their own here.
//
// # What is stored
//
//	JetStream stream   bank                          allows atomic batches
//	subjects           bank.>                        <store>.<category>.<id>.<event type>
//	message 1          bank.account.42.opened        one event
//	message 2          bank.account.42.booked        the next, which expects 1 to be the last message of bank.account.42.>
//	message 3          bank.account.7.opened
//
// A message's payload is the event in JSON. Its headers say the rest:
//
//	Event-Id            6b0c2a54-8a45-4c8c-a8b3-9f2ad4a5e7f0
//	Event-Type          booked
//	Event-Time          2026-11-25T10:00:00.123456789Z
//	Event-Correlation   the id of the first event of the same append
//
// # How it is used
//
//	append of one event      a publish that expects the last sequence of <store>.<category>.<id>.>
//	append of several        an atomic batch (ADR-50 of NATS) with that expectation at its first message
//	load                     an ordered consumer that filters <store>.<category>.<id>.>, and is deleted after it
//	read of the whole log    an ordered consumer without a filter
//	read model               a kv.Put of the document of each event
//
// # Fairness
//
// Libraries and guides differ in details. Where they do, this package does what is cheaper:
//
//   - An event's id is in a header of its own. As Nats-Msg-Id, which is usual, the server would also remember each for two
//     minutes; the expectation alone makes a repeat harmless.
//   - An append is a PublishMsgAsync whose acknowledgement is waited for. PublishMsg, which is usual, takes longer where many
//     goroutines publish.
//   - The messages of a batch are sent at once. The batch publisher that NATS offers (orbit.go) waits for the answer to the first.
//   - No more batches are under way than the server takes at a time. Others fail, and have to be tried again.
//   - The server tells the reader how much is there when it makes the consumer, so a load of nothing ends there, and no load
//     waits to find out that nothing follows.
//   - A consumer is asked for as much as is there, up to a few thousand messages ahead.
//
// # Caveats
//
// What is missing is missing in what it stands for: an append whose acknowledgement was lost is not looked for, gaps are
// not seen, a read model has no checkpoint. Where there are replicas, a load may not see what was appended just before,
// and the expectation of a wildcard is safe only as long as every writer writes the same one.
package common
