package projection_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

// small opens a store in an account that demands a bound of each stream, and has room for little, as hosted accounts
// do.
func small(t *testing.T, room int64) *eventstore.Store {
	t.Helper()
	js := eventstoretest.Limited(t, func(l *server.JetStreamAccountLimits) { l.MaxStore, l.MaxBytesRequired = room, true },
		eventstoretest.Options(func(o *server.Options) { o.JetStreamLimits.Duplicates = time.Second }))
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{MaxBytes: 1 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// bound returns the size of a bucket at which it is full.
func bound(t *testing.T, js jetstream.JetStream, bucket string) int64 {
	t.Helper()
	stream, err := js.Stream(t.Context(), "KV_"+bucket)
	require.NoError(t, err)
	return stream.CachedInfo().Config.MaxBytes
}

func TestAViewIsBuiltAndRebuiltInASmallAccount(t *testing.T) {
	store := small(t, 16<<20)
	view := balances(t, store)
	stop := run(t, view)
	defer stop()
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1, 2)))
	for range 5 {
		require.NoError(t, view.Rebuild(t.Context(), nil))
	}
	got, err := view.Get(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, balance{3, 2}, got)
}

func TestEachBucketOfAViewHasItsOwnBound(t *testing.T) {
	store := small(t, 1<<30)
	view, err := projection.Open(t.Context(), store, "texts", 1, &projection.Config{MaxBytes: 128 << 10},
		projection.On(func(_ string, e deposited) string { return e.Text }))
	require.NoError(t, err)
	defer func() { require.NoError(t, view.Close()) }()
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	first := view.Bucket()
	require.EqualValues(t, 128<<10, bound(t, store.JetStream(), first))
	require.NoError(t, view.Rebuild(t.Context(), nil))
	require.NotEqual(t, first, view.Bucket())
	require.EqualValues(t, 128<<10, bound(t, store.JetStream(), view.Bucket()))
	require.LessOrEqual(t, bound(t, store.JetStream(), view.Control()), int64(4<<20), "its documents are small")

	own := balances(t, store)
	run(t, own)
	require.NoError(t, own.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	require.Greater(t, bound(t, store.JetStream(), own.Bucket()), int64(4<<20), "it has a share of what is left")
}

// The bucket was deleted, or the store could not make it. A share of what the account has left would be far too much.
func TestAViewMakesAControlBucketOfASmallSize(t *testing.T) {
	store := small(t, 1<<30)
	require.NoError(t, store.JetStream().DeleteKeyValue(t.Context(), "bank_control"))
	view := balances(t, store)
	require.LessOrEqual(t, bound(t, store.JetStream(), view.Control()), int64(4<<20))
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
}

// A larger bucket needs no new run.
func TestAViewWhoseBucketIsFullWaitsUntilItIsLarger(t *testing.T) {
	server := eventstoretest.NewServer(t)
	store, said := openOn(t, server)
	text := strings.Repeat("x", 10_000)
	view, err := projection.Open(t.Context(), store, "texts", 1, &projection.Config{MaxBytes: 64 << 10},
		projection.On(func(string, deposited) string { return text }))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, view.Close()) })
	var end eventstore.Position
	for i := range 10 {
		end = deposit(t, store, fmt.Sprint(i), 1)
	}
	run(t, view)
	eventually(t, func() bool { return strings.Contains(said.String(), kv.ErrFull.Error()) }, "the logger is told")
	status, err := view.Status(t.Context())
	require.NoError(t, err)
	stream, err := store.JetStream().Stream(t.Context(), "KV_"+status.Building.Bucket)
	require.NoError(t, err)
	larger := stream.CachedInfo().Config
	larger.MaxBytes = 1 << 20
	_, err = store.JetStream().UpdateStream(t.Context(), larger)
	require.NoError(t, err)
	require.NoError(t, view.WaitFor(t.Context(), end))
	got, err := view.Get(t.Context(), "9")
	require.NoError(t, err)
	require.Equal(t, text, got)
}
