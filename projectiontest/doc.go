// Package projectiontest tests the rules of a view: what documents given events lead to, and that it does not matter how the
// view came to fold them.
//
//	projectiontest.For(t, Events, projection.On(opened), projection.On(deposited)).
//		Given("account/42", Opened{Owner: "anna"}, Deposited{Amount: 100}).
//		Then(map[string]Balance{"42": {Owner: "anna", Amount: 100}})
//
// The view is a real one, in a real store of the test's own, which takes some 20 milliseconds.
//
// # The property
//
// A rule must be pure: whatever it remembers elsewhere, whatever clock it reads, is different when the view is built again.
// [Check] finds that out. It stores random histories, folds each of them once from begin to end, and holds against that
//
//   - a view that ran while the events came, in batches of any size, with each message of the log delivered twice,
//   - whose runner was stopped and replaced by another at any point, and that was rebuilt meanwhile,
//   - and what came of it when it was rebuilt at the end.
//
// All must have the same documents. A history that fails is shrunk and told step by step.
//
// # Errors
//
// What does not hold fails the test, with a message that begins with "projectiontest:". [Search] gives it instead.
//
// # Concurrency
//
// All functions are for the goroutine of the test. Rules are called on others. Tests that run in parallel do not disturb each
// other.
//
// # Caveats
//
// Documents are compared as readers see them, so after they were encoded and decoded: a field that is not exported is missing
// in all of them alike, unless a rule reads it after a crash. When a runner is stopped, and how far it has come then, is left
// to the moment; a rule that is only wrong now and then may need more runs, -rapid.checks, to be found.
package projectiontest
