//go:build unix

package projection_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/runnel-go/runnel/projection"
)

// deed is one thing that is done in a storm.
type deed struct {
	at   time.Duration // since the storm's start
	kind string
	who  int           // picks a program, a builder or a node
	long time.Duration // how long it lasts
}

// deedKinds are what is done, and how often in 100 deeds.
var deedKinds = []struct {
	name  string
	often int
}{
	{"link cut", 10},
	{"link slow", 10},
	{"answers and requests lost", 10},
	{"program killed", 12},
	{"program frozen", 12},
	{"fold slow", 12},
	{"rebuild", 10},
	{"view paused", 3},
	{"prune", 6},
	{"poison", 4},
	{"replay", 3},
	{"burst of appends", 4},
	{"process killed", 2},
	{"process frozen and killed", 1},
	{"node stopped", 1},
}

// plan returns what is done and when. It follows from the seed alone. The quorum is lost once, or once in two minutes.
func (s *storm) plan() (plan []deed) {
	random := rand.New(rand.NewPCG(s.seed, 0))
	for at := time.Second; at < s.lasts; at += time.Duration(random.Int64N(int64(s.standBy))) {
		d := deed{at: at, who: random.IntN(1 << 16), long: s.standBy/10 + time.Duration(random.Int64N(int64(3*s.standBy)))}
		lot := random.IntN(100)
		for _, kind := range deedKinds {
			if lot -= kind.often; lot < 0 {
				d.kind = kind.name
				break
			}
		}
		plan = append(plan, d)
	}
	every := longer(s.lasts, 2*time.Minute)
	for at := every / 2; at < s.lasts; at += every {
		plan = append(plan, deed{at: at, kind: "quorum lost", who: random.IntN(1 << 16), long: longer(2*time.Second, 15*time.Second)})
	}
	return plan
}

// rage does what is planned. A lasting deed ends in its time, and all deeds end with the storm.
func (s *storm) rage(plan []deed) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	r := &raging{storm: s, begun: time.Now()}
	for _, d := range sorted(plan) {
		if !r.until(ctx, d.at) {
			break
		}
		if end := r.do(ctx, d); end != nil {
			r.ends = append(r.ends, ending{d.at + d.long, end})
		}
	}
	r.until(ctx, s.lasts)
	cancel()
	for _, e := range r.ends {
		e.do()
	}
	r.doing.Wait()
}

// raging is a storm under way. All is done by the test's goroutine, but what blocks.
type raging struct {
	storm *storm
	begun time.Time
	doing sync.WaitGroup
	ends  []ending
}

// ending ends a deed.
type ending struct {
	at time.Duration
	do func()
}

// until waits until a time since the storm's start, and ends the deeds that are due before.
func (r *raging) until(ctx context.Context, at time.Duration) bool {
	for {
		next := -1
		for i, e := range r.ends {
			if e.at <= at && (next < 0 || e.at < r.ends[next].at) {
				next = i
			}
		}
		if next < 0 {
			return idle(ctx, at-time.Since(r.begun))
		}
		e := r.ends[next]
		if !idle(ctx, e.at-time.Since(r.begun)) {
			return false
		}
		r.ends = append(r.ends[:next], r.ends[next+1:]...)
		e.do()
	}
}

// do does one deed, and returns what ends it, or nil.
func (r *raging) do(ctx context.Context, d deed) (end func()) {
	s := r.storm
	p := s.programs[d.who%len(s.programs)]
	switch d.kind {
	case "link cut", "answers and requests lost", "program killed", "program frozen":
		if end = p.suffer(d.kind); end == nil {
			return nil
		}
	case "link slow":
		end = p.link.delay(time.Duration(1+d.who%20) * time.Millisecond)
	case "fold slow":
		p = s.programs[d.who%5] // those that fold
		p.gate.slowDown(d.long)
	case "burst of appends":
		s.accounts.burst.Store(true)
		end = func() { s.accounts.burst.Store(false) }
	case "node stopped", "quorum lost":
		if end = r.stopNodes(d); end == nil {
			return nil
		}
	case "process killed", "process frozen and killed":
		process := s.startProcess(1 + d.who%2)
		r.doing.Go(func() { s.lead(ctx, process, d) })
	default:
		r.doing.Go(func() { s.operate(ctx, d) })
		return nil
	}
	s.count("done: " + d.kind)
	return end
}

// stopNodes stops one node, or two of three. One node alone is a quorum.
func (r *raging) stopNodes(d deed) (end func()) {
	nodes := len(r.storm.sky.nodes)
	n := 1
	if d.kind == "quorum lost" {
		n = nodes/2 + 1
	}
	if !r.storm.sky.stop(n, d.who%nodes) {
		return nil
	}
	return r.storm.sky.start
}

// operate does what an operator does, at a builder's view, and waits for it. A prune of the newer release takes an
// older fold version that nobody runs, so meanwhile the first runner of release 1 is spared.
func (s *storm) operate(ctx context.Context, d deed) {
	builder := s.programs[3+d.who%2]
	if d.kind == "rebuild" && d.who%10 == 0 {
		builder = s.programs[d.who/10%3] // a Rebuild beside the Run of one View
	}
	if d.kind == "prune" && builder.release == 2 {
		unspare, ok := s.programs[0].spare()
		if !ok {
			s.count("put off, since nobody may run release 1: prune")
			return
		}
		defer unspare()
	}
	view, over := builder.present()
	if view == nil {
		return
	}
	s.count("done: " + d.kind)
	working, end := endingWith(ctx, over)
	defer end()
	err := s.orders(working, d, view)
	switch {
	case ctx.Err() != nil:
		s.count("ended with the storm: " + d.kind)
	case err != nil && working.Err() != nil:
		s.count("ended by a kill: " + d.kind)
	case err != nil:
		s.count(fmt.Sprintf("failed: %s: %s", d.kind, named(err)))
	default:
		s.count("succeeded: " + d.kind)
	}
}

// endingWith returns a context that ends with ctx, or once a channel is closed. The caller ends it.
func endingWith(ctx context.Context, over <-chan struct{}) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case <-over:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel()
		waiting.Wait()
	}
}

// orders does one deed of an operator.
func (s *storm) orders(ctx context.Context, d deed, view *projection.View[stormDoc]) error {
	switch d.kind {
	case "rebuild":
		return view.Rebuild(ctx, nil)
	case "prune":
		_, err := view.Prune(ctx)
		return err
	case "poison":
		s.accounts.appendPoison(ctx)
		return nil
	case "replay":
		end, err := s.accounts.store.End(ctx)
		if err != nil {
			return err
		}
		s.illness.cure(end)
		return view.Replay(ctx)
	case "view paused":
		if err := view.Pause(ctx); err != nil {
			return err
		}
		if !idle(ctx, d.long) {
			return nil
		}
		return view.Resume(ctx)
	}
	panic("there is no deed " + d.kind)
}

// resume ends what is left of a pause.
func (s *storm) resume() {
	s.t.Helper()
	s.retried("resume", func(ctx context.Context) error {
		view, err := s.programs[3].up(ctx)
		if err != nil {
			return err
		}
		return view.Resume(ctx)
	})
}

// replay has all that is parked folded again, under both releases, and waits until nothing is parked.
func (s *storm) replay() {
	s.t.Helper()
	for _, p := range []*program{s.programs[3], s.programs[4]} {
		s.retried("replay "+p.name, func(ctx context.Context) error {
			view, err := p.up(ctx)
			if err != nil {
				return err
			}
			status, err := view.Status(ctx)
			if err != nil || status.Parked == 0 {
				return err
			}
			if err := view.Replay(ctx); err != nil {
				return err
			}
			return fmt.Errorf("%d keys are parked", status.Parked)
		})
	}
}

// retried does something until it succeeds, for 20 seconds.
func (s *storm) retried(what string, try func(context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	for {
		trying, end := context.WithTimeout(ctx, 5*time.Second)
		err := try(trying)
		end()
		if err == nil {
			return
		}
		if !idle(ctx, 200*time.Millisecond) {
			s.wrong("an order is not done in the calm", "%s: %v", what, err)
			return
		}
	}
}
