package natsrun

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
)

// testDisk counts how often it is synced, and does it as a test wants.
type testDisk struct {
	synced atomic.Int32
	closed atomic.Bool
	err    atomic.Pointer[error]
}

func (d *testDisk) sync() error {
	d.synced.Add(1)
	if err := d.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (d *testDisk) close() error {
	d.closed.Store(true)
	return nil
}

func (d *testDisk) open(string) (fileSystem, error) { return d, nil }

func noDisk(string) (fileSystem, error) { return nil, errors.New("the folder is in a cloud") }

type deposited struct{ Amount int64 }

func (deposited) EventType() string { return "account.deposited" }

func openStore(t *testing.T, rt *Runtime) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), rt.Commands(), "bank", []eventstore.Event{deposited{}}, &eventstore.Config{Reads: rt.Reads()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

var account = eventstore.StreamID{Category: "account", ID: "42"}

func TestGroupSyncIsTheDefaultWhereItCanBeHad(t *testing.T) {
	held := &testDisk{}
	var begun, ended atomic.Int32
	trace := &Trace{Sync: func() func(error) {
		begun.Add(1)
		return func(err error) {
			if err != nil {
				t.Error(err)
			}
			ended.Add(1)
		}
	}}
	rt, err := Open(t.Context(), &Config{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), Trace: trace, openDisk: held.open})
	require.NoError(t, err)
	require.Equal(t, SyncGroup, rt.Durability(0).Sync)
	require.False(t, rt.embedded.server.JetStreamConfig().SyncAlways)

	// A store needs not be told.
	store := openStore(t, rt)
	before := held.synced.Load()
	commit, err := store.Append(t.Context(), account, eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	require.Equal(t, before+1, held.synced.Load())
	_, err = store.Append(t.Context(), account, commit.Head(), deposited{2})
	require.NoError(t, err)
	_, err = store.Load(t.Context(), account)
	require.NoError(t, err)
	require.Equal(t, before+2, held.synced.Load(), "what is on disk is read without a sync")

	require.NoError(t, rt.Sync(t.Context()))
	require.NoError(t, store.Close())
	last := held.synced.Load()
	require.NoError(t, rt.Close(t.Context()))
	require.Greater(t, held.synced.Load(), last, "what was published past the store is synced at the end")
	require.True(t, held.closed.Load())
	require.Equal(t, held.synced.Load(), begun.Load())
	require.Equal(t, begun.Load(), ended.Load())
}

func TestWhereGroupSyncCannotBeHadTheServerSyncsAlways(t *testing.T) {
	var out bytes.Buffer
	rt, err := Open(t.Context(), &Config{DataDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(&out, nil)), openDisk: noDisk})
	require.NoError(t, err)
	require.Equal(t, SyncAlways, rt.Durability(0).Sync)
	require.True(t, rt.embedded.server.JetStreamConfig().SyncAlways)
	require.NoError(t, rt.Sync(t.Context()))
	require.NoError(t, rt.Close(t.Context()))
	require.Contains(t, out.String(), "the folder is in a cloud")
}

func TestGroupSyncIsRefusedWhereItCannotBeHad(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(t.Context(), &Config{DataDir: dir, Sync: SyncGroup, Logger: slog.New(slog.DiscardHandler), openDisk: noDisk})
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, `Config.Sync is "group": want SyncAlways or SyncNone here, because the folder is in a cloud`)
	rt, err := Open(t.Context(), &Config{DataDir: dir, Sync: SyncNone, Logger: slog.New(slog.DiscardHandler), openDisk: noDisk})
	require.NoError(t, err, "the data directory was given up")
	require.ErrorIs(t, rt.Sync(t.Context()), errors.ErrUnsupported)
	require.NoError(t, rt.Close(t.Context()))
}

func TestAFailedSyncStopsTheStoreForGood(t *testing.T) {
	held := &testDisk{}
	rt, err := Open(t.Context(), &Config{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler), openDisk: held.open})
	require.NoError(t, err)
	store := openStore(t, rt)
	commit, err := store.Append(t.Context(), account, eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	require.True(t, rt.Health().Ready())

	broken := error(syscall.EIO)
	held.err.Store(&broken)
	_, err = store.Append(t.Context(), account, commit.Head(), deposited{2})
	require.ErrorIs(t, err, eventstore.ErrUnknownOutcome)
	require.ErrorIs(t, err, ErrSync)
	require.ErrorIs(t, err, syscall.EIO)
	require.False(t, rt.Health().Ready())
	require.False(t, rt.Health().JetStream)

	held.err.Store(nil)
	_, err = store.Append(t.Context(), account, commit.Head(), deposited{2})
	require.ErrorIs(t, err, eventstore.ErrDisk)
	require.ErrorIs(t, rt.Sync(t.Context()), ErrSync)
	require.NoError(t, store.Close())
	require.ErrorIs(t, rt.Close(context.WithoutCancel(t.Context())), ErrSync)
}

func TestTheDiskOfATemporaryFolderIsSyncedOrRefused(t *testing.T) {
	held, err := openDisk(t.TempDir())
	if err != nil {
		t.Logf("no group sync here: %v", err)
		return
	}
	require.NoError(t, held.sync())
	require.NoError(t, held.close())
	require.Error(t, held.sync())
}

func TestADiskIsNotFoundWhereThereIsNoFolder(t *testing.T) {
	_, err := openDisk(t.TempDir() + "/none")
	require.Error(t, err)
}
