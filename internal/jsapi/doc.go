// Package jsapi speaks the part of JetStream's wire protocol that the toolkit needs and nats.go does not offer: publishes
// whose every answer is classified, pipelined direct gets, reads from the stream's leader, and atomic batches.
//
// A [Client] sends requests over a connection it was given and receives all replies on one inbox subscription, so that any
// number of requests are under way at once without a goroutine or a subscription each. Whoever reads several messages at once
// takes one of the [Gets], which have subscriptions of their own. nats.go's own getters use direct gets, which any replica answers
// and which may be stale; [Client.LeaderLast] and its kin ask the stream's leader.
//
// A [Session] is how the connection stands, which it is asked for once a millisecond and not for each request.
//
// What an answer means is decided in one function, [Classify], by its code and never by its text.
package jsapi
