// Package sagatest shows that a saga comes to its end wherever its process dies.
//
//	func TestPaymentsSurviveEveryCrash(t *testing.T) {
//		sagatest.Crash(t, events, func(t testing.TB, outside *eventstore.Store) sagatest.Play[Payment] {
//			other := newOtherBank()      // the world answers as the test says
//			openAccount(t, outside, 100) // what is there before
//			return sagatest.Play[Payment]{
//				ID: "1", Data: Payment{From: "anna", Amount: 30},
//				Define: func(store *eventstore.Store) (*saga.Definition[Payment], error) {
//					return define(store, other)
//				},
//				Check: func(t testing.TB, in saga.Instance[Payment]) { requireNothingIsLost(t, outside, other) },
//			}
//		})
//	}
//
// [Crash] runs the saga once and notes the points that its process reaches. Points are each message that the
// process writes to the log or to the logs of [Play.Stores], and the first messages of the listener that brings
// awaited events. The moments before and after each effect outside are points as well, forwards and back. Then
// Crash runs the saga twice for each point. In one run the process dies there, and nothing that it sends from
// then on arrives. In the other it is frozen there. It wakes, with all that it was about to send, after another
// process has ended the saga.
//
//	first process    start -- step -- step X
//	second process                         \-- takes over after a while -- step -- end
//	first process                                                                     \-- wakes, and changes nothing
//
// With [Play.Next] the two processes are of two releases, and each point is tried twice: the next release takes over
// from the one before, and the other way round.
//
// # Checks
//
//   - The saga ends, in time, and once: it is never both completed and undone.
//   - No step is done twice, and none undone twice.
//   - The saga is stuck only at a step of which an action has failed.
//   - No answer is lost: an event that [Play.Awaits] knows is received if it stands in the log before the
//     deadline passed.
//   - In each stream, each idempotency key counts once.
//   - The caller's Check passes: no money is lost, say, and the world outside agrees.
//
// Script the world so that the saga takes each of its ways: one call of Crash for the way through, and one for
// each reason to go back. With Interrupt a person cancels the saga while its process is struck. Then an effect
// can come after its Undo, if no closed key stops it.
//
// # Errors
//
// A failed check fails a subtest that names the point, with the history of the saga; see [Story].
//
// # Concurrency
//
// Six runs go on at the same time, each in a store of its own on one server in memory. Check and Interrupt are called
// on the goroutine of their subtest, the actions of the definition on others.
//
// # Caveats
//
// The processes live in the process of the test, so memory that they share survives. Both processes call the
// same actions, so everything that an action touches outside must be safe for concurrent use, as in life.
package sagatest
