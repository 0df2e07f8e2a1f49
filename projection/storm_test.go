//go:build unix

package projection_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/projection"
)

// A storm runs one view on real servers while everything happens to it that may happen to a view. Then it compares what
// readers saw with the log.
//
//	  one nats-server, or a cluster of three      <- one node is stopped, or the quorum
//	    |              |              |
//	    |           [link]         [link] ...     <- is cut, is slow, loses answers, stands still
//	    |              |              |
//	appenders      3 runners      2 builders      2 desks      processes
//	judge          Run            Rebuild         no Run       Run
//	               1 reader each  Prune, Pause    7 readers    <- SIGKILL, SIGSTOP
//	                   |          Replay
//	                [gate]                        <- a fold is slow, or stands still with its program
//
// Runners, builders and desks are programs: each has its own connection, store and View. A program is of one of two
// releases, whose fold versions differ. A kill cuts the program's link, ends its context, and lets it begin anew a
// while later.
//
// Each document holds the position of its last change, so a reader that steps back is seen at once. All documents
// that readers saw are kept, and are compared with the log at the end. The seed alone decides what is done, to whom
// and when.
const (
	stormSeed    = "RUNNEL_STORM_SEED"    // repeats the plan of a storm
	stormFor     = "RUNNEL_STORM_FOR"     // how long the storm takes, such as "90s"
	stormStandBy = "RUNNEL_STORM_STANDBY" // Config.StandBy, such as "1s"
	stormLog     = "RUNNEL_STORM_LOG"     // a file for what the programs log
)

// stormy is how long a storm lasts.
func stormy() time.Duration {
	if testing.Short() {
		return 5 * time.Second
	}
	return longer(20*time.Second, 10*time.Minute)
}

func TestAViewIsRightAfterAStorm(t *testing.T) { testStorm(t, 1) }

func TestAViewOnThreeReplicasIsRightAfterAStorm(t *testing.T) { testStorm(t, 3) }

func testStorm(t *testing.T, nodes int) {
	before := goleak.IgnoreCurrent()
	t.Run(fmt.Sprintf("nodes=%d", nodes), func(t *testing.T) {
		s := newStorm(t, nodes)
		stopAppending := keep(t, s.accounts.append)
		stopReading := keep(t, s.read)
		for _, p := range s.programs {
			p.stop = keep(t, p.live)
		}
		s.rage(s.plan())
		stopAppending()
		s.calm()
		stopReading()
		s.compare()
		s.leave()
		s.report()
	})
	goleak.VerifyNone(t, before)
}

// keep runs a loop on a goroutine, and returns what ends the loop and waits for it.
func keep(t *testing.T, loop func(context.Context)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { loop(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(stop)
	return stop
}

// idle waits, and reports whether ctx has not ended meanwhile.
func idle(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// storm is one run: its servers, its programs and what was seen of them.
type storm struct {
	*ledger
	t        *testing.T
	seed     uint64
	lasts    time.Duration
	standBy  time.Duration // Config.StandBy, which is also the measure of how long deeds take
	sky      *sky
	accounts *accounts
	programs []*program
	readers  []*reader
	illness  illness
	log      *os.File // nil for none
}

func newStorm(t *testing.T, nodes int) *storm {
	t.Helper()
	s := &storm{
		ledger: newLedger(), t: t, seed: rand.Uint64(),
		lasts: stormy(), standBy: longer(400*time.Millisecond, time.Second),
	}
	s.configure()
	t.Logf("repeat the plan with %s=%d", stormSeed, s.seed)
	s.sky = newSky(t, nodes)
	s.accounts = newAccounts(s)
	for _, p := range []*program{
		{name: "runner-1", release: 1, runs: true},
		{name: "runner-2", release: 2, runs: true},
		{name: "runner-3", release: 1 + int(s.seed%2), runs: true},
		{name: "builder-1", release: 1},
		{name: "builder-2", release: 2},
		{name: "desk-1", release: 1},
		{name: "desk-2", release: 2},
	} {
		s.employ(p)
	}
	for i, at := range []int{0, 1, 2, 5, 5, 5, 5, 6, 6, 6} {
		s.readers = append(s.readers, newReader(s, i, s.programs[at]))
	}
	return s
}

// configure reads what the environment says of the storm.
func (s *storm) configure() {
	s.t.Helper()
	var err error
	if given := os.Getenv(stormSeed); given != "" {
		s.seed, err = strconv.ParseUint(given, 10, 64)
		require.NoError(s.t, err)
	}
	if given := os.Getenv(stormFor); given != "" {
		s.lasts, err = time.ParseDuration(given)
		require.NoError(s.t, err)
	}
	if given := os.Getenv(stormStandBy); given != "" {
		s.standBy, err = time.ParseDuration(given)
		require.NoError(s.t, err)
	}
	if given := os.Getenv(stormLog); given != "" {
		s.log, err = os.OpenFile(given, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		require.NoError(s.t, err)
		s.t.Cleanup(func() { require.NoError(s.t, s.log.Close()) })
	}
}

// read runs all readers.
func (s *storm) read(ctx context.Context) {
	var reading sync.WaitGroup
	for _, r := range s.readers {
		reading.Go(func() { r.loop(ctx) })
	}
	reading.Wait()
}

// calm waits until the servers are well again and mends the rules. Then each program has 10 seconds to reach
// the end of the log.
func (s *storm) calm() {
	s.t.Helper()
	const enough = 10 * time.Second
	s.sky.clear()
	s.resume()
	end := s.accounts.end()
	s.illness.cure(end)
	begun := time.Now()
	ctx, cancel := context.WithTimeout(s.t.Context(), enough)
	defer cancel()
	var waiting sync.WaitGroup
	for _, p := range s.programs {
		waiting.Go(func() {
			if err := p.reach(ctx, end); err != nil {
				s.wrong("not at the end of the log within 10 s of calm", "%s, release %d: %v", p.name, p.release, err)
			}
		})
	}
	waiting.Wait()
	s.t.Logf("%s after the storm all that will be is at position %d", time.Since(begun).Round(time.Millisecond), end)
	s.replay()
}

// compare compares what each program reads now, and all that readers saw before, with the log.
func (s *storm) compare() {
	s.t.Helper()
	past := s.accounts.past()
	for _, p := range s.programs {
		s.compareWith(p, past[p.release].latest())
	}
	s.judge(past)
}

// compareWith compares all documents that one program reads with those that the log makes. If there are
// replicas, the one that answers a list may be a moment late.
func (s *storm) compareWith(p *program, want map[string]stormDoc) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	view, err := p.up(ctx)
	if err != nil {
		s.wrong("a program is not up in the calm", "%s: %v", p.name, err)
		return
	}
	var wrong []string
	for tries := 1; tries == 1 || len(wrong) > 0 && tries < 20 && s.sky.replicas() > 1; tries++ {
		wrong = differences(ctx, view, want)
		idle(ctx, 50*time.Millisecond)
	}
	for _, difference := range wrong {
		s.wrong("documents are not the fold of the log", "%s, bucket %s: %s", p.name, view.Bucket(), difference)
	}
}

// differences lists what documents of a view are not as they must be.
func differences(ctx context.Context, view *projection.View[stormDoc], want map[string]stormDoc) (wrong []string) {
	got := make(map[string]stormDoc)
	for entry, err := range view.List(ctx) {
		if err != nil {
			return []string{fmt.Sprintf("list: %v", err)}
		}
		got[entry.Key] = entry.Value
	}
	for key := range union(got, want) {
		if got[key] != want[key] {
			wrong = append(wrong, fmt.Sprintf("key %s: %+v, want %+v", key, got[key], want[key]))
		}
	}
	return wrong
}

func union(a, b map[string]stormDoc) map[string]struct{} {
	keys := make(map[string]struct{})
	for _, m := range []map[string]stormDoc{a, b} {
		for key := range m {
			keys[key] = struct{}{}
		}
	}
	return keys
}

// leave ends release 1, as after a rollout. Then release 2 prunes, until nothing is left but what it reads, and
// goes on.
func (s *storm) leave() {
	s.t.Helper()
	var last *program
	for _, p := range s.programs {
		if p.release == 1 {
			p.stop()
		} else {
			last = p
		}
	}
	view := last.current()
	var left []string
	until := time.Now().Add(30 * time.Second)
	for begun := true; begun || len(left) > 0 && time.Now().Before(until); begun = false {
		idle(s.t.Context(), s.standBy)
		pruned, err := view.Prune(s.t.Context())
		if err != nil {
			s.wrong("prune fails in the calm", "%v", err)
			break
		}
		s.add("buckets pruned in the calm", len(pruned))
		left = s.sky.bucketsBeside(view.Buckets())
	}
	for _, bucket := range left {
		s.wrong("bucket left over", "%s beside %v", bucket, view.Buckets())
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	if err := view.WaitFor(ctx, s.accounts.appendOne()); err != nil {
		s.wrong("the view does not go on after the last prune", "%v", err)
	}
	for _, p := range s.programs {
		p.stop()
	}
}

// report says what was done and seen, and fails the test for what was wrong.
func (s *storm) report() {
	s.t.Helper()
	s.t.Log("done and seen:\n" + strings.Join(s.counts(), "\n"))
	for _, wrong := range s.wrongs() {
		s.t.Error(wrong)
	}
}

// illness makes the rules of all programs panic at events that are poisonous, until they are cured.
type illness struct {
	mu    sync.Mutex
	cured eventstore.Position
}

// cure mends the rules for all events up to a position.
func (i *illness) cure(upTo eventstore.Position) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.cured = max(i.cured, upTo)
}

func (i *illness) kills(at eventstore.Position) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return at > i.cured
}
