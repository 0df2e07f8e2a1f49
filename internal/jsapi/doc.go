// Package jsapi speaks the part of JetStream's wire protocol that the toolkit needs and nats.go does not offer:
// publishes with classified answers, pipelined direct gets, reads from the stream's leader, and atomic batches.
//
// A [Client] sends requests over a given connection and receives all replies on one inbox subscription. So any
// number of requests can be under way without a goroutine or a subscription for each. To read several messages
// at once, a caller takes one of the [Gets], which have subscriptions of their own. nats.go's own getters use
// direct gets, which any replica answers and which may be stale. [Client.LeaderLast] and the similar methods
// ask the stream's leader.
//
// A [Session] is the status of the connection. It is asked for once a millisecond and not for each request.
//
// [Classify] decides the meaning of an answer to a publish, by its code. Only a server that is ending has to be told by
// its text.
package jsapi
