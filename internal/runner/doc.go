// Package runner holds the rules that views, reactors and sagas share while they run: which errors pass, how long to
// wait before the next try, whether a checkpoint still fits the log, and how to read an iterator beside other work.
package runner
