// Package common is the common way to keep events on NATS JetStream: the code that people write from the
// documentation of NATS, without a thought for the cost on the server. The bench measures Runnel beside it. A
// reader who has such a store should recognize it here.
//
// # What is stored
//
//	JetStream stream   bank                          allows atomic batches
//	subjects           bank.>                        <store>.<category>.<id>.<event type>
//	message 1          bank.account.42.opened        one event
//	message 2          bank.account.42.booked        the next; expects 1 to be the last message of bank.account.42.>
//	message 3          bank.account.7.opened
//
// A message's payload is the event in JSON. Its headers hold the rest:
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
// Libraries and guides differ in details. This package always takes the cheaper way:
//
//   - An event's id is in a header of its own. Usually it is the Nats-Msg-Id, which the server would remember
//     for two minutes. The expectation alone makes a repeat harmless.
//   - An append is a PublishMsgAsync and a wait for its acknowledgement. Usually it is a PublishMsg, which
//     takes longer if many goroutines publish.
//   - The messages of a batch are sent at once. The batch publisher that NATS offers (orbit.go) waits for the
//     answer to the first.
//   - No more batches are under way than the server takes at a time. Further ones would fail, and have to be
//     tried again.
//   - When the server makes the consumer, it reports the number of messages. So a load of nothing ends there,
//     and no load waits to find out that nothing follows.
//   - A consumer is asked for all messages that exist, up to a few thousand ahead.
//
// # Caveats
//
// The common way lacks what people leave out: an append whose acknowledgement was lost is not looked for, gaps
// are not seen, and a read model has no checkpoint. With replicas, a load may miss the newest appends. The
// expectation on a wildcard is safe only as long as every writer uses the same wildcard.
package common
