//go:build unix

package projection_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

// reader reads at one program, and remembers what it has seen, over all of the program's lives.
type reader struct {
	name    string
	storm   *storm
	program *program
	random  *rand.Rand
	seen    map[string]eventstore.Position // by key, the newest that was seen
	view    *projection.View[stormDoc]     // the one that was read last
	here    map[string]eventstore.Position // what was seen through it
	fold    int                            // the newest fold version that was seen
}

func newReader(s *storm, i int, p *program) *reader {
	return &reader{
		name: fmt.Sprintf("reader-%d at %s", i+1, p.name), storm: s, program: p,
		random: rand.New(rand.NewPCG(s.seed, uint64(1000+i))), seen: make(map[string]eventstore.Position),
	}
}

// loop reads until ctx ends.
func (r *reader) loop(ctx context.Context) {
	for idle(ctx, 5*time.Millisecond) {
		view, err := r.program.up(ctx)
		if err != nil {
			return
		}
		reading, cancel := context.WithTimeout(ctx, 4*r.storm.standBy)
		if err := r.once(reading, view); err != nil && ctx.Err() == nil {
			r.failed(view, err)
		}
		cancel()
	}
}

// once makes one read of some kind.
func (r *reader) once(ctx context.Context, view *projection.View[stormDoc]) error {
	keys := r.storm.accounts.keys()
	if len(keys) == 0 {
		return nil
	}
	key := keys[r.random.IntN(len(keys))]
	switch kind := r.random.IntN(20); {
	case kind < 10:
		r.storm.count("reads by Get")
		doc, err := view.Get(ctx, key)
		return r.check(view, key, doc, err, 0)
	case kind < 17:
		r.storm.count("reads by Get with At")
		at := r.storm.accounts.lastOf(key)
		doc, err := view.Get(ctx, key, projection.At(at))
		return r.check(view, key, doc, err, at)
	case kind < 19:
		r.storm.count("reads by GetMany")
		docs, err := view.GetMany(ctx, keys...)
		return r.checkAll(view, docs, err)
	}
	r.storm.count("reads by List")
	for entry, err := range view.List(ctx) {
		if err := r.check(view, entry.Key, entry.Value, err, 0); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) checkAll(view *projection.View[stormDoc], docs map[string]kv.Entry[stormDoc], err error) error {
	if err != nil {
		return err
	}
	for key, entry := range docs {
		if err := r.check(view, key, entry.Value, nil, 0); err != nil {
			return err
		}
	}
	return nil
}

// check compares what was read with what this reader has seen before, and with the position that it asked for. A reader
// has another View after each restart. Then any of several replicas may answer a read without a position, a moment
// late, so such a read is not a step back.
func (r *reader) check(view *projection.View[stormDoc], key string, doc stormDoc, err error, at eventstore.Position) error {
	if r.view != view {
		r.view, r.here = view, make(map[string]eventstore.Position)
	}
	before := r.seen[key]
	sure := at > 0 || r.storm.sky.replicas() == 1 || r.here[key] == before
	parked := strings.HasPrefix(key, victim)
	switch {
	case errors.Is(err, projection.ErrNotFound):
		if sure && !parked && max(before, at) > 0 {
			r.storm.missed(key, max(before, at-min(at, 1)), fmt.Sprintf("%s, at %s, asked for %d in bucket %s",
				r.name, time.Now().Format(time.TimeOnly+".000"), at, view.Bucket()))
		}
		return nil
	case err != nil:
		return err
	}
	r.storm.saw(key, doc)
	told := func() string {
		return fmt.Sprintf("%s, release %d, key %s, bucket %s: asked for %d, had seen position %d and fold %d, read %+v",
			r.name, r.program.release, key, view.Bucket(), at, before, r.fold, doc)
	}
	switch {
	case doc.Fold > r.program.release:
		r.storm.wrong("a reader read a newer release's documents", "%s", told())
	case doc.Fold < r.fold:
		r.storm.wrong("a reader went back to an older fold version", "%s", told())
	case at > 0 && doc.Fold != r.program.release:
		r.storm.wrong("a read at a position was answered from an older fold version", "%s", told())
	case doc.Position < at:
		r.storm.wrong("a read at a position was answered from before it", "%s", told())
	case doc.Position < before && !sure && !parked:
		r.storm.count("reads that a replica answered late")
	case doc.Position < before && !parked && doc.Fold > r.fold && r.fold > 0:
		r.storm.wrong("a reader stepped back as it went to its own fold version", "%s", told())
	case doc.Position < before && !parked:
		r.storm.wrong("a reader stepped back", "%s", told())
	}
	r.fold = max(r.fold, doc.Fold)
	r.seen[key] = max(before, doc.Position)
	r.here[key] = max(r.here[key], doc.Position)
	return nil
}

// failed notes a read that failed. In a storm it may, unless it says that nothing has been built.
func (r *reader) failed(view *projection.View[stormDoc], err error) {
	if r.program.current() != view {
		r.storm.count("reads that a kill ended")
		return
	}
	r.storm.count("reads that failed: " + named(err))
	if errors.Is(err, projection.ErrNotReady) && r.fold == r.program.release {
		r.storm.wrong("a reader of a built view was told that nothing is built", "%s, release %d, at %s: %v",
			r.name, r.program.release, time.Now().Format(time.TimeOnly+".000"), err)
	}
}

var figures = regexp.MustCompile(`[0-9a-f]{8}|\d+`)

// named returns a short name for an error, under which it is counted.
func named(err error) string {
	for _, target := range []error{
		projection.ErrNotReady, projection.ErrParked, projection.ErrPositionAhead, projection.ErrVersionChanged,
		kv.ErrUnavailable, eventstore.ErrUnavailable, context.DeadlineExceeded, context.Canceled,
	} {
		if errors.Is(err, target) {
			return target.Error()
		}
	}
	return figures.ReplaceAllString(strings.ReplaceAll(err.Error(), "\n", " / "), "#")
}
