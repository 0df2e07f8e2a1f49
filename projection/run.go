package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

var (
	errPaused = errors.New("the view is paused")
	errQuiet  = errors.New("quiet")
	errMoved  = errors.New("another build serves")
)

// Run folds the log into the view until ctx ends; then it returns nil. It builds the view first where its fold version
// has not been built, and stands by while another instance works. It returns an error as soon as going on would skip
// something; see the package documentation. A View runs once at a time, other Views of the same name may run elsewhere.
//
//	turn:  catalog -> nothing serves this fold version -> build it, unless another instance does
//	               -> a bucket serves it, but is torn  -> take it back, build anew
//	               -> a bucket serves it               -> go on live from its checkpoint
//	       the checkpoint was moved by another         -> stand by until it rests, next turn
//	       paused, server away                         -> wait, next turn
func (v *View[V]) Run(ctx context.Context) error {
	if !v.running.CompareAndSwap(false, true) {
		return fmt.Errorf("projection: view %s: %w", v.name, ErrRunning)
	}
	defer v.running.Store(false)
	ctx, free := runner.WhileGood(ctx, v.store)
	defer free()
	for failures := 1; ; failures++ {
		worked, err := v.turn(ctx)
		v.progress.set("", 0)
		if worked {
			failures = 1
		}
		err = v.between(ctx, err, failures)
		if ctx.Err() != nil {
			return v.store.Err()
		}
		if err != nil {
			return err
		}
	}
}

// between waits until the next turn can be taken after one that ended in an error, or gives the error that ends Run.
func (v *View[V]) between(ctx context.Context, err error, failures int) error {
	switch {
	case errors.Is(err, errPaused):
		v.logger.InfoContext(ctx, "projection: the view is paused")
		err = v.awaitResume(ctx)
	case errors.Is(err, errLost) && !errors.Is(err, errMoved):
		v.logger.InfoContext(ctx, "projection: another instance runs the view, standing by", "because", err)
		err = v.standBy(ctx)
	}
	final := err != nil && !runner.Passing(err) && !errors.Is(err, errReconnected) && !errors.Is(err, errLost)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx) // which Run gives nobody
	case errors.Is(err, errMoved):
		v.logger.InfoContext(ctx, "projection: going on with another build", "because", err)
		return nil
	case err == nil, final:
		return err
	}
	v.logger.WarnContext(ctx, "projection: the view begins again", "error", err)
	_ = runner.Restarts.Wait(ctx, failures) // ended by ctx alone, which Run looks at
	return nil
}

// turn takes one part in the work, until it is over for one of the reasons that Run knows. It reports whether anything
// was written.
func (v *View[V]) turn(ctx context.Context) (worked bool, err error) {
	if paused, err := v.paused(ctx); paused || err != nil {
		return false, errors.Join(err, pausedError(paused))
	}
	version, revision, err := v.catalog.version(ctx, versionKey(v.foldVersion))
	if err != nil {
		return false, err
	}
	if revision == 0 {
		_, err := v.build(ctx, v.cfg.onBuild)
		return err == nil, err
	}
	reconnects := v.reconnects()
	g, err := openServed(ctx, v, version)
	if errors.Is(err, errDamaged) {
		if err := v.heed(ctx, version); err != nil {
			return false, v.unlessReplaced(ctx, version, err)
		}
		v.torn.Add(1)
		v.logger.WarnContext(ctx, "projection: the view is built anew", "bucket", version.Bucket, "error", err)
		return false, v.catalog.withdraw(ctx, version)
	}
	if err != nil {
		return false, v.unlessReplaced(ctx, version, err)
	}
	s := newSession(v, g)
	s.reconnects = reconnects
	err = v.unlessReplaced(ctx, version, s.runUntilReconnected(ctx))
	if errors.Is(err, jetstream.ErrStreamNotFound) && !runner.OfTheLog(err) {
		err = errors.Join(kv.ErrUnavailable, err) // the bucket was deleted, so the next turn builds it anew
	}
	return s.flushed, errors.Join(err, g.close())
}

// heed refuses a log that lacks what the checkpoint of a damaged build has seen: a power cut may have cost the log its end
// too, and once the build is gone nobody knows.
func (v *View[V]) heed(ctx context.Context, damaged Version) error {
	g, err := openGeneration(ctx, v, damaged)
	if err != nil {
		return err
	}
	at, err := g.stand(ctx)
	if err == nil {
		err = verify(ctx, v.store, "view "+v.name, at.checkpoint)
	}
	return errors.Join(err, g.close())
}

// unlessReplaced gives errMoved for the error of work on a version that does not serve any more: its bucket may be deleted.
func (v *View[V]) unlessReplaced(ctx context.Context, version Version, err error) error {
	if err == nil || errors.Is(err, errMoved) || ctx.Err() != nil {
		return err
	}
	now, _, readErr := v.catalog.version(ctx, versionKey(v.foldVersion))
	if readErr == nil && now.Build != version.Build {
		return fmt.Errorf("%w: %q: %w", errMoved, now.Build, err)
	}
	return err
}

func pausedError(paused bool) error {
	if paused {
		return errPaused
	}
	return nil
}

func (v *View[V]) paused(ctx context.Context) (bool, error) {
	entry, err := v.catalog.orders.GetLeader(ctx)
	if errors.Is(err, kv.ErrNotFound) {
		return false, nil
	}
	return entry.Value.Paused, err
}

func (v *View[V]) awaitResume(ctx context.Context) error {
	for change, err := range v.catalog.orders.Watch(ctx) {
		if err != nil {
			return err
		}
		if !change.Synced && !change.Value.Paused {
			break
		}
	}
	return nil
}

// standBy blocks while another instance works on what serves this fold version. It returns at once where the checkpoint was
// moved to stop the view, or to put another build in its place.
func (v *View[V]) standBy(ctx context.Context) error {
	if paused, err := v.paused(ctx); paused || err != nil {
		return err
	}
	version, revision, err := v.catalog.version(ctx, versionKey(v.foldVersion))
	if err != nil || revision == 0 {
		return err
	}
	g, err := openGeneration(ctx, v, version)
	if err != nil {
		return v.unlessReplaced(ctx, version, err)
	}
	err = v.unlessReplaced(ctx, version, quiet(ctx, v.cfg.standBy(), g.checkpoint.Watch,
		func(at checkpoint) bool { return at.Retired != "" }))
	return errors.Join(err, g.close())
}

// quiet blocks until a watch has given nothing for a while, what it is about was deleted, or it is over for another reason.
func quiet[U any](
	ctx context.Context, pause time.Duration, watch func(context.Context) iter.Seq2[kv.Change[U], error], over func(U) bool,
) error {
	timed, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(pause, func() { cancel(errQuiet) })
	defer timer.Stop()
	for change, err := range watch(timed) {
		switch {
		case errors.Is(context.Cause(timed), errQuiet):
			return nil
		case err != nil:
			return err
		case change.Deleted, !change.Synced && over(change.Value):
			return nil
		case !change.Synced:
			timer.Reset(pause)
		}
	}
	return nil
}
