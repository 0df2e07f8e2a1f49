// Package projectiontest tests the rules of a view. It shows the documents that given events lead to, and that
// the way in which the view folds them does not matter.
//
//	projectiontest.For(t, Events, projection.On(opened), projection.On(deposited)).
//		Given("account/42", Opened{Owner: "anna"}, Deposited{Amount: 100}).
//		Then(map[string]Balance{"42": {Owner: "anna", Amount: 100}})
//
// The view is a real one, in a real store of the test's own, which takes some 20 milliseconds.
//
// # The property
//
// A rule must be pure. If it keeps a memory elsewhere, or reads a clock, the view differs when it is built
// again. [Check] finds that out. It stores random histories, folds each of them once from start to end, and
// compares the result with
//
//   - a view that ran while the events came, in batches of any size, with each message of the log delivered twice,
//   - a view whose runner was stopped and replaced by another at any point, and that was rebuilt meanwhile,
//   - and the same view after it was rebuilt at the end.
//
// All must have the same documents. A history that fails is shrunk and printed step by step.
//
// # Errors
//
// A rule that does not hold fails the test, with a message that begins with "projectiontest:". [Search] returns
// the message instead.
//
// # Concurrency
//
// Call all functions on the goroutine of the test. Rules are called on other goroutines. Tests that run in
// parallel do not disturb each other.
//
// # Caveats
//
// Documents are compared as readers see them, after encoding and decoding. So a field that is not exported is
// missing in all of them alike, unless a rule reads it after a crash. The moment at which a runner is stopped
// varies. A rule that is only wrong now and then may need more runs (-rapid.checks) to be found.
package projectiontest
