package eventstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// BenchmarkTransaction books on two accounts at once, and on one for comparison.
func BenchmarkTransaction(b *testing.B) {
	for _, deployment := range []struct {
		name string
		js   func(b *testing.B) jetstream.JetStream
		cfg  eventstore.Config
	}{
		{"one-replica-file", func(b *testing.B) jetstream.JetStream { return eventstoretest.JetStream(b) }, eventstore.Config{}},
		{"one-replica-file-synced", func(b *testing.B) jetstream.JetStream {
			return eventstoretest.JetStream(b, eventstoretest.SyncAlways())
		}, eventstore.Config{}},
		{"one-replica-memory", func(b *testing.B) jetstream.JetStream { return eventstoretest.JetStream(b) },
			eventstore.Config{Storage: jetstream.MemoryStorage}},
		{"three-replicas-file", func(b *testing.B) jetstream.JetStream { return eventstoretest.NewCluster(b, 3).JetStream(b) },
			eventstore.Config{Replicas: 3}},
	} {
		store, err := eventstore.Open(b.Context(), deployment.js(b), "bank", []eventstore.Event{booked{}}, &deployment.cfg)
		require.NoError(b, err)
		defer store.Close()
		for _, streams := range []int{1, 2, 10} {
			b.Run(fmt.Sprintf("%s/streams=%d", deployment.name, streams), func(b *testing.B) {
				writes := make([]eventstore.Write, streams)
				for i := range writes {
					writes[i] = eventstore.Write{Stream: account(fmt.Sprint(time.Now().UnixNano(), "-", i)), Events: []eventstore.Event{booked{1, 2, "a booking of some length"}}}
				}
				for b.Loop() {
					commits, err := store.AppendAll(b.Context(), writes...)
					if err != nil {
						b.Fatal(err)
					}
					for i, c := range commits {
						writes[i].Expected = c.Head()
					}
				}
			})
		}
	}
}

// BenchmarkStreams lists streams of one commit each.
func BenchmarkStreams(b *testing.B) {
	store, js := openBench(b)
	n := 10 * streams()
	for i := range n { // the list does not look into messages
		_, err := js.PublishAsync(fmt.Sprintf("bank.account.%08d", i), nil, jetstream.WithStallWait(time.Minute))
		require.NoError(b, err)
	}
	<-js.PublishAsyncComplete()
	for b.Loop() {
		count := 0
		for _, err := range store.Streams(b.Context(), "account") {
			require.NoError(b, err)
			count++
		}
		require.Equal(b, n, count)
		b.ReportMetric(float64(n), "streams")
	}
}

// BenchmarkBackwards reads the last ten events of a long stream, and all of them.
func BenchmarkBackwards(b *testing.B) {
	store, _ := openBench(b)
	const length = 100_000
	head := eventstore.Head{}
	for range length {
		c, err := store.Append(b.Context(), account("long"), head, booked{1, 2, "a booking of some length"})
		require.NoError(b, err)
		head = c.Head()
	}
	for _, events := range []int{10, length} {
		for name, option := range map[string]eventstore.StreamOption{"backwards": eventstore.Backwards(), "forwards": eventstore.Leader()} {
			b.Run(fmt.Sprintf("%s/events=%d", name, events), func(b *testing.B) {
				for b.Loop() {
					n := 0
					for _, err := range store.Stream(b.Context(), account("long"), option) {
						require.NoError(b, err)
						if n++; n == events {
							break
						}
					}
				}
			})
		}
	}
}
