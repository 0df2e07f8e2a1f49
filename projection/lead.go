package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
)

var (
	// errClosed says that a View was closed.
	errClosed = errors.New("the view is closed")
	// errBehind says that the record has changed while readers were led to what it said before.
	errBehind = errors.New("the record has changed")
)

// watch starts what keeps this View's readers up to date, and returns once they have been led to what the record says
// now. It returns an error if the record or what serves cannot be read for a reason that stays.
func (v *View[V]) watch(ctx context.Context) error {
	for try := 1; ; try++ {
		err := v.confirm(ctx)
		if err == nil {
			break
		}
		if !runner.Passing(err) {
			return err
		}
		if runner.Restarts.Wait(ctx, try) != nil {
			return err
		}
	}
	until, stop := context.WithCancel(context.WithoutCancel(ctx))
	v.stop = func() {
		stop()
		v.watchers.Wait()
	}
	led := make(chan error, 1)
	v.watchers.Go(func() { v.track(until) })
	v.watchers.Go(func() { v.keepLeading(until, led) })
	v.watchers.Go(func() { v.recheck(until) })
	select {
	case err := <-led:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// keepLeading leads readers to what the record says, until ctx ends. It tells the first outcome that waiting does not
// change.
func (v *View[V]) keepLeading(ctx context.Context, led chan<- error) {
	tell := func(err error) {
		select {
		case led <- err:
		default: // it was told
		}
	}
	for failures := 1; ctx.Err() == nil; failures++ {
		now := v.tracker.now()
		if now.confirmed.IsZero() {
			_ = now.await(ctx, v.cfg.StandBy) // ended by ctx alone
			continue
		}
		err := v.leadBy(ctx, now)
		switch {
		case err == nil:
			failures = 0
			v.serving.hear(now.revision)
			tell(nil)
			select {
			case <-now.changed:
			case <-ctx.Done():
			}
		case ctx.Err() == nil && !errors.Is(err, errBehind):
			v.logger.WarnContext(ctx, "projection: readers cannot be led to what is built, trying again", "error", err)
			if !runner.Passing(err) {
				tell(err)
			}
			fallthrough
		default:
			_ = now.await(ctx, runner.Restarts.Delay(failures)) // ended by ctx alone
		}
	}
}

// leadBy leads readers to what a record says.
func (v *View[V]) leadBy(ctx context.Context, now known) error {
	if now.err != nil {
		return v.serving.lead(nil, now.err)
	}
	g, _, _ := v.serving.acquire()
	if g != nil {
		defer v.release(g)
	}
	version, ok := v.choose(now.record, g)
	switch {
	case !ok && g != nil:
		return v.leave(ctx)
	case !ok:
		return v.serving.lead(nil, nil)
	case g != nil && g.version.Bucket == version.Bucket:
		return nil
	}
	next, err := openServed(ctx, v, version)
	if errors.Is(err, errDamaged) {
		if err := v.unlessBehind(ctx, now, err); err != nil {
			return err // another build serves by now, so readers stay until they are led there
		}
		return v.leave(ctx)
	}
	if err != nil {
		return err
	}
	if err := v.moveTo(ctx, g, next, now); err != nil {
		return errors.Join(err, next.close())
	}
	return nil
}

// choose returns the generation that readers are led to: the one of this fold version. As long as nothing of this fold
// version was read, it is the newest of an earlier fold version.
func (v *View[V]) choose(r record, g *served[V]) (Version, bool) {
	own, ok := r.version(v.foldVersion)
	if ok || g != nil && g.version.FoldVersion == v.foldVersion || v.serving.demanded() > 0 {
		return own, ok
	}
	return r.newestBelow(v.foldVersion)
}

// unlessBehind returns errBehind if the leader has another record than the one that named a damaged bucket, which may
// be gone for that.
func (v *View[V]) unlessBehind(ctx context.Context, now known, damaged error) error {
	if err := v.confirm(ctx); err != nil {
		return err
	}
	if v.tracker.now().revision != now.revision {
		return errBehind
	}
	v.logger.WarnContext(ctx, "projection: not read until it is built anew", "error", damaged)
	return nil
}

// leave leads readers to nothing, because the generation that they read is damaged or withdrawn. The next one must
// first come to where the log ends now.
func (v *View[V]) leave(ctx context.Context) error {
	end, err := v.store.End(ctx)
	v.serving.demand(max(end, 1))
	return errors.Join(err, v.serving.lead(nil, nil))
}

// moveTo leads readers to a generation, which is as far as the one before.
func (v *View[V]) moveTo(ctx context.Context, from *served[V], to *generation[V], now known) error {
	if err := v.awaitPosition(ctx, to, v.serving.demanded(), now); err != nil {
		return err
	}
	if from == nil || from.version.FoldVersion == to.version.FoldVersion {
		return v.serving.lead(to, nil) // the build has come to where the bucket before it ended
	}
	for {
		at, err := from.stand(ctx)
		if err != nil {
			return err
		}
		if err := v.awaitPosition(ctx, to, at.reach(), now); err != nil {
			return err
		}
		moved, err := v.moveAcross(ctx, from, to)
		if moved || err != nil {
			return err
		}
	}
}

// moveAcross leads readers to a generation of another fold version if it is as far as the one that they read. The two
// have nothing to do with each other, so readers are held meanwhile.
func (v *View[V]) moveAcross(ctx context.Context, from *served[V], to *generation[V]) (moved bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	v.serving.hold()
	defer v.serving.unhold()
	there, err := to.stand(ctx)
	if err != nil {
		return false, err
	}
	here, err := from.stand(ctx)
	if err != nil || there.Position < here.reach() {
		return false, err
	}
	return true, v.serving.lead(to, nil)
}

// awaitPosition blocks until a generation has come to a position. It returns errBehind if the record changes before.
func (v *View[V]) awaitPosition(ctx context.Context, g *generation[V], position eventstore.Position, now known) error {
	for position > 0 {
		at, err := g.stand(ctx)
		if err != nil {
			return err
		}
		if at.Position >= position {
			return nil
		}
		if err := now.await(ctx, v.cfg.poll()); err != nil {
			return err
		}
		if v.tracker.now().revision != now.revision {
			return errBehind
		}
	}
	return nil
}

// recheck looks, each time that the connection is back, whether a power cut has torn what is read.
func (v *View[V]) recheck(ctx context.Context) {
	connected := v.conn().StatusChanged(nats.CONNECTED)
	defer v.conn().RemoveStatusListener(connected)
	for {
		select {
		case <-connected:
		case <-ctx.Done():
			return
		}
		g, err := v.acquire()
		if err != nil {
			continue
		}
		err = g.check(ctx)
		v.release(g)
		if !errors.Is(err, errDamaged) {
			continue
		}
		v.logger.WarnContext(ctx, "projection: not read until it is built anew", "bucket", g.version.Bucket, "error", err)
		if err := v.leave(ctx); err != nil {
			v.logger.WarnContext(ctx, "projection: readers leave a damaged version", "error", err)
		}
	}
}

// acquire returns the generation to read from, which the caller releases. It returns an error that matches ErrNotReady
// if there is none, or ErrStale if nobody knows whether it is still the one that serves.
func (v *View[V]) acquire() (*served[V], error) {
	g, _, err := v.serving.acquire()
	switch {
	case g == nil && err == nil:
		return nil, v.failed(ErrNotReady)
	case g == nil:
		return nil, v.failed(err)
	}
	if err := v.fresh(); err != nil {
		v.release(g)
		return nil, v.failed(err)
	}
	return g, nil
}

// fresh returns an error that matches ErrStale if the record could not be read for Config.StallAfter, and was asked for
// at least some times.
func (v *View[V]) fresh() error {
	if age := time.Since(v.tracker.now().confirmed); age > max(v.cfg.StallAfter, 3*v.cfg.StandBy) {
		return fmt.Errorf("%w: its record could not be read for %s: see whether bucket %s has a leader", ErrStale, age.Round(time.Second), v.Control())
	}
	return nil
}

func (v *View[V]) release(g *served[V]) {
	if err := v.serving.release(g); err != nil {
		v.logger.Warn("projection: leave an old version", "error", err)
	}
}

// failed says which view an error is of.
func (v *View[V]) failed(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("projection: view %s: %w", v.name, err)
}
