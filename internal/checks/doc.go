// Package checks holds no code, only tests that look at the repository itself: which package imports which, what the
// build depends on, whether prose and code agree, and whether the tree is as clean as its rules say. Each test names the
// rule that it enforces, and its message says what to do.
package checks
