package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

// BenchmarkDurable appends to servers that sync in groups, always and not at all, in turn within one run, and reports
// the median rates, and the rate of group sync as a ratio of SyncAlways.
func BenchmarkDurable(b *testing.B) {
	for _, goroutines := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			modes := []natsrun.SyncMode{natsrun.SyncGroup, natsrun.SyncAlways, natsrun.SyncNone}
			var appends []func() float64
			var grouped *natsrun.Runtime
			for _, mode := range modes {
				rt, run := durable(b, mode, goroutines)
				appends = append(appends, run)
				if mode == natsrun.SyncGroup {
					grouped = rt
				}
			}
			for b.Loop() {
				rates := make([][]float64, len(modes))
				for range rounds {
					for i, run := range appends {
						// Earlier writes are synced first, so that no mode pays for another.
						require.NoError(b, grouped.Sync(b.Context()))
						rates[i] = append(rates[i], run())
					}
				}
				for i, mode := range modes {
					slices.Sort(rates[i])
					b.ReportMetric(rates[i][rounds/2], string(mode)+"/s")
				}
				b.ReportMetric(rates[0][rounds/2]/rates[1][rounds/2], "ratio")
				b.ReportMetric(0, "ns/op")
			}
		})
	}
}

// durable opens a store on an embedded server, and returns what appends to it for half a second and tells the rate.
func durable(b *testing.B, sync natsrun.SyncMode, goroutines int) (*natsrun.Runtime, func() float64) {
	rt, err := natsrun.Open(b.Context(), &natsrun.Config{DataDir: b.TempDir(), Sync: sync, Logger: slog.New(slog.DiscardHandler)})
	if errors.Is(err, natsrun.ErrConfig) {
		b.Skip(err) // no group sync here
	}
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, rt.Close(context.WithoutCancel(b.Context()))) })
	store, err := eventstore.Open(b.Context(), rt.Commands(), "bank", []eventstore.Event{booked{}}, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	heads := make([]eventstore.Head, goroutines)
	return rt, func() float64 {
		appended := make([]int, goroutines)
		begun := time.Now()
		inParallel(goroutines, func(g int) {
			for time.Since(begun) < 500*time.Millisecond {
				c, err := store.Append(b.Context(), account(fmt.Sprint(g)), heads[g], booked{1, 2, "a booking of some length"})
				if err != nil {
					b.Error(err)
					return
				}
				heads[g] = c.Head()
				appended[g]++
			}
		})
		total := 0
		for _, n := range appended {
			total += n
		}
		return float64(total) / time.Since(begun).Seconds()
	}
}
