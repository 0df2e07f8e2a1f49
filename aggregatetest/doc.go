// Package aggregatetest tests the domain of an aggregate: single rules by example, and all rules by properties.
//
// A scenario shows one rule, with the earlier events, the command, and the result:
//
//	aggregatetest.For(t, Account{}).
//		Given(Opened{Owner: "anna"}, Deposited{Amount: 100}).
//		When(Withdraw{Amount: 40}).
//		Then(Withdrawn{Amount: 40}).
//		ThenState(Account{Owner: "anna", Balance: 60})
//
// A different result is shown as a difference in Go, line by line. No server runs.
//
// A property shows all rules together. The caller passes a generator of commands, of package rapid, and the invariants
// that must always hold. The kit tries lists of commands, and knows the other laws:
//
//	aggregatetest.Check(t, Account{}, Events, anyCommand(), nil, neverBelowItsLimit, whatMovedIsTheBalance)
//
// # The laws
//
//   - The invariants hold after every event.
//   - Decide and Evolve leave a state as it was, even if a later state shares its memory. A state with Clone is copied
//     before.
//   - Decide and Evolve return the same for the same arguments, and do not panic.
//   - Evolve accepts each registered event, with any data, in any state that commands lead to.
//   - A rejected command leaves no events, neither in the result of Decide nor in the stream.
//   - Decided events are registered.
//   - A repository answers as the domain decides: the same events, rejection, version and state.
//   - Stored events are decoded as they were decided, and events of old types as the events they are upcast to.
//   - The state that is replayed from the log is the live one. So is the state from a snapshot with the newer events.
//
// The last three need a real store, which the kit starts in the test's process. Nothing needs to be installed.
//
// # The printed test
//
// If a list of commands fails, the kit shrinks it: it removes commands, or replaces them with others that the generator
// drew, as long as the list fails. It prints the rest as a test that can be pasted:
//
//	func TestAccountCounterexample(t *testing.T) {
//		aggregatetest.For(t, Account{}).
//			Given(Opened{Owner: "anna"}).
//			When(Withdraw{Amount: 1}).
//			ThenKeeps(neverBelowItsLimit)
//	}
//
// The test fails now. It passes after the rule is fixed, whether the rule then rejects the command or decides something
// else. Keep it.
//
// # Errors
//
// A broken law fails the test, with a message that begins with "aggregatetest:". [Search] returns it instead. Use
// Search to plant mistakes, and to show that the invariants find them.
//
// # Concurrency
//
// Call all functions on the goroutine of the test. Invariants are called on it, and Decide and Evolve on others too.
// Tests that run in parallel do not disturb each other.
//
// # Caveats
//
// States and events are compared by their fields, exported or not. Times are compared as instants, and an empty slice
// equals nil. Functions and channels are not compared.
//
// A generator that mostly draws rejected commands tests little. Draw small numbers and few names, so that commands
// meet, and mostly commands that may be accepted. An Evolve that panics for data that no command decides breaks a law
// all the same, because a log outlives the rules that wrote it.
package aggregatetest
