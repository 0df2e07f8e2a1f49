// Package snapshots is the machinery of package snapshot: what a user sets is there, what package aggregate calls is
// here. The doc of package snapshot says what is stored, and when it is used.
//
//	aggregate  Due -> Save (copies the state) -> queue -> goroutine save: encode, compare, put -> bucket
//	aggregate  Restore: get from the bucket -> decode, check -> load the stream from the snapshot's commit on
//
// Use a [Cache] for each category and a [States] for each repository on it. Both are safe for concurrent use.
package snapshots
