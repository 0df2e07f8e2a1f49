package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

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
		if ctx.Err() != nil {
			v.signOff(ctx)
			return v.store.Err()
		}
		if err := v.between(ctx, err, failures); err != nil {
			return err
		}
	}
}

// between waits until the next turn can be taken after one that ended in an error, or returns the error that ends Run.
func (v *View[V]) between(ctx context.Context, err error, failures int) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errPaused):
		v.logger.InfoContext(ctx, "projection: the view is paused")
		v.awaitResume(ctx)
		return nil
	case errors.Is(err, errMoved), errors.Is(err, errClosing):
		v.logger.InfoContext(ctx, "projection: going on with another build", "because", err)
		return nil
	case errors.Is(err, errLost):
		v.logger.InfoContext(ctx, "projection: the checkpoint was moved, looking again", "because", err)
		_ = v.cfg.restarts().Wait(ctx, failures) // ended by ctx alone, which Run looks at
		return nil
	case errors.Is(err, errRestarted), errors.Is(err, errTaken), runner.Passing(err):
		v.logger.WarnContext(ctx, "projection: the view begins again", "error", err)
		_ = v.cfg.restarts().Wait(ctx, failures) // ended by ctx alone, which Run looks at
		return nil
	}
	return err
}

// awaitResume blocks until the view is not paused, or ctx ends.
func (v *View[V]) awaitResume(ctx context.Context) {
	for {
		r, _, err := v.records.read(ctx)
		if ctx.Err() != nil || err == nil && !r.Paused {
			return
		}
		_ = v.tracker.now().await(ctx, v.cfg.StandBy) // ended by ctx alone
	}
}

// turn takes one part in the work, until it is over for one of the reasons that Run knows. It reports whether anything
// was written.
func (v *View[V]) turn(ctx context.Context) (worked bool, err error) {
	r, _, err := v.records.read(ctx)
	if err != nil {
		return false, v.failed(err)
	}
	if r.Paused {
		return false, errPaused
	}
	version, ok := r.version(v.foldVersion)
	if !ok {
		_, err := v.build(ctx, v.runner, v.cfg.OnBuild)
		return err == nil, err
	}
	server := v.server()
	g, err := openServed(ctx, v, version)
	if errors.Is(err, errDamaged) {
		return false, v.withdraw(ctx, version, err)
	}
	if err != nil {
		return false, err
	}
	worked, err = v.serve(ctx, g, server)
	if bucketGone(err) && !runner.OfTheLog(err) {
		err = errors.Join(kv.ErrUnavailable, err) // the bucket was deleted, which the next turn finds out
	}
	return worked, errors.Join(err, g.close())
}

// withdraw takes back that a damaged bucket serves, so that the view is built anew. It refuses a log that lacks what
// the checkpoint has seen: a power cut may have cost the log its end too, and once the bucket is gone nobody knows.
func (v *View[V]) withdraw(ctx context.Context, version Version, damaged error) error {
	g, err := openGeneration(ctx, v, version)
	switch {
	case bucketGone(err):
	case err != nil:
		return err
	default:
		at, err := g.stand(ctx)
		if err == nil {
			err = verify(ctx, v.store, "view "+v.name, at.checkpoint)
		}
		if err = errors.Join(err, g.close()); err != nil {
			return err
		}
	}
	withdrawn := false
	_, _, err = v.records.change(ctx, func(r record) (record, bool) {
		next, serves := r.withdraw(version)
		withdrawn = withdrawn || serves
		return next, serves
	})
	if err == nil && withdrawn {
		v.torn.Add(1)
		v.logger.WarnContext(ctx, "projection: the view is built anew", "bucket", version.Bucket, "error", damaged)
	}
	return err
}

// serve claims a generation once no other runner lives, and folds into it.
func (v *View[V]) serve(ctx context.Context, g *generation[V], server string) (worked bool, err error) {
	var holder, builder vigil
	for {
		at, err := g.stand(ctx) // before the record
		if err != nil {
			return false, err
		}
		r, _, err := v.records.read(ctx)
		if err != nil {
			return false, v.failed(err)
		}
		action, err := v.decide(ctx, &builder, g, at, r)
		if err != nil {
			return false, err
		}
		if action == protocol.Abort && !v.giveUp(ctx, r.slot(v.foldVersion).Building) {
			action = protocol.Wait
		}
		switch {
		case action == protocol.Move:
			return false, fmt.Errorf("%w: %q", errMoved, r.slot(v.foldVersion).Serving)
		case action == protocol.Wait && r.Paused:
			return false, errPaused
		case action != protocol.Wait:
			free, err := v.free(ctx, &holder, g, at)
			if err != nil {
				return false, err
			}
			if free {
				return v.claim(ctx, g, server, at, r.Term)
			}
		}
		if err := v.tracker.now().await(ctx, v.cfg.poll()); err != nil {
			return false, err
		}
	}
}

// decide says what a runner does that has read the checkpoint, and then the record. Package protocol decides. Beside
// that, a build that has said that it is closing is left alone as long as it lives.
func (v *View[V]) decide(ctx context.Context, builder *vigil, g *generation[V], at stand, r record) (protocol.Action, error) {
	slot := r.slot(v.foldVersion)
	closing := slot.Building != "" && (at.Retired != "" || r.Folds[v.foldVersion].Closing)
	lives := false
	if closing {
		var err error
		if lives, err = v.lives(ctx, builder, slot.Building); err != nil {
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
func (v *View[V]) giveUp(ctx context.Context, bucket string) bool {
	v.logger.WarnContext(ctx, "projection: a build has stopped before it could serve, going on without it", "bucket", bucket)
	return v.abort(ctx, bucket)
}

// abort takes the place from a build, and reports whether the build has not got it any more and does not serve.
func (v *View[V]) abort(ctx context.Context, bucket string) bool {
	r, _, err := v.records.change(ctx, func(r record) (record, bool) {
		if r.slot(v.foldVersion).Building != bucket {
			return r, false
		}
		return r.abort(v.foldVersion), true
	})
	if err != nil {
		v.logger.WarnContext(ctx, "projection: a build cannot be stopped, trying again", "bucket", bucket, "error", err)
		return false
	}
	slot := r.slot(v.foldVersion)
	return slot.Building == "" && slot.Serving != bucket
}

// lives reports whether a build has given a sign of life within Config.StandBy.
func (v *View[V]) lives(ctx context.Context, w *vigil, bucket string) (bool, error) {
	sign, err := v.sign(ctx, bucket, "life")
	if err != nil {
		return false, err
	}
	return w.silence(bucket+" "+sign, 0, v.cfg.Heartbeat) < v.cfg.StandBy, nil
}

// free reports whether no other runner has given a sign of life within Config.StandBy.
func (v *View[V]) free(ctx context.Context, w *vigil, g *generation[V], at stand) (bool, error) {
	if at.Runner == "" || at.Runner == v.runner {
		return true, nil
	}
	age := time.Duration(0)
	if w.looked.IsZero() {
		var err error
		if age, err = v.age(ctx, g.version.Bucket, at.written); err != nil {
			return false, err
		}
		v.logger.InfoContext(ctx, "projection: another instance runs the view, standing by", "runner", at.Runner)
	}
	return w.silence(fmt.Sprint(at.revision), age, v.cfg.Heartbeat) >= v.cfg.StandBy, nil
}

// claim makes this the runner of a generation whose checkpoint is still as it was read, and folds until something ends
// that.
func (v *View[V]) claim(ctx context.Context, g *generation[V], server string, read stand, term uint64) (worked bool, err error) {
	s := newSession(v, g)
	s.runner, s.server, s.term = v.runner, server, term
	if err := s.load(ctx); err != nil {
		return false, err
	}
	if err := s.claim(ctx, read); err != nil {
		return false, err
	}
	r, _, err := v.records.read(ctx) // after the claim
	if err != nil {
		return false, v.failed(err)
	}
	s.term = r.Term
	switch slot := r.slot(v.foldVersion); protocol.Claimed(g.version.Bucket, slot) {
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
func (v *View[V]) signOff(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err := v.leaveServed(ctx)
	for errors.Is(err, errLost) && ctx.Err() == nil { // a write that was under way has arrived meanwhile
		err = v.leaveServed(ctx)
	}
	if err != nil {
		v.logger.DebugContext(ctx, "projection: the others take over once they hear nothing any more", "error", err)
	}
}

// leaveServed removes the name of this runner from the checkpoint of the bucket that serves, if it stands there.
func (v *View[V]) leaveServed(ctx context.Context) error {
	r, _, err := v.records.read(ctx)
	if err != nil {
		return err
	}
	version, ok := r.version(v.foldVersion)
	if !ok {
		return nil
	}
	server := v.server()
	g, err := openServed(ctx, v, version)
	if err != nil {
		return err
	}
	s := newSession(v, g)
	s.server, s.term = server, r.Term
	if s.at, err = g.stand(ctx); err == nil && s.at.Runner == v.runner {
		_, err = s.write(ctx, s.at.checkpoint, g.documents.Batch())
	}
	return errors.Join(err, g.close())
}
