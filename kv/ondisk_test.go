package kv_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/ondisk"
	"github.com/runnel-go/runnel/internal/ondisk/ondisktest"
	"github.com/runnel-go/runnel/kv"
)

// onHeldDisk returns a bucket on a server whose disk a test holds up, and the same bucket on a connection that does not
// know of the disk.
func onHeldDisk(t *testing.T) (disk *ondisktest.Server, bucket, past *kv.Bucket[string]) {
	t.Helper()
	server := eventstoretest.NewServer(t)
	disk = ondisktest.New(server)
	for _, b := range []struct {
		bucket *(*kv.Bucket[string])
		option nats.Option
	}{{&bucket, nats.InProcessServer(disk)}, {&past, nats.InProcessServer(server)}} {
		opened, err := kv.Open[string](t.Context(), server.JetStream(t, b.option), "names", nil)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, opened.Close()) })
		*b.bucket = opened
	}
	return disk, bucket, past
}

func TestWhatIsNotOnDiskIsNeitherAcknowledgedNorRead(t *testing.T) {
	disk, bucket, past := onHeldDisk(t)
	cell := beside[string](t, bucket, inside.Single())
	for name, call := range map[string]func(context.Context) error{
		"put":    func(ctx context.Context) error { _, err := bucket.Put(ctx, "mine", "Bob"); return err },
		"get":    func(ctx context.Context) error { _, err := bucket.Get(ctx, "key"); return err },
		"leader": func(ctx context.Context) error { _, err := bucket.GetLeader(ctx, "key"); return err },
		"many":   func(ctx context.Context) error { _, err := bucket.GetMany(ctx, "key", "other"); return err },
		"beside": func(ctx context.Context) error { _, err := cell.Put(ctx, "owner", "Bob"); return err },
		"batch": func(ctx context.Context) error {
			batch := bucket.Batch()
			batch.Put("one", "Ada")
			batch.Put("two", "Bob")
			_, err := batch.Commit(ctx)
			return err
		},
		"bulk": func(ctx context.Context) error {
			bulk := within(bucket).Bulk()
			if err := bulk.Put(ctx, "bulk", "Ada"); err != nil {
				return err
			}
			return bulk.Flush(ctx)
		},
		"list": func(ctx context.Context) error {
			for _, err := range bucket.List(ctx, "key") {
				return err
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := past.Put(t.Context(), "key", "Ada") // this connection does not wait for the disk
			require.NoError(t, err)
			_, release := disk.Hold()
			defer release()
			early, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			require.ErrorIs(t, call(early), context.DeadlineExceeded)
			release()
			require.NoError(t, call(t.Context()))
		})
	}
}

func TestAWatchReturnsWhatIsOnDisk(t *testing.T) {
	disk, bucket, past := onHeldDisk(t)
	_, err := past.Put(t.Context(), "key", "Ada")
	require.NoError(t, err)
	reached, release := disk.Hold()
	changes := make(chan string)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for change, err := range bucket.Watch(ctx) {
			if err != nil || change.Synced {
				return
			}
			changes <- change.Value
		}
	}()
	<-reached
	select {
	case value := <-changes:
		t.Errorf("%s is not on disk", value)
	case <-time.After(20 * time.Millisecond):
	}
	release()
	require.Equal(t, "Ada", <-changes)
	cancel()
	<-ended
}

func TestAfterAFailedSyncNothingIsWritten(t *testing.T) {
	disk, bucket, past := onHeldDisk(t)
	revision, err := bucket.Put(t.Context(), "key", "Ada")
	require.NoError(t, err)
	disk.Break(fmt.Errorf("%w: input/output error", ondisk.ErrFailed))
	_, err = bucket.Put(t.Context(), "key", "Bob")
	require.ErrorIs(t, err, kv.ErrUnknownOutcome)
	disk.Break(nil)
	_, err = bucket.Put(t.Context(), "key", "Cleo")
	require.ErrorIs(t, err, kv.ErrUnavailable)
	require.ErrorIs(t, err, ondisk.ErrFailed)
	_, err = bucket.Get(t.Context(), "key")
	require.ErrorIs(t, err, kv.ErrUnavailable)
	for _, err := range bucket.Watch(t.Context()) {
		require.ErrorIs(t, err, kv.ErrUnavailable)
	}
	entry, err := past.GetLeader(t.Context(), "key")
	require.NoError(t, err)
	require.Equal(t, revision+1, entry.Revision, "nothing was sent any more")
}
