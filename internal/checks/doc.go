// Package checks holds no code, only tests of the repository itself. They check which package imports which,
// what the build depends on, whether prose and code agree, whether prose is plain, and whether the tree is
// clean. Each test names the rule that it enforces, and its message says what to do.
package checks
