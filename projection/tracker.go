package projection

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// tracker knows the record of a view, for as long as the View is open. It watches the record, and it also asks the
// leader now and then, because a watch may be late. Neither ends before the View or the store does. Each time that it
// asks, the store looks at its log as well.
type tracker struct {
	records *records
	every   time.Duration // how often the leader is asked

	mu        sync.Mutex // guards the fields below
	record    record
	revision  uint64
	err       error         // why the record cannot be used
	confirmed time.Time     // when the leader said last that this is the record; zero before the first time
	remade    bool          // the leader's last answer was older, as if the control bucket had been made anew
	changed   chan struct{} // closed when one of record, revision, and err changes
}

func newTracker(records *records, every time.Duration) *tracker {
	return &tracker{records: records, every: max(every, time.Millisecond), changed: make(chan struct{})}
}

// known is what a tracker knows of the record.
type known struct {
	record
	revision  uint64
	err       error
	confirmed time.Time
	changed   <-chan struct{}
}

func (t *tracker) now() known {
	t.mu.Lock()
	defer t.mu.Unlock()
	return known{record: t.record, revision: t.revision, err: t.err, confirmed: t.confirmed, changed: t.changed}
}

// hear takes note of the record as a watch returned it. It ignores a record that is older than the known one.
func (t *tracker) hear(r record, revision uint64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if revision > t.revision {
		t.setLocked(r, revision, err)
	}
}

// confirm takes note of the record as the leader had it after a time. An answer that is older than what is known has
// been overtaken by the watch. The second in a row means that the control bucket was made anew.
func (t *tracker) confirm(r record, revision uint64, err error, asked time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if revision < t.revision && !t.remade {
		t.remade = true
		return
	}
	first := t.confirmed.IsZero()
	t.remade, t.confirmed = false, asked
	if revision != t.revision || first {
		t.setLocked(r, revision, err)
	}
}

func (t *tracker) setLocked(r record, revision uint64, err error) {
	t.record, t.revision, t.err = r, revision, err
	close(t.changed)
	t.changed = make(chan struct{})
}

// track keeps a tracker up to date until ctx ends.
func (t *tracker) track(ctx context.Context) {
	var watcher sync.WaitGroup
	defer watcher.Wait()
	watcher.Go(func() {
		watch := func(ctx context.Context) iter.Seq2[kv.Change[record], error] {
			return t.records.bucket.Watch(ctx, t.records.key)
		}
		keepWatching(ctx, t.records.logger, "the view's record", watch, t.heard)
	})
	ask := time.NewTicker(t.every)
	defer ask.Stop()
	for failures := 0; ctx.Err() == nil; {
		_, err := t.ask(ctx)
		if err == nil {
			failures = 0
			eventstore.Inside(inside.Pass{}, t.records.store).Look() // readers ask nothing of the log
			select {
			case <-ask.C:
			case <-ctx.Done():
			}
			continue
		}
		failures++
		t.records.logger.WarnContext(ctx, "projection: the view's record cannot be read, trying again", "error", err)
		_ = runner.Restarts.Wait(ctx, failures) // ended by ctx alone
	}
}

// ask reads the record from the leader. It returns an error if the leader could not be asked.
func (t *tracker) ask(ctx context.Context) (record, error) {
	asked := time.Now()
	r, revision, err := t.records.read(ctx)
	if err != nil && revision == 0 {
		return r, err
	}
	t.confirm(r, revision, err, asked)
	return r, nil
}

// keepWatching calls heard for what a watch returns, and watches again when that ends, until ctx ends. If the server
// refuses the watch, it returns: then changes are noticed by the callers that ask now and then.
func keepWatching[U any](
	ctx context.Context, logger *slog.Logger, what string, watch func(context.Context) iter.Seq2[kv.Change[U], error], heard func(kv.Change[U]),
) {
	for failures := 1; ctx.Err() == nil; failures++ {
		for change, err := range watch(ctx) {
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, kv.ErrRefused):
				logger.WarnContext(ctx, "projection: "+what+" may not be watched, so changes are heard of late", "error", err)
				return
			case err != nil:
				logger.WarnContext(ctx, "projection: the watch of "+what+" has ended, watching again", "error", err)
			default:
				failures = 1
				heard(change)
			}
		}
		_ = runner.Restarts.Wait(ctx, failures) // ended by ctx alone
	}
}

func (t *tracker) heard(change kv.Change[record]) {
	switch {
	case change.Synced:
	case change.Deleted:
		t.hear(record{Store: t.records.store.Identity()}, change.Revision, nil)
	default:
		t.hear(change.Value, change.Revision, t.records.compare(change.Value))
	}
}

// await blocks until the record changes after it was known, a time has passed, or ctx ends. It returns the cause of
// ctx.
func (k known) await(ctx context.Context, atMost time.Duration) error {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-k.changed:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}
