//go:build unix

package kv_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/kv"
)

// traffic uses a bucket in every way until its context ends. No call may fail.
type traffic struct {
	t      *testing.T
	bucket *kv.Bucket[doc]
	keys   int
	seen   sync.Map // the newest number of each key that one watch has returned
	count  map[string]*atomic.Int64
}

func newTraffic(t *testing.T, js jetstream.JetStream, keys int) *traffic {
	w := &traffic{t: t, keys: keys, bucket: open[doc](t, js, "docs", &kv.Config{Replicas: 3, Timeout: 30 * time.Second})}
	for i := range keys {
		_, err := w.bucket.Put(t.Context(), fmt.Sprint(i), doc{})
		require.NoError(t, err)
	}
	w.count = make(map[string]*atomic.Int64)
	for name := range w.work() {
		w.count[name] = new(atomic.Int64)
	}
	return w
}

// work makes each kind of call once.
func (w *traffic) work() map[string]func(ctx context.Context) error {
	var written int
	return map[string]func(ctx context.Context) error{
		"write": func(ctx context.Context) error {
			written++
			_, _, err := w.bucket.Modify(ctx, fmt.Sprint(written%w.keys), func(d doc, _ bool) (doc, error) { d.N++; return d, nil })
			return err
		},
		"get": func(ctx context.Context) error { _, err := w.bucket.Get(ctx, "1"); return err },
		"get of the leader": func(ctx context.Context) error {
			_, err := w.bucket.GetLeader(ctx, "1")
			return err
		},
		"get many": func(ctx context.Context) error {
			many, err := w.bucket.GetMany(ctx, "1", "2", "3")
			assert.True(w.t, err != nil || len(many) == 3)
			return err
		},
		"list": func(ctx context.Context) error {
			listed := make(map[string]bool)
			for entry, err := range w.bucket.List(ctx) {
				if err != nil {
					return err
				}
				listed[entry.Key] = true
			}
			assert.Len(w.t, listed, w.keys)
			return nil
		},
		"watch": func(ctx context.Context) error {
			given := make(map[string]bool)
			for change, err := range w.bucket.Watch(ctx) {
				if err != nil || change.Synced {
					assert.True(w.t, err != nil || len(given) == w.keys)
					return err
				}
				given[change.Key] = true
			}
			return nil
		},
	}
}

// run repeats each kind of call in a goroutine of its own, beside one watch that lasts.
func (w *traffic) run(ctx context.Context) {
	var work sync.WaitGroup
	for name, once := range w.work() {
		work.Go(func() {
			due := time.NewTicker(10 * time.Millisecond) // the servers have the processors too
			defer due.Stop()
			for ; ctx.Err() == nil; <-due.C {
				err := once(ctx)
				if ctx.Err() == nil && err != nil {
					w.t.Errorf("%s: %v", name, err)
					return
				}
				w.count[name].Add(1)
			}
		})
	}
	work.Go(func() { w.follow(ctx) })
	work.Wait()
}

func (w *traffic) follow(ctx context.Context) {
	revision := uint64(0)
	for change, err := range w.bucket.Watch(ctx) {
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.t.Errorf("the watch that lasts: %v", err)
			return
		}
		if !change.Synced {
			assert.Greater(w.t, change.Revision, revision)
			revision = change.Revision
			w.seen.Store(change.Key, change.Value.N)
		}
	}
}

// goesOn waits until each kind of call was made several times more, and the watch has returned what is written now.
func (w *traffic) goesOn(t *testing.T) {
	for name, count := range w.count {
		before := count.Load()
		require.Eventually(t, func() bool { return count.Load() > before+3 }, 90*time.Second, time.Millisecond, name)
	}
	entry, err := w.bucket.GetLeader(t.Context(), "1")
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		seen, ok := w.seen.Load("1")
		return ok && seen.(int) >= entry.Value.N
	}, 60*time.Second, time.Millisecond, "the watch that lasts")
}

// Servers in one process learn at once what one of them does, so this test runs them in processes.
func TestNothingEndsForAReasonThatPasses(t *testing.T) {
	t.Parallel()
	cluster := eventstoretest.NewProcessCluster(t, 3)
	w := newTraffic(t, cluster.JetStream(t), 20)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	defer func() { cancel(); running.Wait() }()
	w.goesOn(t)

	t.Run("the leader is killed", func(t *testing.T) {
		leader := cluster.StreamLeader(t, "KV_docs")
		leader.Kill()
		w.goesOn(t)
		leader.Restart()
		cluster.WaitForLeader(t, "KV_docs")
	})
	t.Run("servers retire", func(t *testing.T) {
		for _, node := range cluster.Nodes()[:proptest.Volume(1, 3)] {
			node.Retire()
			w.goesOn(t)
			node.Restart()
			cluster.WaitForLeader(t, "KV_docs")
		}
	})
	t.Run("two of three are away for a while", func(t *testing.T) {
		nodes := cluster.Nodes()
		nodes[0].Kill()
		nodes[1].Kill()
		away := time.NewTimer(time.Duration(proptest.Volume(2, 5)) * time.Second)
		defer away.Stop()
		<-away.C
		nodes[0].Restart()
		w.goesOn(t)
		nodes[1].Restart()
		cluster.WaitForLeader(t, "KV_docs")
		w.goesOn(t)
	})
	for name, count := range w.count {
		t.Log(name, count.Load())
	}
}

// BenchmarkListOnACluster lists 200 documents from eight connections at once, while they are written. It lists them
// without a consumer, and with one, as a watch reads them.
func BenchmarkListOnACluster(b *testing.B) {
	cluster := eventstoretest.NewProcessCluster(b, 3)
	const documents, clients = 200, 8
	first := open[doc](b, cluster.JetStream(b), "docs", &kv.Config{Replicas: 3})
	for i := range documents {
		_, err := first.Put(b.Context(), fmt.Sprint(i), doc{N: i})
		require.NoError(b, err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			_, _ = first.Put(ctx, fmt.Sprint(i%documents), doc{N: i}) // fails only once ctx has ended
		}
	})
	buckets := make([]*kv.Bucket[doc], clients)
	for i := range buckets {
		buckets[i] = open[doc](b, cluster.JetStream(b), "docs", nil)
	}
	for name, list := range map[string]func(*kv.Bucket[doc]) int{"direct": listed, "consumer": watched} {
		b.Run(name, func(b *testing.B) {
			var slow, missing atomic.Int64
			var lists sync.WaitGroup
			for _, bucket := range buckets {
				lists.Go(func() {
					for range b.N {
						begin := time.Now()
						if list(bucket) < documents {
							missing.Add(1)
						}
						if time.Since(begin) > 500*time.Millisecond {
							slow.Add(1)
						}
					}
				})
			}
			lists.Wait()
			b.ReportMetric(float64(slow.Load()), "slower-than-0.5s")
			b.ReportMetric(float64(missing.Load()), "incomplete")
		})
	}
	cancel()
	writer.Wait()
}

func listed(b *kv.Bucket[doc]) int {
	found := make(map[string]bool)
	for entry, err := range b.List(context.Background()) {
		if err != nil {
			return 0
		}
		found[entry.Key] = true
	}
	return len(found)
}

func watched(b *kv.Bucket[doc]) int {
	found := make(map[string]bool)
	for change, err := range b.Watch(context.Background()) {
		switch {
		case err != nil:
			return 0
		case change.Synced:
			return len(found)
		}
		found[change.Key] = true
	}
	return 0
}
