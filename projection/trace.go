package projection

import (
	"context"

	"github.com/runnel-go/runnel/eventstore"
)

// Trace has functions that are called as the batches and the builds of a view begin and end, so that metrics and traces
// can be made of them. Each function, and each function that it returns, may be nil. The goroutine that works calls
// them, so they must return soon and must not panic. One Trace may serve several views, whose calls may overlap.
type Trace struct {
	// Batch is called when the first event of a batch is about to be folded, with the position after which the batch
	// begins. A runner writes batches, and so does a build that catches up with the log. A batch without an error is
	// written when end is called, and the view is complete up to the position. If a write takes several batches, the
	// last of them brings the position and the events. Events without a rule do not count. Documents are the ones that
	// were written or deleted. A batch with an error was not written, or nobody knows: its events are folded again.
	Batch func(ctx context.Context, view string, after eventstore.Position) (end func(to eventstore.Position, events, documents int, err error))
	// Build is called when a build has got the place, with the id in [Version]. At its end, flipped says that it serves
	// now, from the position on. Otherwise it was aborted, for the error.
	Build func(ctx context.Context, view string, foldVersion int, build string) (end func(at eventstore.Position, flipped bool, err error))
}

// tracedBatch is the batch of a session, as Config.Trace knows it.
type tracedBatch struct {
	trace  *Trace
	end    func(to eventstore.Position, events, documents int, err error) // nil while none is under way
	events int
}

// begin tells that a batch begins, unless one is under way.
func (b *tracedBatch) begin(ctx context.Context, view string, after eventstore.Position) {
	if b.trace == nil || b.trace.Batch == nil || b.end != nil {
		return
	}
	if b.events, b.end = 0, b.trace.Batch(ctx, view, after); b.end == nil {
		b.end = func(eventstore.Position, int, int, error) {}
	}
}

// finish tells that the batch under way has ended, if there is one.
func (b *tracedBatch) finish(to eventstore.Position, documents int, err error) {
	if b.end != nil {
		b.end(to, b.events, documents, err)
		b.end = nil
	}
}

// build tells that a build begins, and returns the function to call at its end.
func (t *Trace) build(ctx context.Context, view string, foldVersion int, build string) func(eventstore.Position, bool, error) {
	if t != nil && t.Build != nil {
		if end := t.Build(ctx, view, foldVersion, build); end != nil {
			return end
		}
	}
	return func(eventstore.Position, bool, error) {}
}
