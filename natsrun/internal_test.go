package natsrun

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/ondisk"
)

func TestStoreLimit(t *testing.T) {
	const free = 1000
	known := func(string) (int64, bool) { return free, true }
	for _, tt := range []struct {
		name      string
		want      int64
		stored    int
		freeSpace func(string) (int64, bool)
		limit     int64
	}{
		{"is what the caller wants", 77, 500, known, 77},
		{"is 90 % of the free space when nothing is stored", 0, 0, known, 900},
		{"counts what is stored, which the server counts as well", 0, 500, known, 1400},
		{"is never 0 on a full disk, as 0 would mean no limit", 0, 0, func(string) (int64, bool) { return 0, true }, 1},
		{"is the server's own when the free space is not known", 0, 500, func(string) (int64, bool) { return 0, false }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := &dataDir{path: t.TempDir()}
			inner := filepath.Join(dir.path, "jetstream", "streams")
			require.NoError(t, os.MkdirAll(inner, 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(inner, "1.blk"), make([]byte, tt.stored), 0o600))
			limit, err := dir.storeLimit(tt.want, tt.freeSpace)
			require.NoError(t, err)
			require.Equal(t, tt.limit, limit)
		})
	}
}

func TestEmbeddedServerGetsTheLimitOfTheFreeSpace(t *testing.T) {
	cfg := &Config{Logger: slog.New(slog.DiscardHandler), DataDir: t.TempDir(), freeSpace: func(string) (int64, bool) { return 10_000_000, true }}
	rt, err := Open(t.Context(), cfg)
	require.NoError(t, err)
	defer func() { require.NoError(t, rt.Close(t.Context())) }()
	limit := rt.embedded.server.JetStreamConfig().MaxStore
	require.InDelta(t, 9_000_000, limit, 100) // the lock file is in the directory
}

func TestEmbeddedServerListensNowhere(t *testing.T) {
	rt, err := Open(t.Context(), &Config{Logger: slog.New(slog.DiscardHandler), DataDir: t.TempDir()})
	require.NoError(t, err)
	defer func() { require.NoError(t, rt.Close(t.Context())) }()
	srv := rt.embedded.server
	require.Nil(t, srv.Addr())
	require.Nil(t, srv.MonitorAddr())
	require.Nil(t, srv.ClusterAddr())
	require.Nil(t, srv.ProfilerAddr())
}

func TestEmbeddedServerSyncsAsItIsTold(t *testing.T) {
	for sync, always := range map[SyncMode]bool{SyncAlways: true, SyncNone: false} {
		rt, err := Open(t.Context(), &Config{Logger: slog.New(slog.DiscardHandler), DataDir: t.TempDir(), Sync: sync})
		require.NoError(t, err)
		require.Equal(t, always, rt.embedded.server.JetStreamConfig().SyncAlways)
		require.NoError(t, rt.Close(t.Context()))
	}
}

func TestFreeSpaceOfARealDirectory(t *testing.T) {
	free, known := freeSpace(t.TempDir())
	if known {
		require.Positive(t, free)
	}
	_, known = freeSpace(filepath.Join(t.TempDir(), "missing"))
	require.False(t, known)
}

func TestRedactURL(t *testing.T) {
	for url, want := range map[string]string{
		"nats://host:4222":                    "nats://host:4222",
		"host":                                "nats://host",
		"nats://ada:pw@host":                  "nats://xxxxx@host",
		"token@host":                          "nats://xxxxx@host",
		"nats://a:b@h1:1,tls://c:d@h2":        "nats://xxxxx@h1:1,tls://xxxxx@h2",
		"nats://h1,nats://a:b@h2":             "nats://xxxxx@h2",
		"nats://a:1,2@host":                   "nats://xxxxx@host",
		"ws://ada:1/secret@host":              "ws://xxxxx@host",
		"a:b://c@host":                        "xxxxx@host",
		"nats://[::1]:4222":                   "nats://[::1]:4222",
		"wss://ada:pw@host/path?token=hidden": "wss://xxxxx@host",
	} {
		require.Equal(t, want, redactURL(url), url)
	}
}

func FuzzRedactURL(f *testing.F) {
	for _, secret := range []string{"pw", "p@w", "p,w", "1/w", "1?w", "1#w", "%zz", "://", "1,nats://x", "\x00", "ws://"} {
		f.Add(secret)
	}
	f.Fuzz(func(t *testing.T, secret string) {
		const bare = "nats://xxxxx@host:4222"
		if strings.Contains(bare, secret) || strings.Contains(secret, "@") && strings.Contains(secret, ",") {
			return // seen by chance, or the text of two servers
		}
		for _, scheme := range []string{"nats://", ""} {
			require.NotContains(t, redactURL(scheme+"ada:"+secret+"@host:4222"), secret)
		}
	})
}

func TestServerLogKeepsWhyTheServerGaveUp(t *testing.T) {
	var out strings.Builder
	log := &serverLog{logger: slog.New(slog.NewJSONHandler(&out, nil))}
	require.NoError(t, log.failure())
	log.Noticef("notice %d", 1)
	log.Warnf("warning %d", 2)
	log.Fatalf("cannot %s", "go on")
	require.EqualError(t, log.failure(), "cannot go on")
	require.NotContains(t, out.String(), "notice")
	require.Contains(t, out.String(), "warning 2")
}

func TestWorseState(t *testing.T) {
	states := []ConnState{Connected, Reconnecting, Closed}
	for i, a := range states {
		for j, b := range states {
			require.Equal(t, states[max(i, j)], worse(a, b))
		}
	}
}

func TestErrorsMatchTheirSentinelsAndCausesAndSayWhatToDo(t *testing.T) {
	cause := errors.New("cause")
	for text, err := range map[string]error{
		"natsrun: data directory is in use: process 7 holds /data: stop that process, or choose another directory": inUse("/data", 7),
		"natsrun: data directory is in use: another process holds /data: stop that process, or choose another directory": inUse(
			"/data", 0),
		"natsrun: did not end in time: still running after 1.5s: reads, commands": unfinished(1500*time.Millisecond, "reads", "commands"),
		`natsrun: invalid configuration: Config.MaxStore is "-1": want more`:      wrongField("MaxStore", -1, "more"),
	} {
		require.EqualError(t, err, text)
	}
	require.ErrorIs(t, inUse("/data", 7), ErrDataDirInUse)
	require.ErrorIs(t, unfinished(time.Second, "reads"), ErrUnfinished)
	require.ErrorIs(t, wrongField("MaxStore", -1, "more"), ErrConfig)
	require.ErrorIs(t, shutdownCause(cause), ErrShutdown)
	for _, target := range []error{ErrSync, ondisk.ErrFailed, cause} {
		require.ErrorIs(t, syncFailed("/data", cause), target)
	}
	for _, err := range []error{shutdownCause(cause), unusable("/data", cause), notStarted(&Config{DataDir: "/data"}, cause)} {
		require.ErrorIs(t, err, cause)
	}
}

// Somebody deletes the lock file under the process that holds it.
func TestADataDirectoryStaysLockedWithoutItsLockFile(t *testing.T) {
	dir := t.TempDir()
	held, err := lockDataDir(dir)
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(dir, "LOCK")))
	_, err = lockDataDir(dir)
	require.ErrorIs(t, err, ErrDataDirInUse)
	require.NoError(t, held.close())
	held, err = lockDataDir(dir)
	require.NoError(t, err)
	require.NoError(t, held.close())
}
