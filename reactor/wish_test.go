package reactor_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/reactor"
)

func refuses13(e deposited, _ eventstore.Recorded) error {
	if e.Amount == 13 {
		return reactor.Permanent(errors.New("unlucky"))
	}
	return nil
}

func nothingParked(t *testing.T, mails *reactor.Reactor) {
	t.Helper()
	eventually(t, func() bool { status, err := mails.Status(t.Context()); return err == nil && status.Parked == 0 }, "nothing is parked")
}

// A wish moves the document it is written into, perhaps behind what the runner that starts has read.
func TestWishesAreSeenWhileARunnerStarts(t *testing.T) {
	store, j := open(t), newJournal()
	mails := newReactor(t, store, quick(), j.reaction())
	const streams = 15
	for round := range 2 {
		j.failWith(refuses13)
		stop := react(t, mails)
		var last eventstore.Position
		for id := range streams {
			last = deposit(t, store, fmt.Sprint(id), 13, 1)
		}
		require.Equal(t, streams, settled(t, mails, last).Parked)
		stop()
		j.failWith(nil)
		var wishes sync.WaitGroup
		wishes.Go(func() {
			if n, err := mails.ReplayAllParked(t.Context()); err != nil || n != streams {
				t.Errorf("%d streams are to be replayed: %v", n, err)
			}
		})
		stop = react(t, mails)
		wishes.Wait()
		nothingParked(t, mails)
		stop()
		for id := range streams {
			require.Equal(t, upTo(2*(round+1)), j.of(fmt.Sprint(id)))
		}
	}
}

// An event that is appended while a stream is read again is neither left out nor handled twice.
func TestAReplayMeetsWhatIsAppended(t *testing.T) {
	store, j := open(t), newJournal()
	j.failWith(refuses13)
	mails := newReactor(t, store, quick(), j.reaction())
	react(t, mails)
	const streams, more = 10, 40
	heads := make([]eventstore.Head, streams)
	var last eventstore.Position
	for id := range streams {
		c, err := store.Append(t.Context(), account(fmt.Sprint(id)), eventstore.Head{}, deposited{Amount: 13})
		require.NoError(t, err)
		heads[id], last = c.Head(), c.Position
	}
	require.Equal(t, streams, settled(t, mails, last).Parked)
	j.failWith(nil)
	for n := range more {
		for id := range streams {
			c, err := store.Append(t.Context(), account(fmt.Sprint(id)), heads[id], deposited{})
			require.NoError(t, err)
			heads[id], last = c.Head(), c.Position
			if n == 3*id {
				require.NoError(t, mails.ReplayParked(t.Context(), account(fmt.Sprint(id))))
			}
		}
	}
	settled(t, mails, last)
	nothingParked(t, mails)
	for id := range streams {
		require.Equal(t, upTo(more+1), j.of(fmt.Sprint(id)))
	}
}

func TestWhatWaitsIsCountedOnce(t *testing.T) {
	store, j := open(t), newJournal()
	hold := errors.New("not now")
	j.failWith(func(e deposited, r eventstore.Recorded) error {
		if e.Amount == 99 {
			return hold
		}
		return refuses13(e, r)
	})
	cfg := quick()
	cfg.Retries = 1_000_000
	mails := newReactor(t, store, cfg, j.reaction())
	stop := react(t, mails)
	deposit(t, store, "slow", 99) // the checkpoint stays before what follows, so that is read again
	deposit(t, store, "a", 13)
	waiting := func() int {
		parked, err := mails.ShowParked(t.Context(), account("a"))
		if err != nil {
			return 0
		}
		return parked.Waiting
	}
	eventually(t, func() bool { return waiting() == 1 }, "parked")
	for n := range 3 {
		deposit(t, store, "a", 1, 1)
		eventually(t, func() bool { return waiting() == 3+2*n }, "counted")
		stop()
		stop = react(t, mails)
		deposit(t, store, "b", 1)
		eventually(t, func() bool { return len(j.of("b")) > n }, "read again")
		require.Equal(t, 3+2*n, waiting())
	}
	stop()
}

// A power cut can take the end of the bucket while the runner lives.
func TestABucketThatWentBackwardsIsBegunFromAgain(t *testing.T) {
	server := eventstoretest.NewServer(t)
	store, j := storeOn(t, server), newJournal()
	j.failWith(refuses13)
	mails := newReactor(t, store, quick(), j.reaction())
	stop := react(t, mails)
	settled(t, mails, deposit(t, store, "a", 1))
	stop()
	bucket := bucketDir(t, server.StoreDir(), "KV_"+mails.Bucket())
	earlier := filepath.Join(t.TempDir(), "earlier")
	server.Stop()
	require.NoError(t, os.CopyFS(earlier, os.DirFS(bucket)))
	server.Restart()
	parked := func() bool {
		_, err := mails.ShowParked(t.Context(), account("a"))
		return err == nil
	}
	eventually(t, func() bool { return store.JetStream().Conn().IsConnected() }, "connected")
	react(t, mails)
	last := deposit(t, store, "a", 13)
	settled(t, mails, last)
	require.True(t, parked())

	server.Stop()
	require.NoError(t, os.RemoveAll(bucket))
	require.NoError(t, os.CopyFS(bucket, os.DirFS(earlier)))
	server.Restart()
	settled(t, mails, last)
	require.True(t, parked(), "it is parked again")
}

// bucketDir finds the directory of a JetStream stream.
func bucketDir(t *testing.T, root, stream string) (dir string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && entry.Name() == stream {
			dir = path
		}
		return err
	}))
	require.NotEmpty(t, dir)
	return dir
}
