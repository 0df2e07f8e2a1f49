package eventstore

import (
	"context"
	"slices"
)

// Trace is how a program follows the appends and loads of a store, to make spans and metrics. Any of its functions may
// be nil. Each is called when a call begins, with the context of the call, and may return nil. Otherwise the function
// that it returns is called once, with the results of the call. The goroutine of the call calls all of them and waits
// for them. They must not change their arguments.
type Trace struct {
	// Append begins with each [Store.Append] and [Store.AppendAll], and ends when the outcome is known. A transaction
	// is one append of several writes. The commits are nil if err is not. Its text, and the errors that it matches,
	// say what the outcome is. tries is how often the store tried to send the commits: 0 if they were refused before,
	// and more than 1 if an answer was in doubt.
	Append func(ctx context.Context, writes []Write) func(commits []*Commit, tries int, err error)
	// Load begins with each read of one stream, such as [Store.Load], [Store.Stream] and [Store.Head], and ends when
	// the commits are there, before they are decoded. A stream that is read [Backwards] is read in several loads. Each
	// brings the next commits, and its head is the head of the newest of them.
	Load func(ctx context.Context, stream StreamID) func(history History, err error)
}

// beginAppend returns the function to call at the end of an append, or nil.
func (t *Trace) beginAppend(ctx context.Context, writes []Write) func([]*Commit, int, error) {
	if t == nil || t.Append == nil {
		return nil
	}
	return t.Append(ctx, slices.Clone(writes)) // so that the writes of other appends stay on their callers' stacks
}

// beginLoad returns the function to call at the end of a load, or nil.
func (t *Trace) beginLoad(ctx context.Context, stream StreamID) func(History, error) {
	if t == nil || t.Load == nil {
		return nil
	}
	return t.Load(ctx, stream)
}
