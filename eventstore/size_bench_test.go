package eventstore_test

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// transferred is what a bank books, with the parts that repeat and those that do not.
type transferred struct {
	Amount, Balance        int64
	Currency, Counterparty string
	Reference, BookedAt    string
}

func (transferred) EventType() string { return "account.transferred" }

func newTransfer(i int) eventstore.Event {
	return transferred{
		Amount: rand.Int64N(1_000_000), Balance: rand.Int64N(100_000_000), Currency: "EUR",
		Counterparty: fmt.Sprintf("DE%020d", rand.Int64()), Reference: fmt.Sprintf("invoice %d of order %d", i, rand.IntN(100_000)),
		BookedAt: time.Unix(1_700_000_000+int64(i), 0).UTC().Format(time.RFC3339),
	}
}

// statement is a document of about 16 KiB in which little repeats to the byte.
type statement struct{ Lines []transferred }

func (statement) EventType() string { return "account.statement" }

func newStatement(i int) eventstore.Event {
	s := statement{}
	for range 100 {
		s.Lines = append(s.Lines, newTransfer(i).(transferred))
	}
	return s
}

// BenchmarkCompression compares ways to keep the same events. It measures how fast 64 goroutines append them, how fast
// they are read back decoded, and what they take on disk. It also measures what it costs to read one whose block the
// server does not have in memory. The ways take turns, so that the noise of the machine meets all, and each reports its
// medians.
func BenchmarkCompression(b *testing.B) {
	const s2, above = jetstream.S2Compression, 1024
	for _, kind := range []struct {
		name  string
		each  int // commits a round
		event func(int) eventstore.Event
		ways  []*way
	}{
		{"transfer", 19_200, newTransfer, []*way{
			{name: "plain"}, {name: "s2", cfg: eventstore.Config{Compression: s2}}}},
		{"statement", 960, newStatement, []*way{
			{name: "plain"}, {name: "s2", cfg: eventstore.Config{Compression: s2}},
			{name: "zstd", cfg: eventstore.Config{CompressAbove: above}},
			{name: "zstd+s2", cfg: eventstore.Config{Compression: s2, CompressAbove: above}}}},
	} {
		for _, codec := range []eventstore.Codec{eventstore.Msgpack, eventstore.JSON} {
			b.Run(kind.name+"/"+string(codec), func(b *testing.B) {
				for b.Loop() {
					for _, w := range kind.ways {
						w.open(b, codec)
					}
					for range rounds {
						for _, w := range kind.ways {
							w.round(b, kind.each, kind.event)
						}
					}
					for _, w := range kind.ways {
						w.report(b, rounds*kind.each)
					}
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// way is one way to keep events.
type way struct {
	name string
	cfg  eventstore.Config

	server         *eventstoretest.Server
	store          *eventstore.Store
	heads          [64]eventstore.Head // of a stream for each goroutine
	read           eventstore.Position
	appends, reads []float64 // a second, by round
}

func (w *way) open(b *testing.B, codec eventstore.Codec) {
	b.Helper()
	*w = way{name: w.name, cfg: w.cfg}
	w.cfg.Codec = codec
	w.server = eventstoretest.NewServer(b)
	store, err := eventstore.Open(b.Context(), w.server.JetStream(b), "bank", []eventstore.Event{transferred{}, statement{}}, &w.cfg)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	w.store = store
}

// round appends some commits and reads them.
func (w *way) round(b *testing.B, commits int, event func(int) eventstore.Event) {
	b.Helper()
	begin := time.Now()
	inParallel(len(w.heads), func(g int) {
		for i := range commits / len(w.heads) {
			c, err := w.store.Append(b.Context(), account(fmt.Sprint(g)), w.heads[g], event(i))
			if err != nil {
				b.Error(err)
				return
			}
			w.heads[g] = c.Head()
		}
	})
	w.appends = append(w.appends, float64(commits)/time.Since(begin).Seconds())
	begin = time.Now()
	for recorded, err := range w.store.All(b.Context(), eventstore.After(w.read)) {
		require.NoError(b, err)
		_, err = recorded.Decode()
		require.NoError(b, err)
		w.read = recorded.Position
	}
	w.reads = append(w.reads, float64(commits)/time.Since(begin).Seconds())
}

func (w *way) report(b *testing.B, commits int) {
	b.Helper()
	w.server.Restart()
	_, err := w.store.Head(b.Context(), account("0")) // waits for the connection
	require.NoError(b, err)
	// One commit of each block: the next of the same block would be found in memory.
	size, blocks := sizeOf(b, w.server.StoreDir(), ".blk")
	var cold []float64
	for i := range blocks {
		begin := time.Now()
		_, err := w.store.At(b.Context(), eventstore.Position((2*i+1)*commits/(2*blocks)))
		require.NoError(b, err)
		cold = append(cold, float64(time.Since(begin).Microseconds())/1000)
	}
	slices.Sort(cold)
	slices.Sort(w.appends)
	slices.Sort(w.reads)
	b.ReportMetric(w.appends[rounds/2], w.name+"-appends/s")
	b.ReportMetric(w.reads[rounds/2], w.name+"-reads/s")
	b.ReportMetric(cold[len(cold)/2], w.name+"-ms/cold")
	b.ReportMetric(float64(size)/float64(commits), w.name+"-disk-B/commit")
}

// sizeOf returns the size of the files whose names end so, and their number.
func sizeOf(b *testing.B, dir, suffix string) (size int64, files int) {
	b.Helper()
	require.NoError(b, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, suffix) {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size, files = size+info.Size(), files+1
		}
		return err
	}))
	return size, files
}
