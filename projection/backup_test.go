package projection_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
)

// elsewhere imports an archive into a server of its own.
func elsewhere(t *testing.T, archive *bytes.Buffer) (*eventstore.Store, eventstore.Summary) {
	t.Helper()
	js := eventstoretest.JetStream(t)
	summary, err := eventstore.Import(t.Context(), js, bytes.NewReader(archive.Bytes()), nil)
	require.NoError(t, err)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store, summary
}

func exported(t *testing.T, store *eventstore.Store, buckets []string) *bytes.Buffer {
	t.Helper()
	var archive bytes.Buffer
	_, err := store.Export(t.Context(), &archive, &eventstore.ExportConfig{Buckets: buckets})
	require.NoError(t, err)
	return &archive
}

// counted counts the builds that a view begins.
func counted(builds *atomic.Int32) *projection.Config {
	return &projection.Config{Heartbeat: quick.Heartbeat, StandBy: quick.StandBy, OnBuild: func(eventstore.Progress) { builds.Add(1) }}
}

// Several exports are made while a view runs and others append. Each is imported elsewhere. There the view goes on from
// its checkpoint, and then is what a fold of the log makes.
func TestAViewThatWasExportedWhileItRanGoesOnElsewhere(t *testing.T) {
	store := open(t)
	view := sums(t, store, 1, nil)
	run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	ctx, cancel := context.WithCancel(t.Context())
	var appenders sync.WaitGroup
	for g := range 3 {
		appenders.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				stream := account(fmt.Sprintf("%d-%d", g, n%20))
				if head, err := store.Head(ctx, stream); err == nil {
					_, _ = store.Append(ctx, stream, head, deposited{Amount: int64(n)})
				}
			}
		})
	}
	var archives []*bytes.Buffer
	for range 3 {
		end, err := store.End(t.Context())
		require.NoError(t, err)
		require.NoError(t, view.WaitFor(t.Context(), end))
		archives = append(archives, exported(t, store, view.Buckets()))
	}
	cancel()
	appenders.Wait()

	for _, archive := range archives {
		restored, summary := elsewhere(t, archive)
		var builds atomic.Int32
		there := sums(t, restored, 1, counted(&builds))
		at, err := there.Position(t.Context())
		require.NoError(t, err)
		require.Positive(t, at)
		require.LessOrEqual(t, at, summary.End, "no checkpoint is ahead of the log")
		run(t, there)
		require.NoError(t, there.WaitFor(t.Context(), deposit(t, restored, "a", 5)))
		requireFolded(t, restored, there)
		require.Zero(t, builds.Load(), "it was not built anew")
	}
}

func TestAViewThatIsNotInTheBackupIsBuiltAnew(t *testing.T) {
	store := open(t)
	for i := range 100 {
		deposit(t, store, fmt.Sprint(i%7), int64(i))
	}
	restored, _ := elsewhere(t, exported(t, store, nil))
	there := sums(t, restored, 1, nil)
	run(t, there)
	require.NoError(t, there.WaitFor(t.Context(), 100))
	requireFolded(t, restored, there)
}

// Readers are led to another build between the naming of the buckets and their export.
func TestABackupWithAFlipInTheMiddleHasTheViewBuiltAnew(t *testing.T) {
	store := open(t)
	view := sums(t, store, 1, nil)
	deposit(t, store, "a", 1)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	var before []string
	require.Eventually(t, func() bool { before = view.Buckets(); return len(before) == 2 }, 10*time.Second, 5*time.Millisecond)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	require.Eventually(t, func() bool { return view.Buckets()[0] != before[0] }, 10*time.Second, 5*time.Millisecond)
	restored, _ := elsewhere(t, exported(t, store, before))
	var builds atomic.Int32
	there := sums(t, restored, 1, counted(&builds))
	run(t, there)
	require.NoError(t, there.WaitFor(t.Context(), deposit(t, restored, "a", 5)))
	requireFolded(t, restored, there)
	require.Positive(t, builds.Load())
}

// The log of an older backup beside the buckets of a newer one: what the view has folded is not in the log.
func TestAnOlderLogBesideANewerViewIsRefused(t *testing.T) {
	store := open(t)
	view := sums(t, store, 1, nil)
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	older := exported(t, store, nil)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 2)))
	stop()
	newer := exported(t, store, view.Buckets())

	js := eventstoretest.JetStream(t)
	_, err := eventstore.Import(t.Context(), js, bytes.NewReader(newer.Bytes()), nil)
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(t.Context(), "bank"))
	_, err = eventstore.Import(t.Context(), js, bytes.NewReader(older.Bytes()), nil)
	require.NoError(t, err, "the buckets are not in this archive, so they are nothing of its")
	restored, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer restored.Close()
	there := sums(t, restored, 1, nil)
	require.ErrorIs(t, there.Run(t.Context()), projection.ErrLogRewound)
}

// The archive was exported before views had records in the control bucket. The log in it is whole, and a view is built
// anew beside the old buckets.
func TestAnArchiveOfAnEarlierReleaseIsRead(t *testing.T) {
	archive, err := os.ReadFile("testdata/earlier.archive")
	require.NoError(t, err)
	js := eventstoretest.JetStream(t)
	summary, err := eventstore.Import(t.Context(), js, bytes.NewReader(archive), nil)
	require.NoError(t, err)
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Erasure: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.EqualValues(t, 18, summary.End)
	require.EqualValues(t, 2, summary.Erased)
	report, err := store.Verify(t.Context(), nil)
	require.NoError(t, err)
	require.EqualValues(t, 16, report.Commits)
	_, err = store.Load(t.Context(), account("a4"))
	require.ErrorIs(t, err, eventstore.ErrErased)

	view := sums(t, store, 1, nil)
	run(t, view)
	sum, err := view.Get(t.Context(), "a1", projection.At(summary.End))
	require.NoError(t, err)
	require.Equal(t, balance{Amount: 16, Events: 3}, sum)
	head, err := store.Head(t.Context(), account("a1"))
	require.NoError(t, err)
	c, err := store.Append(t.Context(), account("a1"), head, deposited{Amount: 4})
	require.NoError(t, err)
	sum, err = view.Get(t.Context(), "a1", projection.At(c.Position))
	require.NoError(t, err)
	require.Equal(t, balance{Amount: 20, Events: 4}, sum)
}
