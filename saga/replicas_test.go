package saga_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
	"github.com/runnel-go/runnel/saga"
	"github.com/runnel-go/runnel/snapshot"
)

// everything opens all that the toolkit makes buckets for, and runs it until they are made. Names of the view and of
// the category of the snapshots begin with a word.
func everything(t *testing.T, store *eventstore.Store, word string) *projection.View[int64] {
	t.Helper()
	cache, err := snapshot.Open(t.Context(), store, word+"-accounts", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, cache.Close()) })
	view, err := projection.Open(t.Context(), store, word+"-totals", 1, nil,
		projection.On(func(total int64, e paidIn) int64 { return total + e.Amount }))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	require.NoError(t, view.Rebuild(t.Context(), nil))
	manager := open(t, bankOf(t, store), define(t, word+"-payout", saga.Step("note", noted("note")).NoUndo()), nil)
	run(t, manager)
	_, err = manager.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	return view
}

// replicas returns how many replicas each JetStream stream has, once there are so many streams.
func replicas(t *testing.T, js jetstream.JetStream, atLeast int) map[string]int {
	t.Helper()
	var all map[string]int
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		all = make(map[string]int)
		streams := js.ListStreams(t.Context())
		for info := range streams.Info() {
			all[info.Config.Name] = info.Config.Replicas
		}
		require.NoError(c, streams.Err()) // passes: the connection may have broken
		require.GreaterOrEqual(c, len(all), atLeast)
	}, 30*time.Second, 20*time.Millisecond)
	return all
}

// requireReplicas makes sure that at least so many streams are there, and that all have that many replicas.
func requireReplicas(t *testing.T, js jetstream.JetStream, streams, want int) {
	t.Helper()
	for name, n := range replicas(t, js, streams) {
		require.Equal(t, want, n, name)
	}
}

func raise(t *testing.T, js jetstream.JetStream, stream string, to int) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	require.NoError(t, err)
	cfg := s.CachedInfo().Config
	cfg.Replicas = to
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
}

// Each bucket that is made for a store has the store's replicas. The guide says how an operator raises their number for
// all that belongs to the store. Buckets that are made later have the new number.
func TestBucketsHaveTheReplicasOfTheirStore(t *testing.T) {
	guide, err := os.ReadFile("../docs/guides/operations.md")
	require.NoError(t, err)
	_, line, found := strings.Cut(string(guide), "nats stream ls --names | grep -xE '")
	require.True(t, found)
	pattern, _, _ := strings.Cut(line, "'")
	chosen := regexp.MustCompile("^(" + pattern + ")$")

	js := eventstoretest.NewCluster(t, 3, eventstoretest.Memory()).JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", storeEvents(), &eventstore.Config{Replicas: 1})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	bankOf(t, store).payIn(t, "a", 1)
	view := everything(t, store, "first")
	requireReplicas(t, js, 5, 1) // the log, the control bucket, snapshots, a view, and the view of sagas

	for name := range replicas(t, js, 5) {
		require.Regexp(t, chosen, name, "all belong to the store")
		raise(t, js, name, 3)
	}
	require.NotRegexp(t, chosen, "bank-eu")
	require.NotRegexp(t, chosen, "KV_bank-eu_control")
	requireReplicas(t, js, 5, 3)

	bankOf(t, store).payIn(t, "b", 1)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	again := openBank(t, js)
	again.payIn(t, "c", 1)
	everything(t, again.store, "second")
	requireReplicas(t, js, 9, 3)
	_, err = eventstore.Open(t.Context(), js, "bank", storeEvents(), &eventstore.Config{Replicas: 1})
	require.ErrorIs(t, err, eventstore.ErrSettings)

	one, err := projection.Open(t.Context(), store, "one", 1, &projection.Config{Replicas: 1},
		projection.On(func(total int64, e paidIn) int64 { return total + e.Amount }))
	require.NoError(t, err)
	defer func() { require.NoError(t, one.Close()) }()
	for _, want := range []int{1, 3} { // its Config says otherwise, and then an operator
		require.NoError(t, one.Rebuild(t.Context(), nil))
		require.Equal(t, want, replicas(t, js, 10)["KV_"+one.Bucket()])
		raise(t, js, "KV_"+one.Bucket(), 3)
	}
}
