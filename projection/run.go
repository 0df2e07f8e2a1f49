package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/runnel-go/runnel/internal/backoff"
	"github.com/runnel-go/runnel/kv"
)

// restarts spaces the turns of a runner whose server is away.
var restarts = backoff.Policy{Base: 20 * time.Millisecond, Max: 2 * time.Second}

var (
	errPaused = errors.New("the view is paused")
	errQuiet  = errors.New("quiet")
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
	for failures := 1; ; failures++ {
		worked, err := v.turn(ctx)
		v.progress.set("", 0)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errPaused):
			err = v.awaitResume(ctx)
		case errors.Is(err, errLost):
			v.logger.InfoContext(ctx, "projection: another instance runs the view, standing by", "because", err)
			err = v.standBy(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, kv.ErrUnavailable) && !errors.Is(err, errReconnected) && !errors.Is(err, errLost) {
			return err
		}
		if worked {
			failures = 1
		}
		if err == nil {
			continue
		}
		v.logger.WarnContext(ctx, "projection: view begins again", "error", err)
		if restarts.Wait(ctx, failures) != nil {
			return nil
		}
	}
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
		err := v.build(ctx, v.cfg.onBuild)
		return err == nil, err
	}
	reconnects := v.reconnects()
	g, err := openServed(ctx, v, version)
	if errors.Is(err, errDamaged) {
		v.torn.Add(1)
		v.logger.WarnContext(ctx, "projection: the view is built anew", "bucket", version.Bucket, "error", err)
		return false, v.catalog.withdraw(ctx, version)
	}
	if err != nil {
		return false, err
	}
	s := newSession(v, g)
	s.reconnects = reconnects
	err = v.unlessReplaced(ctx, version, s.runUntilReconnected(ctx))
	return s.flushed, errors.Join(err, g.close())
}

// unlessReplaced gives errLost for the error of work on a version that does not serve any more: its bucket may be deleted.
func (v *View[V]) unlessReplaced(ctx context.Context, version Version, err error) error {
	if err == nil || errors.Is(err, errLost) || ctx.Err() != nil {
		return err
	}
	now, _, readErr := v.catalog.version(ctx, versionKey(v.foldVersion))
	if readErr == nil && now.Build != version.Build {
		return fmt.Errorf("%w: build %q serves: %w", errLost, now.Build, err)
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
	v.logger.InfoContext(ctx, "projection: view paused")
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

// standBy blocks while another instance works on what serves this fold version.
func (v *View[V]) standBy(ctx context.Context) error {
	version, revision, err := v.catalog.version(ctx, versionKey(v.foldVersion))
	if err != nil || revision == 0 {
		return err
	}
	g, err := openGeneration(ctx, v, version)
	if err != nil {
		return err
	}
	err = v.unlessReplaced(ctx, version, quiet(ctx, v.cfg.standBy(), g.checkpoint.Watch))
	return errors.Join(err, g.close())
}

// quiet blocks until a watch has given nothing for a while, or what it is about was deleted.
func quiet[U any](ctx context.Context, pause time.Duration, watch func(context.Context) iter.Seq2[kv.Change[U], error]) error {
	timed, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(pause, func() { cancel(errQuiet) })
	defer timer.Stop()
	for change, err := range watch(timed) {
		switch {
		case context.Cause(timed) == errQuiet:
			return nil
		case err != nil:
			return err
		case change.Deleted:
			return nil
		case !change.Synced:
			timer.Reset(pause)
		}
	}
	return nil
}
