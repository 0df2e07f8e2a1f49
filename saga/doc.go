// Package saga runs long processes over several streams and systems that either come to their end or are undone.
//
// A saga has data of the caller's type and steps. A step does something, and says how it is undone; or it awaits an
// event, or a deadline. The history of a saga is a stream in the same store as everything else, so it survives any
// crash and can be read:
//
//	payments, err := saga.Define("payment",
//		saga.Step("reserve", bank.reserve).Undo(bank.release),
//		saga.Step("send", bank.send).Undo(bank.recall),
//		saga.Await("answer", saga.On(accepted), saga.On(refused)).Within(24*time.Hour),
//		saga.Step("confirm", bank.confirm).Retriable(),
//	)
//	manager, err := saga.Open(ctx, store, payments, nil)
//	go manager.Run(ctx)
//	position, err := manager.Start(ctx, "4711", Payment{From: "42", Amount: 100})
//
// An action is given the saga's data and returns what becomes of it. Its commands count once, because they are given
// what the call says of itself:
//
//	func (b *Bank) reserve(ctx context.Context, call saga.Call, p Payment) (Payment, error) {
//		_, err := b.accounts.Do(ctx, p.From, Reserve{Payment: call.Saga(), Amount: p.Amount}, call.Once())
//		return p, err
//	}
//
// # The state machine
//
//	             Started
//	                |
//	                v        StepFailed, and again         EventReceived
//	+--------> RUNNING <-----------------------+        or DeadlinePassed
//	|          |  |  |  StepBegun ... StepDone |    +------------------------- WAITING
//	|          |  |  +-------------------------+    |                             ^
//	|          |  |  <-----------------------------+                              |
//	|          |  +------ StepBegun of a step that awaits an event ---------------+
//	|          |  |                                                               |
//	|          |  +--- all steps are done ---> COMPLETED                          | Cancel
//	|          |                                                                  |
//	|          | a step has failed for good, or Cancel                            |
//	|          v                                                                  |
//	|     COMPENSATING <----------------------------------------------------------+
//	|          |  |  ^  UndoBegun ... Undone, or UndoFailed, and again
//	|          |  +--+
//	|          |  +--- nothing is left ------> COMPENSATED
//	|          |
//	|          | an Undo has failed for good, or a step from which there is no way back
//	|          v
//	+------- STUCK ---- Resolved ------------> RESOLVED
//	  Retried, or back to COMPENSATING
//
// Claimed and Released stand between: they say which runner works on the saga. The history of every saga is a path
// through this picture. One pure function says which event may happen in which state, and every event is checked by
// it before it is appended on top of the version that was looked at. The guide on sagas has the table of all states
// and all events.
//
// # What is stored
//
//	stream payment/4711                        the saga's history: see Instance
//	view   payment-sagas                       a Status for each saga, in NATS KV, for List and for runners that begin
//	reactor payment-sagas                      up to where the log was read for events that are awaited
//	stream account/42                          the events of commands, under keys such as payment/4711/reserve/do
//
// # Forwards and back
//
// Do is tried until it succeeds, fails as often as [Retry] allows, or fails for good. Then, or when the deadline of
// an awaited event passes, or on [Manager.Cancel], the saga goes back: Undo is called for each step that has begun,
// the last one first, the one whose outcome is in doubt included. A step that is [DoStep.Retriable] is one from which
// there is no way back: after it the saga only goes forwards. So a saga ends completed or compensated, and never
// both. If an Undo fails for good, or a step without a way back, the saga is stuck: it is listed, logged, and waits
// for [Manager.Retry], [Manager.Resolve] or Cancel.
//
// # What counts once
//
// An action may run more than once: its runner may die after the work and before it is written down, or be frozen
// while another takes over. Inside the store that does no harm. A command with [Call.Once] carries a key that is the
// same at each try, and is searched for back to the position at which the step began. The Undo of a step closes the
// keys of its Do on every stream on which it runs a command: a Do that was frozen between loading and appending
// conflicts with that, looks again, and ends with aggregate.ErrKeyClosed. So an Undo must run a command with Once on
// every stream that Do may write. Its Decide returns no events if Do left nothing to undo; the key is closed all the
// same.
//
// Outside, effects happen at least once, and Undo may overtake Do. The receiver is given [Call.Key], does each key
// once, and refuses a Do whose Undo it has seen: see [Call.DoKey].
//
// # Runners
//
// Any number of processes may run the sagas of a definition. One that starts a saga works on it, if it has room;
// others find it in the log. A runner claims a saga with a commit on its stream and works on it as long as it can be
// sure of its claim by its own clock. Everything it writes lengthens the claim, and beside a long action it renews
// it. Others count from when they hear of a claim, each by its own clock, so clocks need not agree: when
// [Config.Claim] has passed without a sign of life, they take over with another commit. If two do so, the versions
// let one of them.
//
// A deadline is a time in the saga's history. A runner that sees it pass commits that to the history first. That
// commit draws the line: an awaited event that stands before it in the log is in time, and one after it is too late.
// Then the runner reads the log from what started the saga up to that line. So an event counts also if no runner was
// there to see it, if an older release passed over it, and if it waits in a parked stream. Deadlines survive restarts
// of everything, since runners begin with the view and the log.
//
// # Releases
//
// Runners of two releases may share the work. One that cannot run a saga leaves it alone: it does not know a step,
// the step is of another kind, awaits more events, or has to be undone without an Undo here, or what is stored cannot
// be decoded. It says so in its log and in [Status.LeftAlone].
//
// # Errors
//
// [Define] and [Open] return errors that match ErrInvalidDefinition. The errors of actions are in the saga:
// [Status.Error], the history, and the log of the runner. A panic of a function of the definition is an error of its
// saga, and so is one that ends its goroutine or does not return. A request that a saga cannot fulfil in its state ends
// with a [StateError].
//
// # The hook
//
// [Config.Around] wraps each try of an action, for logging, metrics and tracing. Commands and reactions have a hook of
// the same shape.
//
// # Concurrency
//
// A Manager is safe for concurrent use. [Manager.Run] blocks until its context ends, and waits for all goroutines that
// it starts: one for each saga it works on, and one for its action. Only a function of the user that does not return
// when it must is left behind. Open starts the goroutines of the view that it opens; see projection.Open.
//
// # Caveats
//
// Sagas have no isolation: others see what a step did before it is undone. Let the domain say so, as with money that is
// reserved before it is paid.
//
// The data of a saga is written with each step that changes it, so keep it small. Its type may gain fields.
//
// The view keeps a document for every saga that ever was, and a runner that begins reads them all.
package saga
