package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/ondisk"
	"github.com/runnel-go/runnel/internal/ondisk/ondisktest"
)

// dialer makes connections of a provider go through a proxy.
type dialer struct{ proxy *eventstoretest.Proxy }

func (d dialer) InProcessConn() (net.Conn, error) {
	return net.Dial("tcp", strings.TrimPrefix(d.proxy.URL(), "nats://"))
}

// watchedDisk is a disk that knows up to where the log is on it.
type watchedDisk struct {
	dialer
	disk   *ondisk.Disk
	synced atomic.Uint64
}

func (w *watchedDisk) Disk() *ondisk.Disk { return w.disk }

// watch returns a server whose disk takes a moment, behind a proxy.
func watch(t *testing.T) (*watchedDisk, *eventstoretest.Server) {
	server := eventstoretest.NewServer(t)
	past := server.JetStream(t)
	w := &watchedDisk{dialer: dialer{server.Proxy(t)}}
	w.disk = ondisk.New(func() error {
		stream, err := past.Stream(t.Context(), "bank")
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		<-time.After(time.Duration(rand.IntN(3000)) * time.Microsecond)
		w.synced.Store(stream.CachedInfo().State.LastSeq)
		return nil
	})
	return w, server
}

func (w *watchedDisk) open(t *testing.T, server *eventstoretest.Server) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), server.JetStream(t, nats.InProcessServer(w)), "bank", []eventstore.Event{numbered{}},
		&eventstore.Config{AckTimeout: 100 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// crowd is a number of writers and readers that run side by side. Whatever one of them is given must be on disk by
// then.
type crowd struct {
	t       *testing.T
	disk    *watchedDisk
	stop    func()
	members sync.WaitGroup
	given   atomic.Int64
}

// member returns the position of something that a store returns, or 0. It is called again and again.
type member func(ctx context.Context, store *eventstore.Store, stream eventstore.StreamID) (eventstore.Position, error)

// join makes a member ask one of the stores.
func (c *crowd) join(ctx context.Context, what string, store *eventstore.Store, ask member) {
	c.members.Go(func() {
		for ctx.Err() == nil {
			position, err := ask(ctx, store, account(fmt.Sprint(rand.IntN(3))))
			c.check(ctx, what, position, err)
		}
	})
}

func (c *crowd) check(ctx context.Context, what string, position eventstore.Position, err error) {
	switch synced := c.disk.synced.Load(); {
	case ctx.Err() != nil:
	case err != nil:
		c.t.Errorf("%s: %v", what, err)
		c.stop()
	case uint64(position) > synced:
		c.t.Errorf("%s gives position %d, the disk ends at %d", what, position, synced)
		c.stop()
	default:
		c.given.Add(1)
	}
}

// follow reads the log live.
func (c *crowd) follow(ctx context.Context, store *eventstore.Store) {
	c.members.Go(func() {
		for commit, err := range store.Log(ctx, eventstore.Live()) {
			if err != nil {
				c.check(ctx, "log", 0, err)
				return
			}
			c.check(ctx, "log", commit.Position, nil)
		}
	})
}

func (c *crowd) write(ctx context.Context, store *eventstore.Store, streams ...eventstore.StreamID) (eventstore.Position, error) {
	var writes []eventstore.Write
	for _, stream := range streams {
		head, err := store.Head(ctx, stream)
		if err != nil {
			return 0, err
		}
		writes = append(writes, eventstore.Write{Stream: stream, Expected: head, Events: []eventstore.Event{numbered{1}}})
	}
	commits, err := store.AppendAll(ctx, writes...)
	if errors.Is(err, eventstore.ErrConflict) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return commits[len(commits)-1].Position, nil
}

func (c *crowd) append(ctx context.Context, store *eventstore.Store, stream eventstore.StreamID) (eventstore.Position, error) {
	return c.write(ctx, store, stream)
}

func (c *crowd) transact(ctx context.Context, store *eventstore.Store, _ eventstore.StreamID) (eventstore.Position, error) {
	return c.write(ctx, store, account("0"), account("1"), account("2"))
}

// load returns the end of the newest commit's transaction, since it counts only as a whole.
func (c *crowd) load(ctx context.Context, store *eventstore.Store, stream eventstore.StreamID) (eventstore.Position, error) {
	history, err := store.Load(ctx, stream, eventstore.Leader())
	if err != nil || len(history.Commits) == 0 {
		return 0, err
	}
	newest := history.Commits[len(history.Commits)-1]
	if tx := newest.Transaction; tx != nil {
		return newest.Position + eventstore.Position(tx.Count-1-tx.Index), nil
	}
	return newest.Position, nil
}

func (c *crowd) backwards(ctx context.Context, store *eventstore.Store, stream eventstore.StreamID) (eventstore.Position, error) {
	for recorded, err := range store.Stream(ctx, stream, eventstore.Backwards()) {
		if err != nil {
			return 0, err
		}
		return recorded.Position, nil
	}
	return 0, nil
}

func (c *crowd) end(ctx context.Context, store *eventstore.Store, _ eventstore.StreamID) (eventstore.Position, error) {
	return store.End(ctx)
}

// newest reads the newest commit. It asks for the end of the log past the store, because the store would have waited.
func (c *crowd) newest(ctx context.Context, store *eventstore.Store, _ eventstore.StreamID) (eventstore.Position, error) {
	stream, err := store.JetStream().Stream(ctx, "bank")
	if err != nil {
		return 0, err
	}
	commit, err := store.At(ctx, eventstore.Position(stream.CachedInfo().State.LastSeq))
	if commit == nil || err != nil {
		return 0, err
	}
	return commit.Position, nil
}

// Some acknowledgements are lost, and each of two stores reads what the other writes.
func TestNothingThatAStoreGivesIsAheadOfTheDisk(t *testing.T) {
	disk, server := watch(t)
	stores := []*eventstore.Store{disk.open(t, server), disk.open(t, server)}
	_, err := stores[0].Append(t.Context(), account("0"), eventstore.Head{}, numbered{0})
	require.NoError(t, err)
	disk.proxy.DropAcksWhere(func() bool { return rand.IntN(50) == 0 })

	running, stop := context.WithCancel(t.Context())
	defer stop()
	begun := time.Now()
	c := &crowd{t: t, disk: disk, stop: stop}
	for _, store := range stores {
		for what, ask := range map[string]member{
			"append": c.append, "transaction": c.transact, "load": c.load, "backwards": c.backwards, "end": c.end, "position": c.newest,
		} {
			c.join(running, what, store, ask)
		}
		c.follow(running, store)
	}
	require.Eventually(t, func() bool { // for a second, or as long as a slow machine takes for some answers
		return running.Err() != nil || time.Since(begun) > time.Second && c.given.Load() > 100
	}, time.Minute, 10*time.Millisecond)
	stop()
	c.members.Wait()
	t.Logf("%d answers, the log ends at %d", c.given.Load(), disk.synced.Load())
	disk.proxy.DropAcksWhere(nil)
}

// lazy returns a server whose disk a test holds up, and a JetStream context on it.
func lazy(t *testing.T) (*ondisktest.Server, jetstream.JetStream) {
	server := eventstoretest.NewServer(t)
	disk := ondisktest.New(server)
	return disk, server.JetStream(t, nats.InProcessServer(disk))
}

func openLazily(t *testing.T, js jetstream.JetStream, cfg *eventstore.Config) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", events, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func TestAnAppendThatTheDiskDoesNotTakeInTimeIsUnknownAndItsOutcomeIsFoundLater(t *testing.T) {
	disk, js := lazy(t)
	store := openLazily(t, js, &eventstore.Config{AppendTimeout: 50 * time.Millisecond})
	_, release := disk.Hold()
	_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, opened{"Ada"})
	unknown, ok := errors.AsType[*eventstore.AppendError](err)
	require.True(t, ok, "%v", err)
	require.ErrorIs(t, err, eventstore.ErrUnknownOutcome)

	early, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = store.Outcome(early, unknown.Stream, unknown.Version, unknown.CommitID)
	require.ErrorIs(t, err, context.DeadlineExceeded, "a power cut may yet take it away")

	release()
	commit, err := store.Outcome(t.Context(), unknown.Stream, unknown.Version, unknown.CommitID)
	require.NoError(t, err)
	require.Equal(t, unknown.CommitID, commit.ID)
}

func TestAfterAFailedSyncNothingIsAppendedAndOnlyWhatIsOnDiskIsRead(t *testing.T) {
	disk, js := lazy(t)
	store := openLazily(t, js, nil)
	first, err := store.Append(t.Context(), account("1"), eventstore.Head{}, opened{"Ada"})
	require.NoError(t, err)
	disk.Break(fmt.Errorf("%w: input/output error", ondisk.ErrFailed))
	_, err = store.Append(t.Context(), account("2"), eventstore.Head{}, opened{"Bob"})
	require.ErrorIs(t, err, eventstore.ErrUnknownOutcome)
	require.ErrorIs(t, err, eventstore.ErrDisk)
	disk.Break(nil)

	end, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	require.EqualValues(t, 2, end.CachedInfo().State.LastSeq)
	_, err = store.Append(t.Context(), account("1"), first.Head(), deposited{1})
	refused, ok := errors.AsType[*eventstore.AppendError](err)
	require.True(t, ok, "%v", err)
	require.ErrorIs(t, refused, eventstore.ErrDisk)
	end, err = js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	require.EqualValues(t, 2, end.CachedInfo().State.LastSeq, "nothing was sent")

	history, err := store.Load(t.Context(), account("1"))
	require.NoError(t, err)
	require.Equal(t, first.ID, history.Commits[0].ID)
	_, err = store.Load(t.Context(), account("2"))
	require.ErrorIs(t, err, eventstore.ErrDisk)
	_, err = store.Outcome(t.Context(), account("2"), 1, uuid.New())
	require.ErrorIs(t, err, eventstore.ErrDisk)
	var read []eventstore.Position
	for c, err := range store.Log(t.Context(), eventstore.Live()) {
		if err != nil {
			require.ErrorIs(t, err, eventstore.ErrDisk)
			break
		}
		read = append(read, c.Position)
	}
	require.Equal(t, []eventstore.Position{1}, read)
}

func TestTheMarkIsNotAheadOfTheDisk(t *testing.T) {
	disk, js := lazy(t)
	writer := openLazily(t, js, &eventstore.Config{AppendTimeout: 20 * time.Millisecond})
	_, release := disk.Hold()
	defer release()
	_, err := writer.Append(t.Context(), account("1"), eventstore.Head{}, opened{"Ada"})
	require.ErrorIs(t, err, eventstore.ErrUnknownOutcome)
	early, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = writer.Load(early, account("1")) // it has seen the commit
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, writer.Close())
	bucket, err := js.KeyValue(t.Context(), "bank_control")
	require.NoError(t, err)
	_, err = bucket.Get(t.Context(), "mark")
	require.ErrorIs(t, err, jetstream.ErrKeyNotFound)
}

func TestWhatAProcessBeforeLeftUnsyncedIsSyncedByOpen(t *testing.T) {
	server := eventstoretest.NewServer(t)
	before := openLazily(t, server.JetStream(t), nil)
	for i := range 3 {
		_, err := before.Append(t.Context(), account(fmt.Sprint(i)), eventstore.Head{}, opened{"Ada"})
		require.NoError(t, err)
	}
	disk := ondisktest.New(server)
	store := openLazily(t, server.JetStream(t, nats.InProcessServer(disk)), nil)
	require.Equal(t, 1, disk.Flushes())
	for i := range 3 {
		_, err := store.Load(t.Context(), account(fmt.Sprint(i)))
		require.NoError(t, err)
	}
	require.Equal(t, 1, disk.Flushes())
}

func TestATransactionIsReadWhenAllOfItIsOnDisk(t *testing.T) {
	server := eventstoretest.NewServer(t)
	disk := ondisktest.New(server)
	store := openLazily(t, server.JetStream(t, nats.InProcessServer(disk)), nil)
	past := openLazily(t, server.JetStream(t), nil)
	_, err := past.AppendAll(t.Context(),
		eventstore.Write{Stream: account("1"), Events: []eventstore.Event{opened{"Ada"}}},
		eventstore.Write{Stream: account("2"), Events: []eventstore.Event{opened{"Bob"}}})
	require.NoError(t, err)
	_, err = store.At(t.Context(), 1) // is on disk now, and nobody has said so of the other
	require.NoError(t, err)
	_, release := disk.Hold()
	early, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = store.Load(early, account("1"))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	release()
	history, err := store.Load(t.Context(), account("1"))
	require.NoError(t, err)
	require.Len(t, history.Commits, 1)
}
