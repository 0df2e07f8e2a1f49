package eventstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// BenchmarkBackup exports a store of ten commits a stream into a file, and imports it into a server that syncs at the
// server's default, and into one that syncs before each acknowledgement. RUNNEL_BENCH_STREAMS=100000 makes it a
// million.
func BenchmarkBackup(b *testing.B) {
	store, _ := openBench(b)
	fill(b, store, streams())
	name := filepath.Join(b.TempDir(), "archive")
	rate := func(b *testing.B, s eventstore.Summary, err error) {
		b.Helper()
		require.NoError(b, err)
		require.Equal(b, int64(10*streams()), s.Commits)
		b.ReportMetric(float64(s.Commits)/s.Elapsed.Seconds(), "commits/s")
		b.ReportMetric(float64(s.Bytes)/float64(s.Commits), "B/commit")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("export", func(b *testing.B) {
		for b.Loop() {
			file, err := os.Create(name)
			require.NoError(b, err)
			s, err := store.Export(b.Context(), file, nil)
			require.NoError(b, file.Close())
			rate(b, s, err)
		}
	})
	for kind, options := range map[string][]eventstoretest.Option{
		"import": nil, "import-syncing": {eventstoretest.SyncAlways()},
	} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				file, err := os.Open(name)
				require.NoError(b, err)
				s, err := eventstore.Import(b.Context(), eventstoretest.NewServer(b, options...).JetStream(b), file, nil)
				require.NoError(b, file.Close())
				rate(b, s, err)
			}
		})
	}
}
