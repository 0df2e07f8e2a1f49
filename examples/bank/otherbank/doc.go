// Package otherbank is a stub of all other banks that the example bank pays to. It takes payments, answers them
// later, and behaves as badly as other banks can.
//
//	POST   /payments         Idempotency-Key: payment/4711/send/do      takes a payment: 202, and answers it later
//	DELETE /payments/{key}                                              cancels it: 200
//	GET    /payments/{key}                                              shows it
//
//	POST   <Config.Answers>/payments/4711/answer    its answer: {"answer":"accepted","reference":"..."}
//	                                                or {"answer":"refused","reason":"..."}
//
// # Typical use
//
//	other := otherbank.New(&otherbank.Config{Answers: "http://127.0.0.1:8080", Behave: otherbank.Mix(7, otherbank.Troubled())})
//	go other.Run(ctx)
//	http.Serve(listener, other)
//	...
//	other.Paid() // what their customers have received
//
// # Behaviour
//
// [Config.Behave] says how each payment is treated: see [Behaviour]. It must return the same for the same payment. So
// a test with a seed is the same each time, except for the moments at which things happen.
//
// # Guarantees
//
// A key is paid once, however often it is posted. A payment is not paid after its cancel, even if the cancel comes
// first. A payment that was paid is taken back by its cancel. So the books can be compared with what the other side
// says. Answers are sent until a bank takes or refuses them. Some behaviours send no answer, or too many.
//
// # Concurrency
//
// A [Bank] is safe for concurrent use. [Bank.Run] blocks until its context ends. It starts a goroutine for each
// answer that is being sent, and waits for them.
//
// # Caveats
//
// The books are in memory, and are lost when the process ends.
package otherbank
