package aggregate_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/snapshot"
)

// BenchmarkLoadFromSnapshot loads streams of 100 and of 10,000 commits in turn within one run, so that what the machine does
// meanwhile meets both, and reports the medians and their ratio. Nothing is cached.
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
