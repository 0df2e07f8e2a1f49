package eventstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// The benchmarks measure this package and plain nats.go in turn within one run, so that what the machine does meanwhile
// meets both, and report the median rates and their ratio: 1 is as fast as nats.go. The server is embedded, with one
// replica, file storage and its default of syncing every two minutes.

const rounds = 7

// compare runs ours and raw in turn; each does some operations and returns how many. A round warms both up first.
func compare(b *testing.B, ours, raw func() int) {
	b.Helper()
	rate := func(f func() int) float64 {
		start := time.Now()
		n := f()
		return float64(n) / time.Since(start).Seconds()
	}
	ours()
	raw()
	var us, them []float64
	for range rounds {
		us = append(us, rate(ours))
		them = append(them, rate(raw))
	}
	slices.Sort(us)
	slices.Sort(them)
	b.ReportMetric(us[rounds/2], "runnel/s")
	b.ReportMetric(them[rounds/2], "nats/s")
	b.ReportMetric(us[rounds/2]/them[rounds/2], "ratio")
	b.ReportMetric(0, "ns/op")
}

// streams is how many streams the benchmarks of reads spread their commits over.
func streams() int {
	n, err := strconv.Atoi(os.Getenv("RUNNEL_BENCH_STREAMS"))
	if err != nil {
		return 5_000
	}
	return n
}

type booked struct {
	Amount, Balance int64
	Text            string
}

func (booked) EventType() string { return "account.booked" }

func openBench(b *testing.B) (*eventstore.Store, jetstream.JetStream) {
	b.Helper()
	js := eventstoretest.JetStream(b)
	store, err := eventstore.Open(b.Context(), js, "bank", []eventstore.Event{booked{}}, nil)
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, store.Close()) })
	return store, js
}

// payload returns the bytes that a commit of one event is stored as.
func payload(b testing.TB, store *eventstore.Store, js jetstream.JetStream) []byte {
	b.Helper()
	c, err := store.Append(b.Context(), account("payload"), eventstore.Head{}, booked{1, 2, "a booking of some length"})
	require.NoError(b, err)
	stream, err := js.Stream(b.Context(), store.Name())
	require.NoError(b, err)
	msg, err := stream.GetMsg(b.Context(), uint64(c.Position))
	require.NoError(b, err)
	return msg.Data
}

func BenchmarkAppend(b *testing.B) {
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			store, js := openBench(b)
			data := payload(b, store, js)
			heads := make([]eventstore.Head, goroutines)
			last := make([]uint64, goroutines)
			each := 8000 / goroutines
			ours := func() int {
				inParallel(goroutines, func(g int) {
					for range each {
						c, err := store.Append(b.Context(), account(fmt.Sprint("ours", g)), heads[g], booked{1, 2, "a booking of some length"})
						if err != nil {
							b.Error(err)
							return
						}
						heads[g] = c.Head()
					}
				})
				return each * goroutines
			}
			raw := func() int {
				inParallel(goroutines, func(g int) {
					subject := fmt.Sprint("bank.account.raw", g)
					for range each {
						seq, err := publish(b.Context(), js, subject, last[g], data, goroutines > 1)
						if err != nil {
							b.Error(err)
							return
						}
						last[g] = seq
					}
				})
				return each * goroutines
			}
			for b.Loop() {
				compare(b, ours, raw)
			}
		})
	}
}

// publish is what a program that uses nats.go does: PublishMsg, or where many goroutines do so PublishMsgAsync, which
// is faster, and the wait for the acknowledgement.
func publish(ctx context.Context, js jetstream.JetStream, subject string, expected uint64, data []byte, async bool) (uint64, error) {
	msg := nats.NewMsg(subject)
	msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(expected, 10))
	msg.Data = data
	if !async {
		ack, err := js.PublishMsg(ctx, msg)
		if err != nil {
			return 0, err
		}
		return ack.Sequence, nil
	}
	future, err := js.PublishMsgAsync(msg)
	if err != nil {
		return 0, err
	}
	select {
	case ack := <-future.Ok():
		return ack.Sequence, nil
	case err := <-future.Err():
		return 0, err
	}
}

func inParallel(goroutines int, f func(g int)) {
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() { f(g) })
	}
	all.Wait()
}

// fill writes ten commits to each stream, round-robin, and returns their positions by stream.
func fill(b *testing.B, store *eventstore.Store, streams int) [][]uint64 {
	b.Helper()
	positions := make([][]uint64, streams)
	heads := make([]eventstore.Head, streams)
	for range 10 {
		var next atomic.Int64
		inParallel(64, func(int) {
			for i := int(next.Add(1)) - 1; i < streams; i = int(next.Add(1)) - 1 {
				c, err := store.Append(b.Context(), account(fmt.Sprint(i)), heads[i], booked{1, 2, "a booking of some length"})
				if err != nil {
					b.Error(err)
					return
				}
				heads[i], positions[i] = c.Head(), append(positions[i], uint64(c.Position))
			}
		})
	}
	return positions
}

func BenchmarkLoadTenCommits(b *testing.B) {
	store, js := openBench(b)
	positions := fill(b, store, streams())
	api, err := jsapi.New(b.Context(), js)
	require.NoError(b, err)
	defer api.Close()
	for _, set := range []struct {
		name string
		size int
	}{{"working-set-of-1000", min(1000, len(positions))}, {"uniform", len(positions)}} {
		b.Run(set.name, func(b *testing.B) {
			n := 300
			ours := func() int {
				for range n {
					history, err := store.Load(b.Context(), account(fmt.Sprint(rand.IntN(set.size))))
					if err != nil || len(history.Commits) != 10 {
						b.Fatal(len(history.Commits), err)
					}
				}
				return n
			}
			// The same gets: the subject's last message, and then the nine before it at once.
			raw := func() int {
				for range n {
					i := rand.IntN(set.size)
					gets := api.Gets("bank")
					gets.AskLast(fmt.Sprint("bank.account.", i))
					if _, err := gets.Last(b.Context()); err != nil {
						b.Fatal(err)
					}
					for _, position := range positions[i][:9] {
						gets.AskSequence(position)
					}
					for _, position := range positions[i][:9] {
						if _, err := gets.Sequence(b.Context(), position); err != nil {
							b.Fatal(err)
						}
					}
					gets.Release()
				}
				return n
			}
			for b.Loop() {
				compare(b, ours, raw)
			}
		})
	}
}

func BenchmarkReadAll(b *testing.B) {
	store, js := openBench(b)
	fill(b, store, streams())
	total := min(10*streams(), 300_000)
	ours := func() int { return decodeAll(b, store, total) }
	raw := func() int { return fetchAll(b, js, "bank", total) }
	for b.Loop() {
		compare(b, ours, raw)
	}
}

// decodeAll reads a number of events.
func decodeAll(b testing.TB, store *eventstore.Store, total int) int {
	b.Helper()
	n := 0
	for recorded, err := range store.All(b.Context()) {
		if err != nil {
			b.Fatal(err)
		}
		if _, err := recorded.Decode(); err != nil {
			b.Fatal(err)
		}
		if n++; n == total {
			break
		}
	}
	return n
}

// fetchAll is what a program that uses nats.go does to read a number of messages: it does not decode them.
func fetchAll(b testing.TB, js jetstream.JetStream, name string, total int) int {
	b.Helper()
	consumer, err := js.CreateConsumer(b.Context(), name, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
	})
	require.NoError(b, err)
	n := 0
	for n < total {
		messages, err := consumer.Fetch(2000)
		require.NoError(b, err)
		for range messages.Messages() {
			if n++; n == total {
				break
			}
		}
	}
	require.NoError(b, js.DeleteConsumer(context.Background(), name, consumer.CachedInfo().Name))
	return n
}
