package projection_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/blockfile"
	"github.com/runnel-go/runnel/projection"
)

// logged is what a logger wrote.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// openOn opens a store on a server, with a logger.
func openOn(t *testing.T, server *eventstoretest.Server) (*eventstore.Store, *logged) {
	t.Helper()
	said := &logged{}
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events,
		&eventstore.Config{Logger: slog.New(slog.NewTextHandler(said, nil))})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store, said
}

// inBatches folds a few commits, and as the last a transaction over four accounts, of which the view makes one batch of
// four documents and the checkpoint. It returns the sequence that the batch ended with, and the log's end.
func inBatches(t *testing.T, store *eventstore.Store) (bucket string, last uint64, end eventstore.Position) {
	t.Helper()
	view := balances(t, store)
	stop := run(t, view)
	defer stop()
	for i := range 20 {
		end = deposit(t, store, fmt.Sprint(i%6), int64(i))
	}
	require.NoError(t, view.WaitFor(t.Context(), end))
	writes := make([]eventstore.Write, 4)
	for i := range writes {
		head, err := store.Head(t.Context(), account(fmt.Sprint(i)))
		require.NoError(t, err)
		writes[i] = eventstore.Write{Stream: account(fmt.Sprint(i)), Expected: head, Events: []eventstore.Event{deposited{Amount: 1000}}}
	}
	commits, err := store.AppendAll(t.Context(), writes...)
	require.NoError(t, err)
	end = commits[3].Position
	require.NoError(t, view.WaitFor(t.Context(), end))
	return view.Bucket(), lastBatch(t, store, view.Bucket(), 5), end
}

// lastBatch returns the sequence of the last of n messages of the bucket's last batch that has so many. Behind it may
// be the runner's heartbeats, of which the first has replaced the checkpoint in the batch.
func lastBatch(t *testing.T, store *eventstore.Store, bucket string, n int) uint64 {
	t.Helper()
	stream, err := store.JetStream().Stream(t.Context(), "KV_"+bucket)
	require.NoError(t, err)
	for last := stream.CachedInfo().State.LastSeq; ; last-- {
		msg, err := stream.GetMsg(t.Context(), last-1)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // replaced
		}
		require.NoError(t, err)
		if msg.Header.Get("Nats-Batch-Sequence") == strconv.Itoa(n-1) {
			return last
		}
	}
}

// cutView stops the server, takes off the end of the view's bucket, and starts it again.
func cutView(t *testing.T, server *eventstoretest.Server, bucket string, behind uint64) {
	t.Helper()
	server.Stop()
	require.NoError(t, blockfile.CutBehind(server.StoreDir(), "KV_"+bucket, behind))
	server.Restart()
}

// requireFolded compares the view with a fold of the log.
func requireFolded(t *testing.T, store *eventstore.Store, view *projection.View[balance]) {
	t.Helper()
	want := make(map[string]balance)
	for recorded, err := range store.All(t.Context()) {
		require.NoError(t, err)
		event, err := recorded.Decode()
		require.NoError(t, err)
		b := want[recorded.Stream.ID]
		want[recorded.Stream.ID] = balance{b.Amount + event[0].(deposited).Amount, b.Events + 1}
	}
	got := make(map[string]balance)
	for e, err := range view.List(t.Context()) {
		require.NoError(t, err)
		got[e.Key] = e.Value
	}
	require.Equal(t, want, got)
}

func TestAViewWhoseLastBatchIsTornIsBuiltAnew(t *testing.T) {
	t.Parallel()
	for _, kept := range []uint64{0, 1, 2, 4, 5} { // messages of the last batch, of five
		t.Run(fmt.Sprint(kept), func(t *testing.T) {
			server := eventstoretest.NewServer(t)
			store, _ := openOn(t, server)
			bucket, last, end := inBatches(t, store)
			cutView(t, server, bucket, last-5+kept)

			store, said := openOn(t, server)
			view := balances(t, store)
			run(t, view)
			require.NoError(t, view.WaitFor(t.Context(), end))
			requireFolded(t, store, view)
			torn := kept > 0 && kept < 5
			require.Equal(t, torn, timesTorn(t, view) == 1)
			if torn {
				require.Contains(t, said.String(), "level=WARN msg=\"projection: the view is built anew\"")
				require.Contains(t, said.String(), fmt.Sprintf("the batch at revision %d of %s is not whole", last-5+kept, bucket))
			}
		})
	}
}

// timesTorn returns how many times a View has found half of a batch. It is known even if the servers cannot be asked.
func timesTorn(t *testing.T, view *projection.View[balance]) int64 {
	t.Helper()
	status, _ := view.Status(t.Context())
	return status.Torn
}

func TestARunningViewSeesThatItsBucketIsTorn(t *testing.T) {
	server := eventstoretest.NewServer(t)
	store, _ := openOn(t, server)
	bucket, last, end := inBatches(t, store)
	view, standby := balances(t, store), balances(t, store)
	run(t, view)
	run(t, standby)
	require.NoError(t, view.WaitFor(t.Context(), end))
	require.NoError(t, standby.WaitFor(t.Context(), end))
	cutView(t, server, bucket, last-2) // and no new event comes
	require.Eventually(t, func() bool {
		at, err := view.Position(t.Context())
		return err == nil && at == end && timesTorn(t, view)+timesTorn(t, standby) > 0
	}, 20*time.Second, 5*time.Millisecond)
	requireFolded(t, store, view)

	end = deposit(t, store, "0", 1)
	require.NoError(t, view.WaitFor(t.Context(), end))
	requireFolded(t, store, view)
}

func TestATornViewDoesNotHideThatTheLogIsLost(t *testing.T) {
	server := eventstoretest.NewServer(t)
	store, _ := openOn(t, server)
	bucket, last, _ := inBatches(t, store)
	server.Stop()
	require.NoError(t, blockfile.CutBehind(server.StoreDir(), "KV_"+bucket, last-1))
	require.NoError(t, blockfile.CutBehind(server.StoreDir(), "bank", 1))
	server.Restart()
	// So that the store's high-water mark is not compared before.
	control, err := server.JetStream(t).KeyValue(t.Context(), "bank_control")
	require.NoError(t, err)
	require.NoError(t, control.Purge(t.Context(), "mark"))
	store, _ = openOn(t, server)
	require.ErrorIs(t, balances(t, store).Run(t.Context()), projection.ErrLogRewound)
}
