//go:build unix

package projection_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/projection"
)

// crew is several instances of one view, each behind a proxy of its own:
//
//	server -- proxy -- instance 0   folds, while it lives
//	       -- proxy -- instance 1   stands by, and takes over once the one that folds is killed
//	       -- proxy -- instance 2   stands by
//
// Each fold tells the test which instance folds what, and takes its time. All times are the defaults in long runs, and
// a tenth of them otherwise.
type crew struct {
	t         *testing.T
	server    *eventstoretest.Server
	store     *eventstore.Store
	fold      func(ctx context.Context, r eventstore.Recorded) // what a fold does beside
	begun     chan begin
	instances []*member
	times     map[eventstore.Position]int // how often folds of an event have begun
}

// begin says that an instance begins to fold an event.
type begin struct {
	instance int
	position eventstore.Position
	when     time.Time
}

type member struct {
	proxy *eventstoretest.Proxy
	view  *projection.View[balance]
	stop  func()
}

// tenth is a time in long runs, and a tenth of it otherwise.
func tenth(d time.Duration) time.Duration { return longer(d/10, d) }

// slack is what a machine under load may add to what is measured where times are short.
func slack() time.Duration { return longer(500*time.Millisecond, 0) }

func newCrew(t *testing.T, fold func(context.Context, eventstore.Recorded)) *crew {
	t.Helper()
	c := &crew{t: t, server: eventstoretest.NewServer(t), fold: fold, begun: make(chan begin, 1_000_000), times: make(map[eventstore.Position]int)}
	c.store = c.open(c.server.JetStream(t))
	return c
}

// takes makes a fold that takes a while.
func takes(d time.Duration) func(context.Context, eventstore.Recorded) {
	return func(ctx context.Context, _ eventstore.Recorded) { idle(ctx, d) }
}

func (c *crew) open(js jetstream.JetStream) *eventstore.Store {
	c.t.Helper()
	store, err := eventstore.Open(c.t.Context(), js, "bank", events, nil)
	require.NoError(c.t, err)
	c.t.Cleanup(func() { require.NoError(c.t, store.Close()) })
	return store
}

// viewOn opens the view on a store. The folds end with ctx.
func (c *crew) viewOn(ctx context.Context, store *eventstore.Store, number int) *projection.View[balance] {
	c.t.Helper()
	var cfg *projection.Config // the defaults
	if !proptest.Long() {
		cfg = &projection.Config{Heartbeat: tenth(1500 * time.Millisecond), StandBy: tenth(4 * time.Second)}
	}
	view, err := projection.Open(c.t.Context(), store, "sums", 1, cfg,
		projection.OnRecorded(func(b balance, e deposited, r eventstore.Recorded) balance {
			c.begun <- begin{number, r.Position, time.Now()}
			c.fold(ctx, r)
			return balance{b.Amount + e.Amount, b.Events + 1}
		}).By(func(e deposited) string { return e.Text }))
	require.NoError(c.t, err)
	c.t.Cleanup(func() { require.NoError(c.t, view.Close()) })
	return view
}

// join starts one more instance, over a link with a delay in each direction.
func (c *crew) join(delay time.Duration) {
	c.t.Helper()
	i, number := &member{proxy: c.server.Proxy(c.t)}, len(c.instances)
	i.proxy.Delay(delay)
	life, end := context.WithCancel(c.t.Context())
	i.view = c.viewOn(life, c.open(i.proxy.JetStream(c.t)), number)
	ended := keep(c.t, func(context.Context) {
		if err := i.view.Run(life); err != nil {
			c.t.Errorf("instance %d ended: %v", number, err)
		}
	})
	i.stop = func() {
		end()
		ended()
	}
	c.t.Cleanup(i.stop)
	c.instances = append(c.instances, i)
}

// kill ends an instance as a crash does: nothing that it says at its end is heard.
func (i *member) kill() {
	i.proxy.Cut()
	i.stop()
}

// add appends one event, in a stream of its own.
func (c *crew) add(n int) eventstore.Position {
	c.t.Helper()
	commit, err := c.store.Append(c.t.Context(), account(fmt.Sprint(n)), eventstore.Head{}, deposited{Amount: 1, Text: fmt.Sprint(n % 1000)})
	require.NoError(c.t, err)
	return commit.Position
}

// awaitBegin waits until an instance that passes the filter begins to fold an event.
func (c *crew) awaitBegin(position eventstore.Position, by func(instance int) bool) begin {
	c.t.Helper()
	overdue := time.After(2 * time.Minute)
	for {
		select {
		case b := <-c.begun:
			c.times[b.position]++
			if b.position == position && by(b.instance) {
				return b
			}
		case <-overdue:
			c.t.Fatalf("nobody else has begun to fold position %d", position)
		}
	}
}

// begins returns how often folds of each event have begun since it was asked last.
func (c *crew) begins() map[eventstore.Position]int {
	for range len(c.begun) {
		c.times[(<-c.begun).position]++
	}
	times := c.times
	c.times = make(map[eventstore.Position]int)
	return times
}

func anybody(int) bool { return true }

func (c *crew) waitFor(view *projection.View[balance], position eventstore.Position, atMost time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), atMost)
	defer cancel()
	require.NoError(c.t, view.WaitFor(ctx, position))
}

func TestAFoldLongerThanStandByIsNoDeathAndADeathIsSeenWithinFiveSeconds(t *testing.T) {
	proptest.AboutTime(t)
	fold := tenth(10 * time.Second)
	c := newCrew(t, takes(fold))
	n := 0
	last := c.add(n)
	for range 3 {
		c.join(0)
	}
	reader := c.viewOn(t.Context(), c.store, -1)
	c.waitFor(reader, last, 2*fold)
	for range 2 {
		n++
		last = c.add(n)
	}
	c.waitFor(reader, last, 4*fold)
	require.Equal(t, map[eventstore.Position]int{1: 1, 2: 1, 3: 1}, c.begins(), "no live instance is taken for a dead one")

	for range 2 {
		n++
		last = c.add(n)
		worker := c.awaitBegin(last, anybody)
		killed := time.Now()
		c.instances[worker.instance].kill()
		next := c.awaitBegin(last, func(i int) bool { return i != worker.instance })
		took := next.when.Sub(killed)
		require.Less(t, took, tenth(5*time.Second)+slack(), "instance %d took over", next.instance)
		t.Logf("killed in a fold of %s: another folds after %s", fold, took.Round(time.Millisecond))
		c.waitFor(reader, last, 2*fold)
	}
}

func TestALongBuildIsMadeOnceUnlessItsBuilderDies(t *testing.T) {
	proptest.AboutTime(t)
	const size = 60
	build := tenth(60 * time.Second)
	c := newCrew(t, takes(build/size))
	var last eventstore.Position
	for n := range size {
		last = c.add(n)
	}
	for range 3 {
		c.join(0)
	}
	worker := c.awaitBegin(size/2, anybody)
	require.Equal(t, 1, c.begins()[1], "nobody else has begun a build")
	killed := time.Now()
	c.instances[worker.instance].kill()
	next := c.awaitBegin(1, func(i int) bool { return i != worker.instance })
	took := next.when.Sub(killed)
	require.Less(t, took, tenth(5*time.Second)+slack(), "instance %d took over", next.instance)
	c.begins()
	t.Logf("killed in a build of %s: another builds after %s", build, took.Round(time.Millisecond))
	reader := c.viewOn(t.Context(), c.store, -1)
	c.waitFor(reader, last, build*3/2)
	for position, times := range c.begins() {
		require.Equal(t, 1, times, "times that position %d was folded since the second build had begun", position)
	}
}

// The log grows by 1,000 commits a second, up to three times its size, so that a machine that is too slow for that
// comes to its end as well. A fold takes 0.2 ms, as a mean.
func TestABuildUnderLoadTakesThreeInstancesNoLongerThanTwiceTheTimeOfOne(t *testing.T) {
	proptest.AboutTime(t)
	if !proptest.Long() {
		require.Less(t, buildUnderLoad(t, 3, 2000), 20*time.Second)
		return
	}
	alone := buildUnderLoad(t, 1, 80_000)
	three := buildUnderLoad(t, 3, 80_000)
	t.Logf("one instance: %s, three: %s", alone.Round(time.Millisecond), three.Round(time.Millisecond))
	require.Less(t, three, 2*alone)
}

// buildUnderLoad builds a view of a log of some commits, which grows meanwhile, and returns how long that took.
func buildUnderLoad(t *testing.T, instances, size int) (took time.Duration) {
	t.Run(fmt.Sprintf("instances=%d", instances), func(t *testing.T) {
		c := newCrew(t, func(ctx context.Context, r eventstore.Recorded) {
			if r.Position%10 == 0 {
				idle(ctx, 2*time.Millisecond)
			}
		})
		for i := range size {
			c.add(i)
		}
		reader := c.viewOn(t.Context(), c.store, -1)
		var added atomic.Int64
		defer keep(t, func(ctx context.Context) {
			for begun := time.Now(); idle(ctx, 2*time.Millisecond); {
				for added.Load() < min(time.Since(begun).Milliseconds(), int64(2*size)) {
					id := account(fmt.Sprint(int64(size) + added.Add(1)))
					if _, err := c.store.Append(t.Context(), id, eventstore.Head{}, deposited{Amount: 1, Text: "0"}); err != nil {
						t.Errorf("append: %v", err)
						return
					}
				}
			}
		})()
		begun := time.Now()
		for range instances {
			c.join(5 * time.Millisecond)
		}
		c.waitFor(reader, 1, 10*time.Minute)
		took = time.Since(begun)
		t.Logf("built after %s, %d commits appended meanwhile, position 1 folded %d times", took.Round(time.Millisecond), added.Load(), c.begins()[1])
	})
	return took
}
