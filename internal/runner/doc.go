// Package runner holds the rules that views, reactors and sagas share while they run. They say which errors pass, how
// long to wait before the next try, and whether a checkpoint still fits the log. A [Feed] reads an iterator beside
// other work.
package runner
