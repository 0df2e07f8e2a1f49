package aggregate_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/snapshot"
)

// BenchmarkLoadFromSnapshot loads streams of 100 and of 10,000 commits in turn within one run, so that other work of
// the machine slows both. It reports the medians and their ratio. Nothing is cached.
func BenchmarkLoadFromSnapshot(b *testing.B) {
	js := eventstoretest.JetStream(b)
	writer := start(b, js, balance{}, snapshot.Config{}, aggregate.Config{})
	lengths := []int{100, 10_000, 120, 10_020} // right at a snapshot, and 20 commits behind one
	for _, length := range lengths {
		writer.deposit(b, fmt.Sprint(length), length)
	}
	writer.stop(b)
	reader := start(b, js, balance{}, snapshot.Config{}, aggregate.Config{CacheSize: -1})
	log := start(b, js, balance{}, snapshot.Config{FoldVersion: 2, Every: 1 << 30}, aggregate.Config{CacheSize: -1})
	load := func(p *program[balance], length int) time.Duration {
		begin := time.Now()
		state, err := p.accounts.Load(b.Context(), fmt.Sprint(length))
		if err != nil || state.State.Amount != int64(length) {
			b.Fatal(state, err)
		}
		return time.Since(begin)
	}
	for b.Loop() {
		times := make(map[int][]time.Duration)
		for range 200 {
			for _, length := range lengths {
				times[length] = append(times[length], load(reader, length))
			}
		}
		medians := maps.Collect(func(yield func(int, float64) bool) {
			for length, all := range times {
				slices.Sort(all)
				yield(length, float64(all[len(all)/2].Microseconds()))
			}
		})
		b.ReportMetric(medians[100], "µs/100")
		b.ReportMetric(medians[10_000], "µs/10000")
		b.ReportMetric(medians[10_000]/medians[100], "ratio")
		b.ReportMetric(medians[10_020]/medians[120], "ratio-20-behind")
		b.ReportMetric(float64(load(log, 10_000).Microseconds()), "µs/10000-log")
		b.ReportMetric(0, "ns/op")
	}
	require.Zero(b, reader.accounts.Counters().Replayed)
}

// BenchmarkBoundaries measures commands by the number of streams that their rule reaches. All states are cached, and
// nobody else writes.
func BenchmarkBoundaries(b *testing.B) {
	for replicas, js := range map[int]jetstream.JetStream{1: eventstoretest.JetStream(b), 3: eventstoretest.NewCluster(b, 3).JetStream(b)} {
		store, err := eventstore.Open(b.Context(), js, "bank", events, &eventstore.Config{Replicas: replicas})
		require.NoError(b, err)
		defer store.Close()
		accounts, err := aggregate.New(store, "account", balance{}, nil)
		require.NoError(b, err)
		for i := range 20 {
			_, err := accounts.Do(b.Context(), fmt.Sprint("guarded", i), deposit{1})
			require.NoError(b, err)
		}
		transact := func(writing, guarding int) func() error {
			return func() error {
				ops := make([]aggregate.Operation, 0, writing+guarding)
				for i := range writing {
					ops = append(ops, accounts.On(fmt.Sprint("written", i), deposit{1}))
				}
				for i := range guarding {
					ops = append(ops, accounts.On(fmt.Sprint("guarded", i), has{0}))
				}
				return aggregate.Transact(b.Context(), store, nil, ops...)
			}
		}
		for _, c := range []struct {
			name string
			run  func() error
		}{
			{"one stream", transact(1, 0)},
			{"one stream, given one", func() error {
				_, err := accounts.Do(b.Context(), "order", deposit{1}, accounts.Given("guarded0", 1))
				return err
			}},
			{"two written", transact(2, 0)},
			{"one written, one guarded", transact(1, 1)},
			{"one written, 19 guarded", transact(1, 19)},
			{"20 written", transact(20, 0)},
			{"two read, none written", transact(0, 2)},
			{"20 read, none written", transact(0, 20)},
		} {
			require.NoError(b, c.run())
			b.Run(fmt.Sprintf("replicas=%d/%s", replicas, c.name), func(b *testing.B) {
				for b.Loop() {
					require.NoError(b, c.run())
				}
			})
		}
	}
}
