package projection_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

// The benchmarks measure a view beside what it is made of, in turn within one run, so that what the machine does
// meanwhile meets both. RUNNEL_BENCH_EVENTS is how many events there are, over a tenth as many keys. The figures in
// docs/measurements.md are of 1000000.

func benchEvents() int {
	n, err := strconv.Atoi(os.Getenv("RUNNEL_BENCH_EVENTS"))
	if err != nil {
		return 20_000
	}
	return n
}

// fillLog writes one event to each of n/10 accounts, ten times round.
func fillLog(b *testing.B, n int) *eventstore.Store {
	b.Helper()
	store, err := eventstore.Open(b.Context(), eventstoretest.JetStream(b), "bank", events, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	heads := make([]eventstore.Head, n/10)
	for range 10 {
		var next atomic.Int64
		var writers sync.WaitGroup
		for range 64 {
			writers.Go(func() {
				for i := int(next.Add(1)) - 1; i < len(heads); i = int(next.Add(1)) - 1 {
					c, err := store.Append(b.Context(), account(fmt.Sprint(i)), heads[i], deposited{Amount: 1, Text: "a booking of some length"})
					if err != nil {
						b.Error(err)
						return
					}
					heads[i] = c.Head()
				}
			})
		}
		writers.Wait()
	}
	return store
}

// rawFetch reads the whole log through nats.go, and does nothing with it.
func rawFetch(b *testing.B, js jetstream.JetStream, n int) {
	b.Helper()
	consumer, err := js.CreateConsumer(b.Context(), "bank", jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true})
	require.NoError(b, err)
	for got := 0; got < n; {
		messages, err := consumer.Fetch(2000)
		require.NoError(b, err)
		for range messages.Messages() {
			got++
		}
	}
	require.NoError(b, js.DeleteConsumer(context.Background(), "bank", consumer.CachedInfo().Name))
}

// putEach is the projector that is written first: it reads the log and puts the document of every event.
func putEach(b *testing.B, store *eventstore.Store, n int) {
	b.Helper()
	name := fmt.Sprintf("each-%d", time.Now().UnixNano())
	bucket, err := kv.Open[balance](b.Context(), store.JetStream(), name, nil)
	require.NoError(b, err)
	docs := make(map[string]balance)
	for r, err := range store.All(b.Context()) {
		require.NoError(b, err)
		decoded, err := r.Decode()
		require.NoError(b, err)
		d := docs[r.Stream.ID]
		d = balance{d.Amount + decoded[0].(deposited).Amount, d.Events + 1}
		docs[r.Stream.ID] = d
		_, err = bucket.Put(b.Context(), r.Stream.ID, d)
		require.NoError(b, err)
		if n--; n == 0 {
			break
		}
	}
	require.NoError(b, bucket.Close())
	require.NoError(b, store.JetStream().DeleteKeyValue(b.Context(), name))
}

func perSecond(n int, f func()) float64 {
	begin := time.Now()
	f()
	return float64(n) / time.Since(begin).Seconds()
}

func median(figures []float64) float64 {
	slices.Sort(figures)
	return figures[len(figures)/2]
}

func BenchmarkBuild(b *testing.B) {
	n := benchEvents()
	store := fillLog(b, n)
	for _, memory := range []struct {
		name string
		docs int
	}{{"all-keys-in-memory", n}, {"a-tenth-in-memory", max(n/100, 1)}} {
		b.Run(memory.name, func(b *testing.B) {
			view, err := projection.Open(b.Context(), store, "balances", 1, &projection.Config{BuildCacheSize: memory.docs},
				projection.On(func(d balance, e deposited) balance { return balance{d.Amount + e.Amount, d.Events + 1} }))
			require.NoError(b, err)
			defer view.Close()
			var build, raw, each []float64
			for b.Loop() {
				for range 3 {
					build = append(build, perSecond(n, func() { require.NoError(b, view.Rebuild(b.Context(), nil)) }))
					_, err := view.Prune(b.Context())
					require.NoError(b, err)
					raw = append(raw, perSecond(n, func() { rawFetch(b, store.JetStream(), n) }))
					part := n / 10 // its rate does not change
					each = append(each, perSecond(part, func() { putEach(b, store, part) }))
				}
			}
			b.ReportMetric(median(build), "events/s")
			b.ReportMetric(median(build)/median(raw), "of-raw-fetch")
			b.ReportMetric(median(build)/median(each), "times-put-each")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkAppendToVisible measures from the start of an append until its document can be read, beside one atomic batch
// of two writes, which is the least that a document with its checkpoint costs.
func BenchmarkAppendToVisible(b *testing.B) {
	for _, sync := range []bool{false, true} {
		b.Run(fmt.Sprintf("sync-always=%v", sync), func(b *testing.B) {
			var options []eventstoretest.Option
			if sync {
				options = append(options, eventstoretest.SyncAlways())
			}
			store, err := eventstore.Open(b.Context(), eventstoretest.JetStream(b, options...), "bank", events, nil)
			require.NoError(b, err)
			defer store.Close()
			view, err := projection.Open(b.Context(), store, "balances", 1, nil,
				projection.On(func(d balance, e deposited) balance { return balance{d.Amount + e.Amount, d.Events + 1} }))
			require.NoError(b, err)
			defer view.Close()
			ctx, cancel := context.WithCancel(b.Context())
			ended := make(chan error, 1)
			go func() { ended <- view.Run(ctx) }()
			bucket, err := kv.Open[balance](b.Context(), store.JetStream(), "raw", nil)
			require.NoError(b, err)
			defer bucket.Close()

			var visible, batches []float64
			head := eventstore.Head{}
			one := func(f func()) float64 {
				begin := time.Now()
				f()
				return float64(time.Since(begin).Microseconds())
			}
			pause := time.NewTicker(25 * time.Millisecond) // so that no batch waits for the interval
			defer pause.Stop()
			for b.Loop() {
				for range 30 {
					<-pause.C
					visible = append(visible, one(func() {
						c, err := store.Append(b.Context(), account("1"), head, deposited{Amount: 1})
						require.NoError(b, err)
						head = c.Head()
						_, err = view.Get(b.Context(), "1", projection.At(c.Position))
						require.NoError(b, err)
					}))
					<-pause.C
					batches = append(batches, one(func() {
						batch := bucket.Batch()
						batch.Put("1", balance{})
						batch.Put("2", balance{})
						_, err := batch.Commit(b.Context())
						require.NoError(b, err)
					}))
				}
			}
			cancel()
			require.NoError(b, <-ended)
			b.ReportMetric(median(visible), "visible-p50-us")
			b.ReportMetric(median(batches), "batch-of-two-p50-us")
			b.ReportMetric(median(visible)/median(batches), "ratio")
			b.ReportMetric(0, "ns/op")
		})
	}
}
