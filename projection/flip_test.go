package projection_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

// quick makes instances take over within half a second.
var quick = &projection.Config{Heartbeat: 100 * time.Millisecond, StandBy: 400 * time.Millisecond}

// isFlip reports whether a request writes a record of the view sums in which something serves and nothing is built.
func isFlip(subject string, payload []byte) bool {
	return subject == "$KV.bank_control.view.sums" && strings.Contains(string(payload), `"serving"`) &&
		!strings.Contains(string(payload), `"building"`)
}

// storeBehind opens the store of a server again, for an instance behind a proxy.
func storeBehind(t *testing.T, proxy *eventstoretest.Proxy) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// A build that is held up at its flip stops the view until a runner goes on without it. Its flip must not pass after
// that.
func TestABuildThatIsHeldUpAtItsFlipIsGivenUp(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, _ := openOn(t, server)
	runner, reader := sums(t, store, 1, quick), sums(t, store, 1, quick)
	builder := sums(t, storeBehind(t, proxy), 1, quick)
	run(t, runner)
	require.NoError(t, reader.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	old := reader.Bucket()

	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	proxy.DropRequests(func(subject string, payload []byte) bool {
		if isFlip(subject, payload) {
			once.Do(func() { close(held); <-release })
		}
		return false
	})
	rebuilt := make(chan error, 1)
	go func() { rebuilt <- builder.Rebuild(t.Context(), nil) }()
	<-held
	end := deposit(t, store, "a", 1)
	require.NoError(t, reader.WaitFor(t.Context(), end), "the runner goes on without the build")
	require.Equal(t, old, reader.Bucket())
	got, err := reader.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, balance{2, 2}, got)
	close(release)
	require.NoError(t, <-rebuilt, "another build is made")
	eventually(t, func() bool { return reader.Bucket() == builder.Bucket() }, "readers follow")
	got, err = reader.Get(t.Context(), "a", projection.At(deposit(t, store, "a", 1)))
	require.NoError(t, err, "somebody folds into what is read")
	require.Equal(t, balance{3, 3}, got)
	_, err = reader.Prune(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{reader.Bucket()}, buckets(t, store))
}

// A build that is lost once it has said that it is about to serve holds nobody up.
func TestABuildThatIsLostBeforeItRetiresWhatServesIsGivenUp(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, _ := openOn(t, server)
	runner := sums(t, store, 1, quick)
	builder := sums(t, storeBehind(t, proxy), 1, quick)
	run(t, runner)
	require.NoError(t, runner.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	lost := make(chan struct{})
	var once sync.Once
	proxy.DropRequests(func(subject string, payload []byte) bool {
		if subject == "$KV."+runner.Bucket()+".=checkpoint" { // the build is about to retire it
			once.Do(func() { close(lost) })
			return true
		}
		return false
	})
	ctx, cancel := context.WithCancel(t.Context())
	rebuilt := make(chan error, 1)
	go func() { rebuilt <- builder.Rebuild(ctx, nil) }()
	<-lost
	proxy.Cut()
	for range 3 {
		require.NoError(t, runner.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	}
	cancel()
	require.Error(t, <-rebuilt)
	proxy.Heal()
}

// Nobody knows at first what has become of a flip whose answer is lost. The build must not delete the bucket that it
// has made.
func TestABuildWhoseFlipIsNotAnsweredServes(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, _ := openOn(t, server)
	end := deposit(t, store, "a", 1)
	builder := sums(t, storeBehind(t, proxy), 1, quick)
	var flips atomic.Int32
	proxy.DropRequests(func(subject string, payload []byte) bool {
		if isFlip(subject, payload) && flips.Add(1) == 1 {
			proxy.DropAcks(1)
		}
		return false
	})
	require.NoError(t, builder.Rebuild(t.Context(), nil))
	require.NotZero(t, flips.Load())
	reader := sums(t, store, 1, quick)
	run(t, reader)
	got, err := reader.Get(t.Context(), "a", projection.At(end))
	require.NoError(t, err)
	require.Equal(t, balance{1, 1}, got)
	require.Equal(t, []string{reader.Bucket()}, buckets(t, store))
}

func TestBuildsOfOneViewWaitForEachOther(t *testing.T) {
	store := open(t)
	for range 300 {
		deposit(t, store, "a", 1)
	}
	view, err := projection.Open(t.Context(), store, "sums", 1, quick, projection.On(func(b balance, e deposited) balance {
		spend(2 * time.Millisecond) // a build takes longer than a stand-by
		return balance{b.Amount + e.Amount, b.Events + 1}
	}))
	require.NoError(t, err)
	defer view.Close()
	run(t, view) // makes the first build
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var builds sync.WaitGroup
	for range 3 {
		builds.Go(func() {
			if err := view.Rebuild(ctx, nil); err != nil {
				t.Errorf("rebuild: %v", err)
			}
		})
	}
	builds.Wait()
	requireFolded(t, store, view)
}

// Prune reads which buckets there are and which of them are named, while builds come and go.
func TestPruneDeletesNothingThatServes(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, _ := openOn(t, server)
	end := deposit(t, store, "a", 1)
	view, admin := sums(t, store, 1, quick), sums(t, storeBehind(t, proxy), 1, quick)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	require.NoError(t, admin.WaitFor(t.Context(), end))
	proxy.Delay(5 * time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	var pruning sync.WaitGroup
	pruning.Go(func() {
		for ctx.Err() == nil {
			if _, err := admin.Prune(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("prune: %v", err)
				return
			}
		}
	})
	for range 20 {
		require.NoError(t, view.Rebuild(t.Context(), nil))
		got, err := view.Get(t.Context(), "a", projection.At(end))
		require.NoError(t, err)
		require.Equal(t, balance{1, 1}, got)
		got, err = admin.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, balance{1, 1}, got)
	}
	cancel()
	pruning.Wait()
	_, err := view.Prune(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{view.Bucket()}, buckets(t, store))
}

// Prune is slow, and a build comes to serve meanwhile. The record that it read before says nothing about that build's
// bucket.
func TestPruneLeavesABuildThatServesSinceItBegan(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, _ := openOn(t, server)
	end := deposit(t, store, "a", 1)
	view, admin := sums(t, store, 1, quick), sums(t, storeBehind(t, proxy), 1, quick)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	proxy.DropRequests(func(subject string, _ []byte) bool {
		if subject == "$JS.API.STREAM.NAMES" {
			once.Do(func() { close(held); <-release })
		}
		return false
	})
	pruned := make(chan error, 1)
	go func() { _, err := admin.Prune(t.Context()); pruned <- err }()
	<-held
	require.NoError(t, view.Rebuild(t.Context(), nil))
	close(release)
	require.NoError(t, <-pruned)
	require.Equal(t, []string{view.Bucket()}, buckets(t, store))
	_, err := view.Get(t.Context(), "a", projection.At(end))
	require.NoError(t, err)
}

// A build whose process died stays in the record, with its bucket.
func TestPruneTakesTheBuildThatDied(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, _ := openOn(t, server)
	deposit(t, store, "a", 1)
	view, dying := sums(t, store, 1, quick), sums(t, storeBehind(t, proxy), 1, quick)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	ctx, die := context.WithCancel(t.Context())
	defer die()
	cut := sync.OnceFunc(func() { proxy.Cut() })
	ended := make(chan error, 1)
	go func() { ended <- dying.Rebuild(ctx, func(eventstore.Progress) { cut(); die() }) }()
	require.Error(t, <-ended)
	require.Len(t, buckets(t, store), 2)
	pruned, err := view.Prune(t.Context())
	require.NoError(t, err)
	require.Len(t, pruned, 1)
	require.Equal(t, []string{view.Bucket()}, buckets(t, store))
	status, err := view.Status(t.Context())
	require.NoError(t, err)
	require.Nil(t, status.Building)
	proxy.Heal()
}

// A replica that is behind, or a leader that was elected a moment ago, answers with documents of before.
func TestWhatIsBehindWhatWasReadIsNotReturned(t *testing.T) {
	store := open(t)
	view := sums(t, store, 1, nil)
	stop := run(t, view)
	end := deposit(t, store, "a", 1)
	require.NoError(t, view.WaitFor(t.Context(), end))
	reader := sums(t, store, 1, nil)
	_, err := reader.Get(t.Context(), "a", projection.At(end))
	require.NoError(t, err)
	stop()
	moveTo := func(position eventstore.Position) {
		bucket, err := kv.Open[balance](t.Context(), store.JetStream(), view.Bucket(), nil)
		require.NoError(t, err)
		defer bucket.Close()
		checkpoints, err := kv.Beside[map[string]json.RawMessage](bucket, inside.Single())
		require.NoError(t, err)
		at, err := checkpoints.GetLeader(t.Context(), "checkpoint")
		require.NoError(t, err)
		at.Value["position"], err = json.Marshal(position)
		require.NoError(t, err)
		_, err = checkpoints.Put(t.Context(), "checkpoint", at.Value)
		require.NoError(t, err)
	}
	moveTo(end - 1)
	for name, options := range map[string][]projection.GetOption{"plain": nil, "at": {projection.At(end)}} {
		waiting, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err = reader.Get(waiting, "a", options...)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
	}
	moveTo(end)
	_, err = reader.Get(t.Context(), "a")
	require.NoError(t, err)
}

// Two fold versions have nothing to do with each other, so the newer one may be behind the older one when it is built.
func TestReadersMoveToANewerFoldVersionOnceItIsAsFar(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, _ := openOn(t, server)
	older, newer := sums(t, store, 1, quick), sums(t, store, 2, quick)
	run(t, older)
	require.NoError(t, older.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	reader := sums(t, storeBehind(t, proxy), 2, quick)
	proxy.DropRequests(func(subject string, _ []byte) bool {
		return strings.HasPrefix(subject, "$JS.API.STREAM.INFO.KV_bank_sums_v2_") // the reader cannot open it yet
	})
	require.NoError(t, newer.Rebuild(t.Context(), nil))
	require.NoError(t, older.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	got, err := reader.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, balance{2, 2}, got)
	var looks atomic.Int32 // at how far the newer one is
	proxy.DropRequests(func(subject string, _ []byte) bool {
		if strings.HasPrefix(subject, "$JS.API.STREAM.MSG.GET.KV_bank_sums_v2_") {
			looks.Add(1)
		}
		return false
	})
	eventually(t, func() bool { return looks.Load() > 3 }, "the reader has opened the newer one")
	for range 50 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		got, err := reader.Get(ctx, "a")
		cancel()
		require.NoError(t, err)
		require.Equal(t, balance{2, 2}, got, "nobody runs the newer one, which is at one event")
	}
	run(t, newer)
	eventually(t, func() bool { return reader.Bucket() == newer.Bucket() }, "the reader moves")
	got, err = reader.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, balance{4, 2}, got)
}
