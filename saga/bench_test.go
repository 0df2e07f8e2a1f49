package saga_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// How many sagas run at the same time, how many in each round, and on how many accounts for each step.
const (
	benchWorkers  = 64
	benchSagas    = 2000
	benchAccounts = 1000
)

// BenchmarkThreeSteps runs sagas of three steps, each with a command of its own, beside the appends that they need,
// made with nats.go: four for the saga, which begins and ends its steps in them, and one for each command. Rounds of
// both take turns within one run. The view of all sagas is kept up to date meanwhile.
func BenchmarkThreeSteps(b *testing.B) {
	js := eventstoretest.NewServer(b).JetStream(b)
	store, err := eventstore.Open(b.Context(), js, "bank", storeEvents(), &eventstore.Config{Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	defer store.Close()
	accounts, err := aggregate.New(store, "account", account{}, nil)
	require.NoError(b, err)
	step := func(name string) saga.Part[payment] {
		act := func(ctx context.Context, call saga.Call, p payment) (payment, error) {
			_, err := accounts.Do(ctx, p.From+name, payIn{p.Amount}, call.Once())
			return p, err
		}
		return saga.Step(name, act).Undo(act)
	}
	definition, err := saga.Define("payment", step("a"), step("b"), step("c"))
	require.NoError(b, err)
	m, err := saga.Open(b.Context(), store, definition, &saga.Config{Workers: benchWorkers})
	require.NoError(b, err)
	defer m.Close()
	defer run(b, m)()
	require.NoError(b, m.View().WaitFor(b.Context(), 0))

	_, err = js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "raw", Subjects: []string{"raw.*.*"}, AllowDirect: true, DenyDelete: true, DenyPurge: true})
	require.NoError(b, err)

	var sagas, raw []float64
	round := 0
	for b.Loop() {
		for range 5 {
			round++
			sagas = append(sagas, perSecond(func() { runSagas(b, store, m, round) }))
			raw = append(raw, perSecond(func() { rawSagas(b, js, round) }))
		}
	}
	b.ReportMetric(median(sagas), "sagas/s")
	b.ReportMetric(median(raw), "raw-sagas/s")
	b.ReportMetric(median(sagas)/median(raw), "ratio")
	b.ReportMetric(0, "ns/op")
}

// runSagas starts sagas and waits until the log says that all are completed.
func runSagas(b *testing.B, store *eventstore.Store, m *saga.Manager[payment], round int) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	end, err := store.End(ctx)
	require.NoError(b, err)
	var starters sync.WaitGroup
	inParallel(&starters, func(i int) {
		id := fmt.Sprintf("%d-%d", round, i)
		if _, err := m.Start(ctx, id, payment{From: strconv.Itoa(i % benchAccounts), Amount: 1}); err != nil {
			b.Error(err)
		}
	})
	left := benchSagas
	for recorded, err := range store.All(ctx, eventstore.After(end), eventstore.Live(), eventstore.Types("saga.completed")) {
		require.NoError(b, err)
		if recorded.Stream.Category == "payment" {
			left--
		}
		if left == 0 {
			break
		}
	}
	starters.Wait()
}

// rawSagas publishes as many messages with the same expectations.
func rawSagas(b *testing.B, js jetstream.JetStream, round int) {
	payload := make([]byte, 250)
	publish := func(subject string, last uint64) uint64 {
		msg := nats.NewMsg(subject)
		msg.Data = payload
		msg.Header.Set("Nats-Expected-Last-Subject-Sequence", strconv.FormatUint(last, 10))
		future, err := js.PublishMsgAsync(msg)
		if err != nil {
			b.Error(err)
			return 0
		}
		select {
		case ack := <-future.Ok():
			return ack.Sequence
		case err := <-future.Err():
			b.Error(err)
			return 0
		}
	}
	var all sync.WaitGroup
	inParallel(&all, func(i int) {
		name := fmt.Sprintf("%d-%d", round, i)
		last := publish("raw.payment."+name, 0)
		for _, step := range []string{"a", "b", "c"} {
			publish("raw.account."+name+step, 0)
			last = publish("raw.payment."+name, last)
		}
	})
	all.Wait()
}

// inParallel calls f for all sagas of a round, from as many goroutines as there are workers.
func inParallel(all *sync.WaitGroup, f func(i int)) {
	var next atomic.Int64
	for range benchWorkers {
		all.Go(func() {
			for i := int(next.Add(1)); i <= benchSagas; i = int(next.Add(1)) {
				f(i)
			}
		})
	}
}

func perSecond(f func()) float64 {
	begin := time.Now()
	f()
	return benchSagas / time.Since(begin).Seconds()
}

func median(figures []float64) float64 {
	figures = slices.Clone(figures)
	slices.Sort(figures)
	return figures[len(figures)/2]
}
