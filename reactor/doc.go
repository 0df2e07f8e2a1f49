// Package reactor calls functions for events: for what must happen outside the store, such as mails, webhooks, and
// commands elsewhere.
//
//	mails, err := reactor.Open(ctx, store, "mails", nil,
//		reactor.On(func(ctx context.Context, e Placed, r eventstore.Recorded) error {
//			return send(ctx, e, r.EventID())
//		}))
//	go mails.Run(ctx)
//
// A reactor begins after the log's end when it is opened for the first time, unless [Config.From] says otherwise. It
// has nothing to do with views: building or replaying a view calls no reaction.
//
// # What is stored
//
// A reactor keeps its documents in the control bucket of the store, which any NATS client reads:
//
//	bucket bank_control
//	key reactor.mails.checkpoint              {"checkpoint":{"store":"0198...","position":17,"runner":"5f1c...",..}}
//	key reactor.mails.parked.account.42       {"state":"parked","version":3,"error":"...","attempts":11,"waiting":2}
//	key reactor.mails.discarded.account.42.3  the record of an event that was left out
//
// # What is promised
//
// Each event is handled at least once, and never before the earlier events of its stream have been handled or
// discarded. After a crash, or when another instance takes over, what was handled since the last checkpoint is handled
// again, in the same order. Receivers recognize a repetition by the event's id, [eventstore.Recorded.EventID]: the
// commit's id and the event's index in it. They keep the ids they have seen, in one transaction with what they do for
// the event, or use the id as the idempotency key of what they call. If an upcaster makes several events of one, all
// have its id: add the type.
//
// Only one instance runs at a time, and the others stand by. They take over at once when it stops in good order, and
// then nothing is repeated. They take over within 5 seconds, which is two and a half heartbeats, when it falls silent.
// An instance that cannot write its checkpoint begins no reaction after two heartbeats, by its own clock. So an
// instance that was frozen and wakes handles nothing more, except what it had begun. If writes take long, because the
// disk is slow, the one that runs says in its checkpoint how long the others must wait.
//
// # Releases
//
// The checkpoint names the types of events for which it stands. So two releases of a program can run at the same time,
// and one of them may have reactions that the other lacks:
//
//   - A release announces its types in the checkpoint when it opens the reactor. Events of a new type that are appended
//     after Open has returned are handled, even if the older release runs for a long time after that.
//   - An instance that handles all that the running one handles, and more, asks it to stop, and takes over.
//   - An instance that handles less stands by. It takes over when no other instance has written the checkpoint for two
//     and a half heartbeats, as after a rollback. The types that it does not handle keep the position that they have
//     reached, and [Status] shows them. The next release that handles them goes on from there, also after a year. If
//     that is not wanted, give the reactor a new name.
//
// # When a reaction fails
//
// A reaction fails if it returns an error, panics, or ends its goroutine. The event is tried again, after random waits
// that grow. Only its stream waits. The stream is parked after [Config.Retries], or at once for a [Permanent] error,
// for an event that does not decode, and for a reaction that does not return after twice its time. A parked stream is
// written down before the checkpoint passes it. Its later events wait too, and other streams go on. [Reactor.Parked]
// lists parked streams, [Reactor.ReplayParked] has a stream handled again from the event that failed, and
// [Reactor.Discard] leaves that event out. All three may be called from any process.
//
// A [Breaker] around the calls to a downstream keeps them away while it fails. Reactions that meet an open breaker
// wait, and that counts as no attempt: nothing is parked because a downstream is away.
//
// # The hook
//
// [Config.Around] wraps each reaction, for logging, metrics and tracing. Commands and the actions of sagas have a hook
// of the same shape.
//
// # Errors
//
// Open returns an error that matches
//
//   - ErrInvalid if the name, the reactions or a value of [Config] cannot be used, or if the checkpoint was deleted,
//   - ErrOtherStore if the checkpoint belongs to a store that had the name before,
//   - eventstore.ErrPositionAhead if Config.From is beyond the log's end.
//
// Run returns ErrRunning if it runs already, and ErrInvalid if the checkpoint was deleted. It returns an error that
// matches ErrOtherStore or eventstore.ErrLogRewound if the checkpoint does not fit the log, or eventstore.ErrCorrupt if
// the log is damaged. Both also return what the server refused. Run waits out what passes.
//
// The errors of reactions are in [Parked], and the logger reports them. A breaker refuses a call with an [OpenError],
// which matches ErrOpen. A request about a stream that is not parked ends with an error that matches ErrNotParked.
//
// # Concurrency
//
// A Reactor is safe for concurrent use. Run blocks until its context ends, and returns nil, or until it fails. It waits
// for the goroutines that it starts. Open starts none.
package reactor
