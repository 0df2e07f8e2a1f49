// Package sagatest shows that a saga comes to its end wherever its process dies.
//
//	func TestPaymentsSurviveEveryCrash(t *testing.T) {
//		sagatest.Crash(t, events, func(t testing.TB, outside *eventstore.Store) sagatest.Play[Payment] {
//			other := newOtherBank()      // the world answers as the test says
//			openAccount(t, outside, 100) // what is there before
//			return sagatest.Play[Payment]{
//				ID: "1", Data: Payment{From: "anna", Amount: 30},
//				Define: func(store *eventstore.Store) (*saga.Definition[Payment], error) { return define(store, other) },
//				Check:  func(t testing.TB, in saga.Instance[Payment]) { requireNothingIsLost(t, outside, other) },
//			}
//		})
//	}
//
// [Crash] runs the saga once and notes the points that its process comes to: each message that it writes to the log, or
// to those of [Play.Stores], the first messages of the listener that brings awaited events, and the moments before and
// after each effect outside, forwards and back. Then it runs it again for each point twice. In the one run the process
// dies there: nothing that it sends from then on arrives. In the other it is frozen there, and wakes, with all that it
// was about to send, after another process has brought the saga to its end.
//
//	first process    start -- step -- step X
//	second process                         \-- takes over after a while -- step -- end
//	first process                                                                     \-- wakes, and changes nothing
//
// With [Play.Next] the two processes are of two releases, and each point is tried twice: the next release takes over
// from the one before, and the other way round.
//
// # What is checked
//
//   - The saga ends, in time, and once: it is never both completed and undone.
//   - No step is done twice, and none undone twice.
//   - The saga is stuck only at a step of which an action has failed.
//   - No answer is lost: what [Play.Awaits] knows, and stands in the log before the deadline passed, is received.
//   - In each stream, each idempotency key counts once.
//   - What the caller's Check says: that no money is lost, that the world outside agrees.
//
// Script the world so that the saga takes each of its ways: one call of Crash for the way through, and one for each
// reason to go back. With Interrupt a person cancels the saga while its process is struck, which is how an effect can
// come after its Undo that has no closed key to stop it.
//
// # Errors
//
// What does not hold fails a subtest that names the point, with the history of the saga; see [Story].
//
// # Concurrency
//
// Eight runs go on at the same time, each in a store of its own on one server in memory. Check and Interrupt are called
// on the goroutine of their subtest, the actions of the definition on others.
//
// # Caveats
//
// The processes live in that of the test: what they share in memory survives. An action is called by both processes, so
// what it touches outside must be safe for that, as in life.
package sagatest
