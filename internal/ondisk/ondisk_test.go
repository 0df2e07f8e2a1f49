package ondisk_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/runnel-go/runnel/internal/ondisk"
	"github.com/runnel-go/runnel/internal/ondisk/ondisktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhoComesDuringASyncWaitsForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := ondisktest.New(nil)
		disk := server.Disk()
		_, release := server.Hold()
		var done atomic.Int32
		var waiting sync.WaitGroup
		wait := func() { waiting.Go(func() { require.NoError(t, disk.Sync(t.Context())); done.Add(1) }) }
		wait()
		synctest.Wait()
		require.Equal(t, 1, server.Flushes())

		_, releaseNext := server.Hold() // of the syncs that begin from now on
		for range 20 {
			wait()
		}
		synctest.Wait()
		release()
		synctest.Wait()
		require.EqualValues(t, 1, done.Load(), "the first sync is no use to those who came while it ran")
		require.Equal(t, 2, server.Flushes())

		releaseNext()
		waiting.Wait()
		require.EqualValues(t, 21, done.Load())
		require.Equal(t, 2, server.Flushes(), "one sync for all twenty")
	})
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	server := ondisktest.New(nil)
	reached, release := server.Hold()
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	go func() { <-reached; cancel(why) }()
	require.ErrorIs(t, server.Disk().Sync(ctx), why)
	release()
	require.NoError(t, server.Disk().Close())
}

func TestNothingIsSyncedAfterASyncHasFailed(t *testing.T) {
	server := ondisktest.New(nil)
	disk := server.Disk()
	require.NoError(t, disk.Sync(t.Context()))
	require.NoError(t, disk.Failed())
	broken := fmt.Errorf("%w: input/output error", ondisk.ErrFailed)
	server.Break(broken)
	require.ErrorIs(t, disk.Sync(t.Context()), broken)
	server.Break(nil) // the kernel reports it once
	require.ErrorIs(t, disk.Sync(t.Context()), broken)
	require.ErrorIs(t, disk.Failed(), broken)
	require.ErrorIs(t, disk.Close(), broken)
	require.Equal(t, 2, server.Flushes())
}

func TestAClosedDiskIsNotSynced(t *testing.T) {
	server := ondisktest.New(nil)
	require.NoError(t, server.Disk().Close())
	require.Error(t, server.Disk().Sync(t.Context()))
	require.Equal(t, 1, server.Flushes())
}

// Data that a goroutine wrote before it waits is on disk afterwards, whatever the others do meanwhile.
func TestEverythingWrittenBeforeAWaitIsOnDiskAfterIt(t *testing.T) {
	var written, synced atomic.Int64
	disk := ondisk.New(func() error {
		now := written.Load()
		for range rand.IntN(2000) {
			_ = written.Load() // as long as a disk may take
		}
		synced.Store(now)
		return nil
	})
	var writers sync.WaitGroup
	for range 16 {
		writers.Go(func() {
			for range 300 {
				mine := written.Add(1)
				if err := disk.Sync(t.Context()); err != nil || synced.Load() < mine {
					t.Errorf("write %d is not on disk, %d are: %v", mine, synced.Load(), err)
					return
				}
			}
		})
	}
	writers.Wait()
	require.NoError(t, disk.Close())
}

func connection(provider nats.InProcessConnProvider) *nats.Conn {
	return &nats.Conn{Opts: nats.Options{InProcessServer: provider}}
}

func TestReadsOfWhatIsOnDiskWaitForNothing(t *testing.T) {
	server := ondisktest.New(nil)
	one, other := ondisk.Of(connection(server), "bank"), ondisk.Of(connection(server), "bank")
	require.NoError(t, one.Opened(t.Context(), 10))
	require.Equal(t, 1, server.Flushes())
	require.NoError(t, other.Wait(t.Context(), 10))
	require.Equal(t, 1, server.Flushes(), "what one knows all know")
	require.NoError(t, other.Wait(t.Context(), 11))
	require.NoError(t, one.Stored(t.Context(), 12))
	require.NoError(t, other.Wait(t.Context(), 12))
	require.Equal(t, 3, server.Flushes())
	require.NoError(t, ondisk.Of(connection(server), "bank2").Wait(t.Context(), 1))
	require.Equal(t, 4, server.Flushes(), "each stream has sequences of its own")
}

func TestAStreamThatWasMadeAnewIsOnDiskNowhere(t *testing.T) {
	server := ondisktest.New(nil)
	stream := ondisk.Of(connection(server), "bank")
	require.NoError(t, stream.Stored(t.Context(), 12))
	require.NoError(t, stream.Opened(t.Context(), 3))
	require.NoError(t, stream.Wait(t.Context(), 3))
	require.Equal(t, 2, server.Flushes())
	require.NoError(t, stream.Wait(t.Context(), 4))
	require.Equal(t, 3, server.Flushes())
}

func TestNothingWaitsForAnyOtherServer(t *testing.T) {
	stream := ondisk.Of(connection(nil), "bank")
	require.Nil(t, stream)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, stream.Opened(ctx, 1))
	require.NoError(t, stream.Stored(ctx, 2))
	require.NoError(t, stream.Wait(ctx, 3))
	require.NoError(t, stream.Sync(ctx))
	require.NoError(t, stream.Failed())
}
