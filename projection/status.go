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
	Events  uint64        // events in them; they are counted by reading them, up to lagCount positions, and estimated beyond
	Age     time.Duration // how long ago the oldest of them was written, by its writer's clock
}

// lagCount is how many commits a Lag reads to count their events.
const lagCount = 1000

// Status says how a view is, as seen from one of its fold versions.
type Status struct {
	View        string
	FoldVersion int
	Serving     Version             // what readers are led to; zero while nothing is built
	Position    eventstore.Position // up to where that is complete
	End         eventstore.Position // of the log
	Lag         Lag
	Running     bool      // a runner has given a sign of life within Config.StandBy
	Runner      string    // who it is
	Beat        time.Time // when that sign was, by the server's clock
	Stalled     bool      // the oldest event that is not folded is older than Config.StallAfter
	Paused      bool
	Parked      int       // keys
	Building    *Building // the build of this fold version that is under way
}

// Status reads how the view is: who runs it, how far it is, and what is parked. It reads the log behind the checkpoint, at
// most 1000 commits. It returns what the servers said where they cannot be asked.
func (v *View[V]) Status(ctx context.Context) (Status, error) {
	s := Status{View: v.name, FoldVersion: v.foldVersion}
	var err error
	if s.End, err = v.store.End(ctx); err != nil {
		return s, v.failed(err)
	}
	if s.Paused, err = v.paused(ctx); err != nil {
		return s, v.failed(err)
	}
	lease, err := v.catalog.building.GetLeader(ctx, versionKey(v.foldVersion))
	if err == nil {
		s.Building = &lease.Value
	} else if !errors.Is(err, kv.ErrNotFound) {
		return s, v.failed(err)
	}
	g, err := v.acquire()
	if errors.Is(err, ErrNotReady) {
		s.Lag, err = v.lag(ctx, 0, s.End)
		return s, v.failed(err)
	}
	if err != nil {
		return s, err
	}
	defer v.release(g)
	if err := s.read(ctx, v.cfg, g.version, g.checkpoint); err != nil {
		return s, v.failed(err)
	}
	for _, err := range g.parked.List(ctx) {
		if err != nil {
			return s, v.failed(err)
		}
		s.Parked++
	}
	s.Lag, err = v.lag(ctx, s.Position, s.End)
	s.Stalled = s.Lag.Age > v.cfg.stallAfter()
	return s, v.failed(err)
}

func (s *Status) read(ctx context.Context, cfg *Config, serving Version, cell *kv.Cell[checkpoint]) error {
	entry, err := cell.GetLeader(ctx)
	if err != nil {
		return err
	}
	s.Serving, s.Position = serving, entry.Value.Position
	s.Runner, s.Beat = entry.Value.Runner, entry.Time
	s.Running = time.Since(entry.Time) < cfg.standBy()
	return nil
}

// lag measures how far a position is behind the log's end.
func (v *View[V]) lag(ctx context.Context, at, end eventstore.Position) (Lag, error) {
	var lag Lag
	if at >= end {
		return lag, nil
	}
	lag.Commits = uint64(end - at)
	counted := uint64(0)
	for c, err := range v.store.Log(ctx, eventstore.After(at)) {
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

// Position gives the checkpoint of what readers are led to: every commit up to there is folded in. It fails like [View.Get].
func (v *View[V]) Position(ctx context.Context) (eventstore.Position, error) {
	var position eventstore.Position
	err := v.onCurrent(func(g *served[V]) error {
		at, err := g.stand(ctx)
		position = at.Position
		return err
	})
	return position, err
}

// Prune deletes the buckets of the view that are not read any more: those of fold versions below this one once it serves, those
// that a rebuild has replaced, and what builds left that came to nothing. It gives their names. A program of an older
// release that still reads one of them builds it anew, so prune when that is gone.
func (v *View[V]) Prune(ctx context.Context) ([]string, error) {
	versions, err := v.catalog.all(ctx)
	if err != nil {
		return nil, v.failed(err)
	}
	own, ready := versions[versionKey(v.foldVersion)]
	if !ready {
		return nil, v.failed(ErrNotReady)
	}
	kept := []string{own.Bucket}
	for key, version := range versions {
		switch {
		case version.FoldVersion >= v.foldVersion:
			kept = append(kept, version.Bucket)
		case key != aliasKey:
			if err := v.catalog.versions.Delete(ctx, key); err != nil {
				return nil, v.failed(err)
			}
		}
	}
	for entry, err := range v.catalog.building.List(ctx) {
		if err != nil {
			return nil, v.failed(err)
		}
		kept = append(kept, entry.Value.Bucket)
	}
	pruned, err := v.buckets(ctx, func(bucket string) bool {
		return !slices.Contains(kept, bucket)
	})
	if err != nil {
		return nil, v.failed(err)
	}
	return pruned, v.failed(v.deleteBuckets(ctx, pruned))
}
