package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/lru"
	"github.com/runnel-go/runnel/internal/protocol"
	"github.com/runnel-go/runnel/internal/runner"
)

const (
	// reportCheck is after how many commits or documents a build looks whether a report is due.
	reportCheck = 256
	// reportEvery is how far reports of progress are apart.
	reportEvery = 250 * time.Millisecond
)

// errTaken says that another build has the place of this one.
var errTaken = errors.New("another build of the view has the place")

// Rebuild folds the view at its fold version anew, in a bucket of its own, and leads readers there once it has
// caught up. The bucket that serves now goes on serving until then. Its runner, if there is one, goes on with
// the new bucket afterwards. It blocks until readers of this View read the new bucket. Readers of other Views
// follow a moment later. A build that is under way is waited for, and then another one is made. The report,
// which may be nil, is told how it goes on, a few times a second. Interruptions are waited out. Otherwise it
// fails like [View.Run].
func (v *View[V]) Rebuild(ctx context.Context, report func(eventstore.Progress)) error {
	if report == nil {
		report = func(eventstore.Progress) {}
	}
	ctx, free := runner.WhileGood(ctx, v.spec.store)
	defer free()
	flipped, err := v.worker.rebuild(ctx, report)
	if err != nil {
		return err
	}
	return v.spec.failed(v.guide.serving.await(ctx, flipped))
}

// rebuild builds, again if it is interrupted, and returns the revision of the record that leads readers to the build.
func (w *worker[V]) rebuild(ctx context.Context, report func(eventstore.Progress)) (flipped uint64, err error) {
	for failures := 1; ; failures++ {
		flipped, err := w.build(ctx, "", report)
		switch {
		case err == nil:
			return flipped, nil
		case ctx.Err() != nil:
			return 0, w.failed(context.Cause(ctx))
		case !errors.Is(err, errTaken) && !errors.Is(err, errRestarted) && !runner.Passing(err):
			return 0, err
		}
		w.logger.WarnContext(ctx, "projection: the build begins again", "error", err)
		_ = runner.Restarts.Wait(ctx, failures) // ended by ctx alone
	}
}

// build makes a new generation and leads readers to it, and returns the revision of the record that does:
//
//	another build has the place and lives: wait until it is over
//	take the place -> fold the log into memory -> write documents, checkpoint -> catch up in batches
//	    -> retire what serves -> catch up with where that ended -> flip
//
// The runner is the one that goes on with the generation. If it is empty, any runner does. A runner that builds because
// nothing serves is done once something does: the revision is 0 then.
func (w *worker[V]) build(ctx context.Context, by string, report func(eventstore.Progress)) (flipped uint64, err error) {
	b := &build[V]{
		folder: newFolder(w.spec), buckets: w.buckets, records: w.records, tracker: w.tracker, reached: w.progress, budget: w.budget,
		runner: by, server: w.server(), begun: time.Now(), tell: w.guardedReport(report),
	}
	taken, err := b.take(ctx)
	if err != nil && b.bucket != "" {
		err = errors.Join(err, b.abandon(ctx)) // the place may be this build's though no answer said so
	}
	if !taken || err != nil {
		return 0, err
	}
	end := w.cfg.Trace.build(ctx, w.name, w.foldVersion, b.id)
	defer func() { end(b.progress.Position, flipped != 0, err) }()
	flipped, err = b.run(ctx)
	if bucketGone(err) {
		err = errors.Join(errTaken, err) // the build that has the place now has deleted the bucket
	}
	if err != nil {
		return 0, errors.Join(err, b.abandon(ctx))
	}
	w.logger.InfoContext(ctx, "projection: view built", "bucket", b.bucket, "events", b.progress.Events, "took", time.Since(b.begun).String())
	return flipped, b.generation.close()
}

// build is one build. Its bucket is written by nobody else and read by nobody until the flip.
type build[V any] struct {
	*folder[V]
	buckets  *buckets[V]
	records  *records
	tracker  *tracker
	reached  *progress // of the runner that goes on with the build
	budget   *budget   // of the sessions
	id       string
	bucket   string
	runner   string
	server   string // that the build began on
	begun    time.Time
	tell     func(eventstore.Progress)
	reported time.Time
	told     atomic.Pointer[eventstore.Progress] // for the signs of life
	taken    uint64                              // the revision of the record in which the build has its place
	replaced string                              // the bucket that served then, or ""

	generation *generation[V] // nil before it is made
	bulk       inside.Bulk[V]
	docs       *lru.Cache[string, built[V]]
	evicted    map[string]struct{} // keys whose document is in the bucket and not in docs
	progress   eventstore.Progress
	last       *eventstore.Commit
}

// built is a document in the memory of a build.
type built[V any] struct {
	document[V]
	dirty bool // not in the bucket as it is
}

// take takes the place of the build, once no other build that lives has it. It returns false if a runner's build is
// not needed any more.
func (b *build[V]) take(ctx context.Context) (bool, error) {
	of := b.spec
	var other vigil
	for {
		r, _, err := b.records.read(ctx)
		if err != nil {
			return false, of.failed(err)
		}
		slot := r.slot(of.foldVersion)
		if b.runner != "" && slot.Serving != "" {
			return false, nil
		}
		lives := false
		if slot.Building != "" {
			if other.looked.IsZero() {
				of.logger.InfoContext(ctx, "projection: another build has the place, standing by", "bucket", slot.Building)
			}
			if lives, err = b.buckets.lives(ctx, &other, slot.Building); err != nil {
				return false, err
			}
		}
		if !lives {
			taken, err := b.takeFrom(ctx, slot)
			if taken || err != nil {
				return taken, err
			}
		}
		if err := b.tracker.now().await(ctx, of.cfg.poll()); err != nil {
			return false, err
		}
	}
}

// rename changes the name of the build.
func (b *build[V]) rename() {
	b.id = newBuild()
	b.bucket = control.ViewBucket(b.spec.store.Name(), b.spec.name, b.spec.foldVersion, b.id)
}

// takeFrom takes the place if it is still as it was read, and deletes the bucket of the build that had it.
func (b *build[V]) takeFrom(ctx context.Context, read protocol.Slot[string]) (bool, error) {
	of := b.spec
	r, revision, err := b.records.change(ctx, func(r record) (record, bool) {
		slot := r.slot(of.foldVersion)
		if slot.Building != read.Building || slot.Serving != read.Serving {
			return r, false
		}
		b.rename() // a build that has lost its place must not take it again
		return r.take(of.foldVersion, b.bucket, of.runner), true
	})
	if err != nil || b.bucket == "" || r.slot(of.foldVersion).Building != b.bucket {
		return false, err
	}
	b.taken, b.replaced = revision, read.Serving
	if read.Building != "" {
		of.logger.WarnContext(ctx, "projection: a build has given no sign of life, building in its place", "bucket", read.Building)
		b.buckets.discard(ctx, read.Building)
	}
	return true, nil
}

// run builds, beside its signs of life.
func (b *build[V]) run(ctx context.Context) (flipped uint64, err error) {
	of := b.spec
	if b.generation, err = b.buckets.create(ctx, Version{FoldVersion: of.foldVersion, Bucket: b.bucket, Build: b.id}, b.replaced); err != nil {
		return 0, err
	}
	ctx, end := context.WithCancelCause(ctx)
	var owned sync.WaitGroup
	defer owned.Wait()
	defer end(nil)
	owned.Go(func() { b.showLife(ctx) })
	owned.Go(func() { b.heed(ctx, end) })
	if err := b.fill(ctx); err != nil {
		return 0, because(ctx, err)
	}
	if err := b.writeAll(ctx); err != nil {
		return 0, because(ctx, err)
	}
	if err := b.catchUp(ctx); err != nil {
		return 0, because(ctx, err)
	}
	flipped, err = b.flip(ctx)
	return flipped, because(ctx, err)
}

// because adds to an error the reason why its context has ended, if it has.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		return errors.Join(cause, err)
	}
	return err
}

// showLife writes a sign of life each heartbeat until ctx ends.
func (b *build[V]) showLife(ctx context.Context) {
	beat := time.NewTicker(b.spec.cfg.Heartbeat)
	defer beat.Stop()
	for ctx.Err() == nil {
		var sign life
		if told := b.told.Load(); told != nil {
			sign.Progress = *told
		}
		if err := b.show(ctx, sign); err != nil && ctx.Err() == nil {
			b.spec.logger.DebugContext(ctx, "projection: no sign of life of a build could be written", "error", err)
		}
		select {
		case <-beat.C:
		case <-ctx.Done():
		}
	}
}

// show writes one sign of life. It waits for no longer than leaves time for the next one.
func (b *build[V]) show(ctx context.Context, sign life) error {
	ctx, cancel := context.WithTimeoutCause(ctx, b.spec.cfg.patience(), errSilence)
	defer cancel()
	_, err := b.generation.life.Put(ctx, lifeKey, sign)
	return err
}

// heed ends the build once another has its place, and waits for ctx to end.
func (b *build[V]) heed(ctx context.Context, end context.CancelCauseFunc) {
	for {
		now := b.tracker.now()
		if slot := now.slot(b.spec.foldVersion); now.revision > b.taken && slot.Building != b.bucket && slot.Serving != b.bucket {
			end(errTaken)
			return
		}
		select {
		case <-now.changed:
		case <-ctx.Done():
			return
		}
	}
}

// catchUp folds in batches what the log has got meanwhile, until the build is near the log's end, or does not come
// nearer. Over a long link a round takes some time however little it folds, and the log grows meanwhile.
func (b *build[V]) catchUp(ctx context.Context) error {
	before := eventstore.Position(0)
	for round := 1; ; round++ {
		from := b.progress.Position
		if err := b.foldTo(ctx, 0); err != nil {
			return err
		}
		came := b.progress.Position - from
		if came < nearEnd || round > 1 && came >= before || round == mostRounds {
			return nil
		}
		before = came
	}
}

// foldTo folds up to a position, or up to the log's end if that is 0. It goes on after interruptions.
func (b *build[V]) foldTo(ctx context.Context, position eventstore.Position) error {
	return runner.Restarts.Retry(ctx, b.passing, func() error {
		s := newSession(b.spec, b.tracker, b.reached, b.generation)
		s.runner, s.server, s.budget = b.runner, b.server, b.budget
		err := s.load(ctx)
		if err == nil {
			err = s.catchUp(ctx, position)
		}
		b.progress.Position = max(b.progress.Position, s.at.Position)
		return err
	})
}

// passing reports whether an error passes by itself, and says so in the log.
func (b *build[V]) passing(err error) bool {
	passes := runner.Passing(err)
	if passes {
		b.spec.logger.Warn("projection: a build cannot go on, trying again", "bucket", b.bucket, "error", err)
	}
	return passes
}

// nearEnd is how many positions a build may have come on in one catching up to be near enough to the log's end.
const nearEnd = 1000

// mostRounds is how often a build catches up before it retires what serves, wherever the log ends by then.
const mostRounds = 20

// flip retires what serves, catches up with where that ended, and leads readers to the build.
func (b *build[V]) flip(ctx context.Context) (uint64, error) {
	reached, err := b.retire(ctx)
	if err != nil {
		return 0, err
	}
	// If nothing serves yet, readers may come from another fold version, so the build folds to the log's end once more.
	if err := b.foldTo(ctx, reached); err != nil {
		return 0, err
	}
	to := b.generation.version
	to.Since, to.Position = time.Now().UTC(), b.progress.Position
	r, revision, err := b.records.change(ctx, func(r record) (record, bool) { return r.flip(to) })
	if err != nil {
		return 0, fmt.Errorf("lead readers to build %s: %w", to.Build, err)
	}
	if r.slot(b.spec.foldVersion).Serving != b.bucket {
		return 0, errTaken
	}
	return revision, nil
}

// retire forbids the runner of what serves to write, and returns the position at which that has ended, or 0 if
// nothing serves.
func (b *build[V]) retire(ctx context.Context) (reached eventstore.Position, err error) {
	of := b.spec
	err = runner.Restarts.Retry(ctx, runner.Conflicts, func() error {
		r, _, err := b.records.change(ctx, func(r record) (record, bool) { return r.close(of.foldVersion, b.bucket) })
		if err != nil {
			return of.failed(err)
		}
		serving, ok := r.version(of.foldVersion)
		switch {
		case r.slot(of.foldVersion).Building != b.bucket:
			return errTaken
		case !ok:
			return nil
		}
		at, err := b.buckets.touch(ctx, serving, func(at *checkpoint) {
			at.Retired = protocol.Fence[string]{}.Retire(b.bucket).Retired
		})
		reached = at.reach()
		return err
	})
	return reached, err
}

// abandon leaves the place of the build and deletes its bucket, unless the build serves after all. If the
// server cannot be asked, the bucket stays for the next build or for Prune.
func (b *build[V]) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if b.records.abort(ctx, b.spec.foldVersion, b.bucket) || b.lost(ctx) {
		b.buckets.discard(ctx, b.bucket)
	}
	if b.generation == nil {
		return nil
	}
	return b.generation.close()
}

// lost reports whether the record says that the build can never serve.
func (b *build[V]) lost(ctx context.Context) bool {
	r, _, err := b.records.read(ctx)
	return err == nil && !r.uses(b.bucket)
}
