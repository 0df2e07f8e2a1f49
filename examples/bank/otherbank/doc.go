// Package otherbank is a stub of all other banks, to which the example bank pays: it takes payments, answers them later, and
// does what other banks do at their worst.
//
//	POST   /payments         Idempotency-Key: payment/4711/send/do      takes a payment: 202, and answers it later
//	DELETE /payments/{key}                                              cancels it: 200
//	GET    /payments/{key}                                              shows it
//
//	POST   <Config.Answers>/payments/4711/answer                        what it answers: {"answer":"accepted","reference":"..."}
//	                                                                    or {"answer":"refused","reason":"..."}
//
// # Typical use
//
//	other := otherbank.New(&otherbank.Config{Answers: "http://127.0.0.1:8080", Behave: otherbank.Mix(7, otherbank.Troubled())})
//	go other.Run(ctx)
//	http.Serve(listener, other)
//	...
//	other.Paid() // what its customers have got
//
// # Behaviour
//
// [Config.Behave] says of each payment how it is treated: see [Behaviour]. It must give the same for the same payment, so a test
// with a seed is the same each time, but for the moments at which things happen.
//
// # Guarantees
//
// A key is paid once, however often it is posted. A payment whose cancel was seen is not paid, also where the cancel comes first,
// and a payment that was paid is taken back by its cancel. So what is paid can be compared with what the other side says it
// paid. Answers are sent until somebody takes or refuses them; some behaviours send none, or too many.
//
// # Concurrency
//
// A [Bank] is safe for concurrent use. [Bank.Run] blocks until its context ends and waits for the goroutines that it starts, one
// for each answer that is being sent.
//
// # Caveats
//
// The books are in memory, and are gone with the process.
package otherbank
