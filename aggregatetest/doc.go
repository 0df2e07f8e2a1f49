// Package aggregatetest tests the domain of an aggregate: single rules by example, and all of them by properties.
//
// A rule is shown by what happened, what is asked for, and what follows:
//
//	aggregatetest.For(t, Account{}).
//		Given(Opened{Owner: "anna"}, Deposited{Amount: 100}).
//		When(Withdraw{Amount: 40}).
//		Then(Withdrawn{Amount: 40}).
//		ThenState(Account{Owner: "anna", Balance: 60})
//
// What does not follow is shown as a difference, line by line, in Go. No server runs.
//
// All rules together are shown by what must always hold. The caller says which commands there are, as a generator of package
// rapid, and which invariants; the kit tries lists of commands, and knows the rest:
//
//	aggregatetest.Check(t, Account{}, Events, anyCommand(), nil, neverBelowItsLimit, whatMovedIsTheBalance)
//
// # The laws
//
//   - The invariants hold after every event.
//   - Decide and Evolve leave a state as it was, also where a later one shares its memory; a state with Clone is copied before.
//   - Decide and Evolve give the same for the same, and do not panic.
//   - Evolve takes each registered event, with any data, in any state that commands lead to.
//   - A rejected command leaves no events, neither in what Decide returns nor in the stream.
//   - What is decided is registered.
//   - What a repository answers is what the domain decides by itself: events, rejection, version and state.
//   - What is stored is decoded as what was decided, and events of old types as what they are upcast to.
//   - The state that is replayed from the log is the live one, and so is one from a snapshot with what came after it.
//   - Of two clients who send commands at once, all answers are those of some order of the commands in which none is answered
//     before it was sent (linearizability, found out by package porcupine).
//
// The last four run in a real store of the test's own; so does what [eventstoretest] needs: nothing to be installed.
//
// # What is printed
//
// A list of commands that fails is shrunk: commands are left out and replaced by others that the generator gave, as long as it
// fails. It is printed as a test that is ready to be pasted:
//
//	func TestAccountCounterexample(t *testing.T) {
//		aggregatetest.For(t, Account{}).
//			Given(Opened{Owner: "anna"}).
//			When(Withdraw{Amount: 1}).
//			ThenKeeps(neverBelowItsLimit)
//	}
//
// It fails now and passes once the rule is mended, whether that rejects the command or decides something else. Keep it.
//
// # Errors
//
// What does not hold fails the test, with a message that begins with "aggregatetest:". [Search] gives it instead: use it to
// plant mistakes, and to see that the invariants find them.
//
// # Concurrency
//
// All functions are for the goroutine of the test. Invariants are called on it, Decide and Evolve on others too. Tests that
// run in parallel do not disturb each other.
//
// # Caveats
//
// States and events are compared by their fields, exported or not: times as instants, empty slices as nil ones. What a func,
// a channel or an interface to one holds says nothing.
//
// A generator that mostly draws what is rejected tests little. Draw small numbers and few names, so that commands meet, and
// mostly what may be accepted. An Evolve that may panic for data that no command decides breaks a law all the same: a log
// outlives the rules that wrote it.
package aggregatetest
