package projection

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/runner"
)

var (
	// errClosed says that a View was closed.
	errClosed = errors.New("the view is closed")
	// errBehind says that the record has changed while readers were led to what it said before.
	errBehind = errors.New("the record has changed")
)

// guide leads the readers of this process to the generation that serves.
type guide[V any] struct {
	*spec[V]
	buckets *buckets[V]
	tracker *tracker
	serving serving[V]

	stop     func()         // ends the watchers, and waits for them; nil before they are started
	watchers sync.WaitGroup // keep serving up to date
}

// watch starts what keeps this View's readers up to date, and returns once they have been led to what the record says
// now. It returns an error if the record or what serves cannot be read for a reason that stays.
func (gd *guide[V]) watch(ctx context.Context) error {
	for try := 1; ; try++ {
		_, err := gd.tracker.ask(ctx)
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
	until, free := runner.WhileGood(context.WithoutCancel(ctx), gd.store)
	gd.stop = func() {
		free()
		gd.watchers.Wait()
	}
	led := make(chan error, 1)
	gd.watchers.Go(func() { gd.tracker.track(until) })
	gd.watchers.Go(func() { gd.keepLeading(until, led) })
	gd.watchers.Go(func() { gd.recheck(until) })
	select {
	case err := <-led:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// close ends the watchers, and leads readers to nothing.
func (gd *guide[V]) close() error {
	if gd.stop != nil {
		gd.stop()
	}
	return gd.serving.end(errClosed)
}

// keepLeading leads readers to what the record says, until ctx ends. If the store has ended, it leads them to nothing
// then. It tells the first outcome that waiting does not change.
func (gd *guide[V]) keepLeading(ctx context.Context, led chan<- error) {
	tell := func(err error) {
		select {
		case led <- err:
		default: // it was told
		}
	}
	for failures := 1; ctx.Err() == nil; failures++ {
		now := gd.tracker.now()
		if now.confirmed.IsZero() {
			_ = now.await(ctx, gd.cfg.StandBy) // ended by ctx alone
			continue
		}
		err := gd.leadBy(ctx, now)
		switch {
		case err == nil:
			failures = 0
			gd.serving.hear(now.revision)
			tell(nil)
			select {
			case <-now.changed:
			case <-ctx.Done():
			}
		case ctx.Err() == nil && !errors.Is(err, errBehind):
			gd.logger.WarnContext(ctx, "projection: readers cannot be led to what is built, trying again", "error", err)
			if !runner.Passing(err) {
				tell(err)
			}
			fallthrough
		default:
			_ = now.await(ctx, runner.Restarts.Delay(failures)) // ended by ctx alone
		}
	}
	if err := gd.ended(); err != nil {
		tell(errors.Join(err, gd.serving.end(err)))
	}
}

// leadBy leads readers to what a record says.
func (gd *guide[V]) leadBy(ctx context.Context, now known) error {
	if now.err != nil {
		return gd.serving.lead(nil, now.err)
	}
	g, _, _ := gd.serving.acquire()
	if g != nil {
		defer gd.release(g)
	}
	version, ok := gd.choose(now.record, g)
	switch {
	case !ok && g != nil:
		return gd.leave(ctx)
	case !ok:
		return gd.serving.lead(nil, nil)
	case g != nil && g.version.Bucket == version.Bucket:
		return nil
	}
	next, err := gd.buckets.openServed(ctx, version)
	if errors.Is(err, errDamaged) {
		if err := gd.unlessBehind(ctx, now, err); err != nil {
			return err // another build serves by now, so readers stay until they are led there
		}
		return gd.leave(ctx)
	}
	if errors.Is(err, errUnreadable) {
		return gd.refuse(ctx, version, err)
	}
	if err != nil {
		return err
	}
	if err := gd.moveTo(ctx, g, next, now); err != nil {
		return errors.Join(err, next.close())
	}
	return nil
}

// choose returns the generation that readers are led to: the one of this fold version. As long as nothing of this fold
// version was read, it is the newest of an earlier fold version.
func (gd *guide[V]) choose(r record, g *served[V]) (Version, bool) {
	own, ok := r.version(gd.foldVersion)
	if ok || g != nil && g.version.FoldVersion == gd.foldVersion || gd.serving.demanded() > 0 {
		return own, ok
	}
	return r.newestBelow(gd.foldVersion)
}

// unlessBehind returns errBehind if the leader has another record than the one that named a damaged bucket, which may
// be gone for that.
func (gd *guide[V]) unlessBehind(ctx context.Context, now known, damaged error) error {
	if _, err := gd.tracker.ask(ctx); err != nil {
		return err
	}
	if gd.tracker.now().revision != now.revision {
		return errBehind
	}
	gd.logger.WarnContext(ctx, "projection: not read until it is built anew", "error", damaged)
	return nil
}

// refuse leads readers to nothing, because the generation that serves cannot be read. The error is theirs, unless they
// would only read that generation until their own fold version is built.
func (gd *guide[V]) refuse(ctx context.Context, version Version, unreadable error) error {
	gd.logger.WarnContext(ctx, "projection: what serves cannot be read", "bucket", version.Bucket, "error", unreadable)
	if version.FoldVersion != gd.foldVersion {
		unreadable = nil
	}
	return gd.serving.lead(nil, unreadable)
}

// leave leads readers to nothing, because the generation that they read is damaged or withdrawn. The next one must
// first come to where the log ends now.
func (gd *guide[V]) leave(ctx context.Context) error {
	end, err := gd.store.End(ctx)
	gd.serving.demand(max(end, 1))
	return errors.Join(err, gd.serving.lead(nil, nil))
}

// moveTo leads readers to a generation, which is as far as the one before.
func (gd *guide[V]) moveTo(ctx context.Context, from *served[V], to *generation[V], now known) error {
	if err := gd.awaitPosition(ctx, to, gd.serving.demanded(), now); err != nil {
		return err
	}
	if from == nil || from.version.FoldVersion == to.version.FoldVersion {
		return gd.serving.lead(to, nil) // the build has come to where the bucket before it ended
	}
	for {
		at, err := from.stand(ctx)
		if err != nil {
			return err
		}
		if err := gd.awaitPosition(ctx, to, at.reach(), now); err != nil {
			return err
		}
		moved, err := gd.moveAcross(ctx, from, to, at.revision)
		if moved || err != nil {
			return err
		}
	}
}

// moveAcross leads readers to a generation of another fold version if it is as far as the one that they read, or if
// that one still has the checkpoint that was waited for. The two have nothing to do with each other, so readers are
// held meanwhile.
func (gd *guide[V]) moveAcross(ctx context.Context, from *served[V], to *generation[V], awaited uint64) (moved bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	gd.serving.hold()
	defer gd.serving.unhold()
	there, err := to.stand(ctx)
	if err != nil {
		return false, err
	}
	here, err := from.stand(ctx)
	if err != nil || there.Position < here.reach() && here.revision != awaited {
		return false, err
	}
	return true, gd.serving.lead(to, nil)
}

// awaitPosition blocks until a generation has come to a position, or the log has lost that position. It returns
// errBehind if the record changes before.
func (gd *guide[V]) awaitPosition(ctx context.Context, g *generation[V], position eventstore.Position, now known) error {
	for position > 0 {
		at, err := g.stand(ctx)
		if err != nil {
			return err
		}
		if at.Position >= position || eventstore.Inside(inside.Pass{}, gd.store).Lacks(ctx, uint64(position)) {
			return nil
		}
		if err := now.await(ctx, gd.cfg.poll()); err != nil {
			return err
		}
		if gd.tracker.now().revision != now.revision {
			return errBehind
		}
	}
	return nil
}

// recheck looks, each time that the connection is back, whether a power cut has torn what is read.
func (gd *guide[V]) recheck(ctx context.Context) {
	connected := gd.conn().StatusChanged(nats.CONNECTED)
	defer gd.conn().RemoveStatusListener(connected)
	for {
		select {
		case <-connected:
		case <-ctx.Done():
			return
		}
		g, err := gd.acquire()
		if err != nil {
			continue
		}
		err = g.check(ctx)
		gd.release(g)
		if !errors.Is(err, errDamaged) {
			continue
		}
		gd.logger.WarnContext(ctx, "projection: not read until it is built anew", "bucket", g.version.Bucket, "error", err)
		if err := gd.leave(ctx); err != nil {
			gd.logger.WarnContext(ctx, "projection: readers leave a damaged version", "error", err)
		}
	}
}

// acquire returns the generation to read from, which the caller releases. It returns an error that matches ErrNotReady
// if there is none, or ErrStale if nobody knows whether it is still the one that serves, or the error with which the
// store has ended.
func (gd *guide[V]) acquire() (*served[V], error) {
	if err := gd.ended(); err != nil {
		return nil, gd.failed(err)
	}
	g, _, err := gd.serving.acquire()
	switch {
	case g == nil && err == nil:
		return nil, gd.failed(ErrNotReady)
	case g == nil:
		return nil, gd.failed(err)
	}
	if err := gd.fresh(); err != nil {
		gd.release(g)
		return nil, gd.failed(err)
	}
	return g, nil
}

// fresh returns an error that matches ErrStale if the record could not be read for Config.StallAfter, and was asked for
// at least some times.
func (gd *guide[V]) fresh() error {
	if age := time.Since(gd.tracker.now().confirmed); age > max(gd.cfg.StallAfter, 3*gd.cfg.StandBy) {
		return fmt.Errorf("%w: its record could not be read for %s: see whether bucket %s has a leader",
			ErrStale, age.Round(time.Second), gd.tracker.records.bucket.Name())
	}
	return nil
}

func (gd *guide[V]) release(g *served[V]) {
	if err := gd.serving.release(g); err != nil {
		gd.logger.Warn("projection: leave an old version", "error", err)
	}
}
