package projection

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/protocol"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

var (
	errPaused = errors.New("the view is paused")
	errMoved  = errors.New("another build serves")
)

// Run folds the log into the view until ctx ends; then it returns nil. It builds the view first if nothing is built at
// its fold version, and stands by while another instance works. It returns an error as soon as going on would skip
// something; see the package documentation. A View runs once at a time, other Views of the same name may run elsewhere.
//
//	turn:  record -> nothing serves this fold version -> build it, unless another instance does
//	              -> a bucket serves it, but is torn  -> take it back, build anew
//	              -> a bucket serves it               -> stand by while another runner lives, then claim it and go on
//	       somebody else has moved the checkpoint     -> next turn
//	       paused, server away                        -> wait, next turn
func (v *View[V]) Run(ctx context.Context) error { return v.worker.run(ctx) }

// worker runs and builds a view, as long as no other instance does.
type worker[V any] struct {
	*spec[V]
	buckets  *buckets[V]
	records  *records
	tracker  *tracker
	progress *progress // for the readers of this process
	budget   *budget   // of the sessions
	running  atomic.Bool
	torn     atomic.Int64 // times that the view was built anew because a power cut had left half of a batch
}

func (w *worker[V]) run(ctx context.Context) error {
	if !w.running.CompareAndSwap(false, true) {
		return fmt.Errorf("projection: view %s: %w", w.name, ErrRunning)
	}
	defer w.running.Store(false)
	ctx, free := runner.WhileGood(ctx, w.store)
	defer free()
	for failures := 1; ; failures++ {
		worked, err := w.turn(ctx)
		w.progress.set("", checkpoint{})
		if worked {
			failures = 1
		}
		if ctx.Err() != nil {
			w.signOff(ctx)
			return eventstore.Inside(inside.Pass{}, w.store).Err()
		}
		if err := w.between(ctx, err, failures); err != nil {
			return err
		}
	}
}

// between waits until the next turn can be taken after one that ended in an error, or returns the error that ends Run.
func (w *worker[V]) between(ctx context.Context, err error, failures int) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errPaused):
		w.logger.InfoContext(ctx, "projection: the view is paused")
		w.awaitResume(ctx)
		return nil
	case errors.Is(err, errMoved), errors.Is(err, errClosing):
		w.logger.InfoContext(ctx, "projection: going on with another build", "because", err)
		return nil
	case errors.Is(err, errLost):
		w.logger.InfoContext(ctx, "projection: the checkpoint was moved, looking again", "because", err)
		_ = w.cfg.restarts().Wait(ctx, failures) // ended by ctx alone, which Run looks at
		return nil
	case errors.Is(err, errRestarted), errors.Is(err, errTaken), runner.Passing(err):
		w.logger.WarnContext(ctx, "projection: the view begins again", "error", err)
		_ = w.cfg.restarts().Wait(ctx, failures) // ended by ctx alone, which Run looks at
		return nil
	case errors.Is(err, errUnreadable):
		return w.failed(err)
	}
	return err
}

// awaitResume blocks until the view is not paused, or ctx ends.
func (w *worker[V]) awaitResume(ctx context.Context) {
	for {
		r, _, err := w.records.read(ctx)
		if ctx.Err() != nil || err == nil && !r.Paused {
			return
		}
		_ = w.tracker.now().await(ctx, w.cfg.StandBy) // ended by ctx alone
	}
}

// turn takes one part in the work, until it is over for one of the reasons that Run knows. It reports whether anything
// was written.
func (w *worker[V]) turn(ctx context.Context) (worked bool, err error) {
	r, _, err := w.records.read(ctx)
	if err != nil {
		return false, w.failed(err)
	}
	if r.Paused {
		return false, errPaused
	}
	version, ok := r.version(w.foldVersion)
	if !ok {
		_, err := w.build(ctx, w.runner, w.cfg.OnBuild)
		return err == nil, err
	}
	server := w.server()
	g, err := w.buckets.openServed(ctx, version)
	if errors.Is(err, errDamaged) {
		return false, w.withdraw(ctx, version, err)
	}
	if err != nil {
		return false, err
	}
	worked, err = w.serve(ctx, g, server)
	if bucketGone(err) && !runner.OfTheLog(err) {
		err = errors.Join(kv.ErrUnavailable, err) // the bucket was deleted, which the next turn finds out
	}
	return worked, errors.Join(err, g.close())
}

// withdraw takes back that a damaged bucket serves, so that the view is built anew. It refuses a log that lacks what
// the checkpoint has seen: a power cut may have cost the log its end too, and once the bucket is gone nobody knows.
func (w *worker[V]) withdraw(ctx context.Context, version Version, damaged error) error {
	g, err := w.buckets.open(ctx, version)
	switch {
	case bucketGone(err):
	case err != nil:
		return err
	default:
		at, err := g.stand(ctx)
		if err == nil {
			err = verify(ctx, w.store, "view "+w.name, at.checkpoint)
		}
		if err = errors.Join(err, g.close()); err != nil {
			return err
		}
	}
	withdrawn := false
	_, _, err = w.records.change(ctx, func(r record) (record, bool) {
		next, serves := r.withdraw(version)
		withdrawn = withdrawn || serves
		return next, serves
	})
	if err == nil && withdrawn {
		w.torn.Add(1)
		w.logger.WarnContext(ctx, "projection: the view is built anew", "bucket", version.Bucket, "error", damaged)
	}
	return err
}

// serve claims a generation once no other runner lives, and folds into it.
func (w *worker[V]) serve(ctx context.Context, g *generation[V], server string) (worked bool, err error) {
	var holder, builder vigil
	for {
		at, err := g.stand(ctx) // before the record
		if err != nil {
			return false, err
		}
		r, _, err := w.records.read(ctx)
		if err != nil {
			return false, w.failed(err)
		}
		action, err := w.decide(ctx, &builder, g, at, r)
		if err != nil {
			return false, err
		}
		if action == protocol.Abort && !w.giveUp(ctx, r.slot(w.foldVersion).Building) {
			action = protocol.Wait
		}
		switch {
		case action == protocol.Move:
			return false, fmt.Errorf("%w: %q", errMoved, r.slot(w.foldVersion).Serving)
		case action == protocol.Wait && r.Paused:
			return false, errPaused
		case action != protocol.Wait:
			free, err := w.free(ctx, &holder, g, at)
			if err != nil {
				return false, err
			}
			if free {
				return w.claim(ctx, g, server, at, r.Term)
			}
		}
		if err := w.tracker.now().await(ctx, w.cfg.poll()); err != nil {
			return false, err
		}
	}
}

// decide says what a runner does that has read the checkpoint, and then the record. Package protocol decides. Beside
// that, a build that has said that it is closing is left alone as long as it lives.
func (w *worker[V]) decide(ctx context.Context, builder *vigil, g *generation[V], at stand, r record) (protocol.Action, error) {
	slot := r.slot(w.foldVersion)
	closing := slot.Building != "" && (at.Retired != "" || r.Folds[w.foldVersion].Closing)
	lives := false
	if closing {
		var err error
		if lives, err = w.buckets.lives(ctx, builder, slot.Building); err != nil {
			return protocol.Wait, err
		}
	}
	action := protocol.Open(g.version.Bucket, protocol.Fence[string]{Retired: at.Retired}, slot, lives)
	switch {
	case action != protocol.Claim || !closing:
		return action, nil
	case lives:
		return protocol.Wait, nil // it is about to retire this generation
	}
	return protocol.Abort, nil // or every session would end for it
}

// giveUp takes the place from a build that has stopped before it could serve.
func (w *worker[V]) giveUp(ctx context.Context, bucket string) bool {
	w.logger.WarnContext(ctx, "projection: a build has stopped before it could serve, going on without it", "bucket", bucket)
	return w.records.abort(ctx, w.foldVersion, bucket)
}

// free reports whether no other runner has given a sign of life within Config.StandBy.
func (w *worker[V]) free(ctx context.Context, silent *vigil, g *generation[V], at stand) (bool, error) {
	if at.Runner == "" || at.Runner == w.runner {
		return true, nil
	}
	age := time.Duration(0)
	if silent.looked.IsZero() {
		var err error
		if age, err = w.buckets.age(ctx, g.version.Bucket, at.written); err != nil {
			return false, err
		}
		w.logger.InfoContext(ctx, "projection: another instance runs the view, standing by", "runner", at.Runner)
	}
	return silent.silence(fmt.Sprint(at.revision), age, w.cfg.Heartbeat) >= w.cfg.StandBy, nil
}

// claim makes this the runner of a generation whose checkpoint is still as it was read, and folds until something ends
// that.
func (w *worker[V]) claim(ctx context.Context, g *generation[V], server string, read stand, term uint64) (worked bool, err error) {
	s := newSession(w.spec, w.tracker, w.progress, g)
	s.runner, s.server, s.term, s.budget = w.runner, server, term, w.budget
	if err := s.load(ctx); err != nil {
		return false, err
	}
	if err := s.claim(ctx, read); err != nil {
		return false, err
	}
	r, _, err := w.records.read(ctx) // after the claim
	if err != nil {
		return false, w.failed(err)
	}
	s.term = r.Term
	switch slot := r.slot(w.foldVersion); protocol.Claimed(g.version.Bucket, slot) {
	case protocol.Move:
		return false, fmt.Errorf("%w: %q", errMoved, slot.Serving)
	case protocol.Wait:
		return false, errPaused
	default: // it folds
	}
	err = s.run(ctx)
	if ctx.Err() == nil && !errors.Is(err, errLost) && !runner.Passing(err) {
		s.release(ctx)
	}
	return s.flushed, err
}

// signOff tells the other instances that this one does not run the view any more, so that one of them takes over at
// once. It reads the checkpoint again, because a write of this runner may have arrived though nobody waited for the
// answer.
func (w *worker[V]) signOff(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err := w.leaveServed(ctx)
	for errors.Is(err, errLost) && ctx.Err() == nil { // a write that was under way has arrived meanwhile
		err = w.leaveServed(ctx)
	}
	if err != nil {
		w.logger.DebugContext(ctx, "projection: the others take over once they hear nothing any more", "error", err)
	}
}

// leaveServed removes the name of this runner from the checkpoint of the bucket that serves, if it stands there.
func (w *worker[V]) leaveServed(ctx context.Context) error {
	r, _, err := w.records.read(ctx)
	if err != nil {
		return err
	}
	version, ok := r.version(w.foldVersion)
	if !ok {
		return nil
	}
	server := w.server()
	g, err := w.buckets.openServed(ctx, version)
	if err != nil {
		return err
	}
	s := newSession(w.spec, w.tracker, w.progress, g)
	s.server, s.term = server, r.Term
	if s.at, err = g.stand(ctx); err == nil && s.at.Runner == w.runner {
		_, err = s.write(ctx, s.at.checkpoint, g.documents.Batch())
	}
	return errors.Join(err, g.close())
}
