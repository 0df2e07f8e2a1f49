// Package browser drives the page of the bank in a real browser, as a customer does. It has tests only:
//
//	other bank (the test)  <- pays -  bank (a process)  <- HTTP -  headless Chromium  <- keys, mouse -  test
//	       |                             ^
//	       +------- answers, when told --+
//
// The test is also the other bank, so that each step of a payment waits until the test has seen it on the page.
//
//	make browser                              run it; without a browser it says so and skips
//	make browser BANK_PICTURE=docs/bank.png   also take the picture that the README shows
//
// It is a module of its own, so that the browser's driver does not become a user's dependency.
package browser
