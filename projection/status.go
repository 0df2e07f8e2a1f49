package projection

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// Lag says how far a view is behind the log.
type Lag struct {
	Commits uint64        // positions between the checkpoint and the log's end
	Events  uint64        // events in them: counted up to lagCount positions, and estimated beyond
	Age     time.Duration // how long ago the oldest of them was written, by its writer's clock
}

// lagCount is how many commits a Lag reads to count their events.
const lagCount = 1000

// Status says how a view is, as seen from one of its fold versions.
type Status struct {
	View        string
	FoldVersion int
	Serving     Version             // what readers are led to; zero while nothing is built
	Position    eventstore.Position // up to which it is complete
	End         eventstore.Position // of the log
	Lag         Lag
	Running     bool      // a runner has given a sign of life within Config.StandBy
	Runner      string    // the id of its View, empty if the last one has ended in good order
	Beat        time.Time // when that sign was, by the server's clock
	Stalled     bool      // the oldest event that is not folded is older than Config.StallAfter
	Paused      bool
	Parked      int       // keys
	Building    *Building // the build of this fold version that is under way
	Torn        int64     // times that this View found half of a batch, which a power cut had left, and built anew
}

// Building says how far a build is that is under way.
type Building struct {
	Build    string
	Bucket   string
	Runner   string // the id of the View that builds
	Progress eventstore.Progress
}

// Status reads how the view is: which runner it has, how far it is, and what is parked. It reads the log after the
// checkpoint, at most 1000 commits. It returns what the servers said if they cannot be asked.
func (v *View[V]) Status(ctx context.Context) (Status, error) {
	s, err := v.operator.status(ctx)
	s.Torn = v.worker.torn.Load()
	return s, err
}

// operator does what operators of a view want, whichever process runs it.
type operator[V any] struct {
	*spec[V]
	buckets *buckets[V]
	records *records
	guide   *guide[V]
}

func (o *operator[V]) status(ctx context.Context) (s Status, err error) {
	s.View, s.FoldVersion = o.name, o.foldVersion
	if s.End, err = o.store.End(ctx); err != nil {
		return s, o.failed(err)
	}
	r, _, err := o.records.read(ctx)
	if err != nil {
		return s, o.failed(err)
	}
	s.Paused = r.Paused
	if f := r.Folds[o.foldVersion]; f.Building != "" {
		s.Building = &Building{Build: buildOf(f.Building), Bucket: f.Building, Runner: f.Builder}
		if s.Building.Progress, err = o.buckets.progressOf(ctx, f.Building); err != nil {
			return s, o.failed(err)
		}
	}
	g, err := o.guide.acquire()
	if errors.Is(err, ErrNotReady) {
		s.Lag, err = o.lag(ctx, 0, s.End)
		return s, o.failed(err)
	}
	if err != nil {
		return s, err
	}
	defer o.guide.release(g)
	if err := s.read(ctx, g.version, g.checkpoint); err != nil {
		return s, o.failed(err)
	}
	silent, err := o.buckets.age(ctx, g.version.Bucket, s.Beat)
	if err != nil {
		return s, o.failed(err)
	}
	s.Running = silent < o.cfg.StandBy
	for _, err := range g.parked.List(ctx) {
		if err != nil {
			return s, o.failed(unreadable(err))
		}
		s.Parked++
	}
	s.Lag, err = o.lag(ctx, s.Position, s.End)
	s.Stalled = s.Lag.Age > o.cfg.StallAfter
	return s, o.failed(err)
}

func (s *Status) read(ctx context.Context, serving Version, checkpoints *kv.Bucket[checkpoint]) error {
	entry, err := checkpoints.GetLeader(ctx, checkpointKey)
	if err != nil {
		return unreadable(err)
	}
	s.Serving, s.Position = serving, entry.Value.Position
	s.Runner, s.Beat = entry.Value.Runner, entry.Time
	return nil
}

// lag measures how far a position is behind the log's end.
func (o *operator[V]) lag(ctx context.Context, at, end eventstore.Position) (Lag, error) {
	var lag Lag
	if at >= end {
		return lag, nil
	}
	lag.Commits = uint64(end - at)
	counted := uint64(0)
	for c, err := range o.store.Log(ctx, eventstore.After(at)) {
		if err != nil {
			return lag, err
		}
		if counted == 0 {
			lag.Age = max(time.Since(c.Time), 0)
		}
		if c.Position > end || counted == lagCount {
			break
		}
		counted++
		lag.Events += uint64(c.Len())
	}
	if counted == lagCount && lag.Commits > counted {
		lag.Events = lag.Events * lag.Commits / counted
	}
	return lag, nil
}

// Position returns the checkpoint of what readers are led to: every commit up to there is folded in. It fails like
// [View.Get].
func (v *View[V]) Position(ctx context.Context) (eventstore.Position, error) {
	var position eventstore.Position
	err := v.reader.onCurrent(ctx, func(g *served[V]) error {
		at, err := g.stand(ctx)
		position = at.Position
		return err
	})
	return position, err
}

// Prune deletes the buckets of the view that nothing leads to any more: buckets of fold versions below this one once it
// serves, buckets that a rebuild has replaced, and buckets of builds that failed. It returns their names. A fold
// version that a program of an older release still runs or builds is kept, and Config.Logger says so. To see that,
// Prune blocks for three times Config.StandBy if there is an older fold version or a build. It returns an error that
// matches ErrNotReady while this fold version is not built, or ErrOtherStore if the view's record belongs to another
// store. Otherwise it returns the error of asking the servers.
func (v *View[V]) Prune(ctx context.Context) ([]string, error) { return v.operator.prune(ctx) }

func (o *operator[V]) prune(ctx context.Context) ([]string, error) {
	r, _, err := o.records.read(ctx)
	if err != nil {
		return nil, o.failed(err)
	}
	if _, ready := r.version(o.foldVersion); !ready {
		return nil, o.failed(ErrNotReady)
	}
	if err := o.retire(ctx, r); err != nil {
		return nil, o.failed(err)
	}
	// A bucket is made after the record has named it. So a bucket that is there already, and that the record does not
	// name any more, is never named again.
	there, err := o.buckets.list(ctx)
	if err != nil {
		return nil, o.failed(err)
	}
	if r, _, err = o.records.read(ctx); err != nil {
		return nil, o.failed(err)
	}
	pruned := slices.DeleteFunc(there, r.uses)
	return pruned, o.failed(o.buckets.remove(ctx, pruned))
}

// retire takes older fold versions and builds out of the record that no instance runs or builds any more. Every
// instance that lives shows a sign of life within three times Config.StandBy. That leaves time for a runner that is
// about to take over.
func (o *operator[V]) retire(ctx context.Context, read record) error {
	suspects := make(map[int]*vigil)
	for foldVersion, f := range read.Folds {
		if !read.Paused && (foldVersion < o.foldVersion || f.Building != "") { // while paused, nobody shows life
			suspects[foldVersion] = &vigil{}
		}
	}
	for len(suspects) > 0 {
		for foldVersion, suspect := range suspects {
			f := read.Folds[foldVersion]
			silence, lives, err := o.look(ctx, suspect, f, foldVersion < o.foldVersion)
			if err != nil {
				return err
			}
			if lives {
				o.logger.InfoContext(ctx, "projection: a fold version is left as it is, since a program runs or builds it", "version", foldVersion)
				delete(suspects, foldVersion)
			}
			if silence < 3*o.cfg.StandBy {
				continue
			}
			delete(suspects, foldVersion)
			if err := o.takeOut(ctx, foldVersion, f); err != nil {
				return err
			}
		}
		if err := (known{}).await(ctx, o.cfg.poll()); err != nil {
			return err
		}
	}
	return nil
}

// look returns for how long a fold version has given no sign of life, and whether it has given one since the first
// look.
func (o *operator[V]) look(ctx context.Context, w *vigil, f fold, served bool) (silence time.Duration, lives bool, err error) {
	sign, err := o.buckets.sign(ctx, f.Building, "life")
	if err != nil {
		return 0, false, err
	}
	if served {
		serving, err := o.buckets.sign(ctx, f.Serving, "checkpoint")
		if err != nil {
			return 0, false, err
		}
		sign += " " + serving
	}
	first := w.looked.IsZero()
	before := w.sign
	silence = w.silence(sign, 0, o.cfg.Heartbeat)
	return silence, !first && before != sign, nil
}

// takeOut takes an older fold version out of the record, or the build of a newer one, if the record still has it as it
// was.
func (o *operator[V]) takeOut(ctx context.Context, foldVersion int, f fold) error {
	taken := false
	_, _, err := o.records.change(ctx, func(r record) (record, bool) {
		taken = !r.Paused && r.Folds[foldVersion] == f
		switch {
		case !taken:
			return r, false
		case foldVersion < o.foldVersion:
			return r.with(foldVersion, fold{}), true
		}
		return r.abort(foldVersion), true
	})
	if err == nil && taken {
		o.logger.InfoContext(ctx, "projection: nobody runs or builds a fold version any more", "version", foldVersion,
			"serving", f.Serving, "building", f.Building)
	}
	return err
}
