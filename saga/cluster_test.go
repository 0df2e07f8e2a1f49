package saga_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
	"github.com/runnel-go/runnel/sagatest"
)

// stormPayments is how many payments the test on three replicas has.
func stormPayments() int {
	if more, err := strconv.Atoi(os.Getenv("RUNNEL_TEST_PAYMENTS")); err == nil {
		return more
	}
	return 60
}

// pace is how far strikes are apart. Under the race detector a process must have the time to do something between them.
func pace() time.Duration {
	if testing.Short() {
		return 3 * time.Second
	}
	return 700 * time.Millisecond
}

// fate is what the other bank does with a payment, as its id has it.
func fate(id string) string {
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(id))
	return []string{accepted, accepted, refused, silent, failing}[sum.Sum32()%5]
}

// stormSteps are the steps of the payments. Answers come to the log on a connection that nothing happens to.
func stormSteps(b, outside *bank, other *otherBank) (*saga.Definition[payment], error) {
	send := func(ctx context.Context, call saga.Call, p payment) (payment, error) {
		end := fate(call.Saga())
		if end == failing {
			return p, errors.New("nobody is there")
		}
		first, err := other.pay(call.Key())
		if err == nil && first && end != silent {
			answer := eventstore.StreamID{Category: "answer", ID: call.Saga()}
			_, err = outside.store.Append(context.WithoutCancel(ctx), answer, eventstore.Head{}, answered{call.Saga(), end == accepted})
		}
		return p, err
	}
	retry := saga.Retry{Tries: 50, Backoff: 20 * time.Millisecond, MaxBackoff: 500 * time.Millisecond}
	return saga.Define("payment",
		saga.Step("hold", b.hold).Undo(b.giveBack).Retry(retry),
		saga.Step("send", send).Retry(saga.Retry{Tries: 3, Backoff: 10 * time.Millisecond}).
			Undo(func(_ context.Context, call saga.Call, p payment) (payment, error) {
				other.recall(call.DoKey())
				return p, nil
			}),
		saga.Await("answer", onAnswer().By(func(e answered) string { return e.Saga })).Within(5*time.Second),
		saga.Step("pay", b.payOut).Retriable().Retry(retry),
	)
}

// stormProcess is a process that works on payments behind a connection of its own.
type stormProcess struct {
	proxy *eventstoretest.Proxy
	end   func()
	thaw  func() // does nothing if it is not frozen
}

// kill ends the process: what it sends from now on does not arrive.
func (p *stormProcess) kill() {
	p.proxy.Silence()
	go p.end() // which the end of the test waits for
}

// freeze holds back what the process sends, until thaw.
func (p *stormProcess) freeze() {
	held := make(chan struct{})
	p.thaw = sync.OnceFunc(func() { close(held) })
	p.proxy.DropRequests(func(string, []byte) bool {
		<-held
		return false
	})
}

// storm is a cluster with payments, and three processes that things happen to.
type storm struct {
	cluster   *eventstoretest.Cluster
	js        jetstream.JetStream
	outside   *bank
	other     *otherBank
	client    *saga.Manager[payment] // does not run
	processes [3]*stormProcess

	kills, freezes, leaders int
}

func (s *storm) openStore(t *testing.T, js jetstream.JetStream) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", storeEvents(), &eventstore.Config{Replicas: 3, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return store
}

// manager opens a manager whose actions use a store.
func (s *storm) manager(t *testing.T, store *eventstore.Store) *saga.Manager[payment] {
	t.Helper()
	definition, err := stormSteps(bankOf(t, store), s.outside, s.other)
	require.NoError(t, err)
	m, err := saga.Open(t.Context(), store, definition, &saga.Config{Claim: time.Second, Replicas: 3})
	require.NoError(t, err)
	return m
}

// begin begins a process on a node.
func (s *storm) begin(t *testing.T, node *eventstoretest.Server) *stormProcess {
	t.Helper()
	p := &stormProcess{proxy: node.Proxy(t), thaw: func() {}}
	own := s.openStore(t, p.proxy.JetStream(t))
	m := s.manager(t, own)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	p.end = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		_, _ = m.Close(), own.Close() // they may not be able to tell anybody
	})
	t.Cleanup(p.end)
	t.Cleanup(func() { p.thaw() })
	return p
}

// strike lets the next thing happen.
func (s *storm) strike(ctx context.Context, t *testing.T, n int) {
	t.Helper()
	i := n / 3 % len(s.processes)
	p := s.processes[i]
	switch n % 3 {
	case 0:
		p.kill()
		s.processes[i] = s.begin(t, s.cluster.Nodes()[i])
		s.kills++
	case 1:
		p.freeze()
		s.freezes++
	default:
		p.thaw()
		streams := []string{"bank", "KV_" + s.client.View().Bucket(), "KV_bank_control"}
		if changeLeader(ctx, t, s.js.Conn(), streams[n/3%len(streams)]) {
			s.leaders++
		}
	}
}

// TestPaymentsOnThreeReplicas carries payments out by three processes, while one after the other is killed or frozen
// and the log and its buckets change their leaders. Every payment is made or undone, and the books of both banks agree.
func TestPaymentsOnThreeReplicas(t *testing.T) {
	payments := stormPayments()
	s := &storm{cluster: eventstoretest.NewCluster(t, 3, eventstoretest.Memory())}
	s.js = s.cluster.JetStream(t)
	store := s.openStore(t, s.js)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	s.outside, s.other = bankOf(t, store), &otherBank{paid: make(map[string]int), recalled: make(map[string]bool)}
	s.client = s.manager(t, store)
	t.Cleanup(func() { require.NoError(t, s.client.Close()) })
	for i := range 10 {
		s.outside.payIn(t, fmt.Sprintf("a%d", i), int64(10*payments))
	}
	for i := range s.processes {
		s.processes[i] = s.begin(t, s.cluster.Nodes()[i])
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute+time.Duration(payments)*300*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- startAndWait(ctx, s.client, payments) }()
	tick := time.NewTicker(pace())
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case err := <-ended:
			require.NoError(t, err)
			t.Logf("%d payments: %d kills, %d freezes, %d changes of leaders", payments, s.kills, s.freezes, s.leaders)
			requireAllBooks(t, s.outside, s.other, s.client, payments)
			return
		case <-tick.C:
			s.strike(ctx, t, n)
		}
	}
}

// changeLeader has another replica lead a stream, and reports whether the servers could do so.
func changeLeader(ctx context.Context, t *testing.T, nc *nats.Conn, stream string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	reply, err := nc.RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil)
	if err == nil {
		require.NotContains(t, string(reply.Data), "stream not found", stream)
	}
	return err == nil && strings.Contains(string(reply.Data), `"success":true`)
}

// startAndWait starts payments, some at a time, and waits until all of them have ended.
func startAndWait(ctx context.Context, client *saga.Manager[payment], payments int) error {
	for i := range payments {
		for {
			_, err := client.Start(ctx, fmt.Sprintf("p%d", i), payment{From: fmt.Sprintf("a%d", i%10), Amount: 10})
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return err
			}
		}
	}
	for i := range payments {
		for {
			in, err := client.Wait(ctx, fmt.Sprintf("p%d", i))
			if err == nil && in.State == saga.StateStuck {
				return fmt.Errorf("stuck: %s", sagatest.Story(in))
			}
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%w: %s", err, sagatest.Story(in))
			}
		}
	}
	return nil
}

// requireAllBooks holds the payments against the log, and the books of the two banks against each other.
func requireAllBooks(t *testing.T, b *bank, other *otherBank, client *saga.Manager[payment], payments int) {
	t.Helper()
	answers := make(map[string]eventstore.Position)
	for recorded, err := range b.store.All(t.Context(), eventstore.Types("answered")) {
		require.NoError(t, err)
		answers[recorded.Stream.ID] = recorded.Position
	}
	paid := int64(0)
	for i := range payments {
		in, err := client.Get(t.Context(), fmt.Sprintf("p%d", i))
		require.NoError(t, err)
		completed, undone := in.State == saga.StateCompleted, false
		for _, entry := range in.History {
			switch entry.Type {
			case "saga.undo.begun":
				undone = true
			case "saga.deadline.passed":
				at, answered := answers[in.ID]
				require.False(t, answered && at < entry.Position && in.Steps[2].Received == 0, "the answer is lost:\n%s", sagatest.Story(in))
			}
		}
		require.NotEqual(t, completed, undone, sagatest.Story(in))
		if completed {
			paid += 10
		}
	}
	require.Equal(t, paid, int64(10*other.holds()))
	for i := range 10 {
		a, err := b.accounts.Load(t.Context(), fmt.Sprintf("a%d", i))
		require.NoError(t, err)
		require.Empty(t, a.State.Held)
		require.Equal(t, int64(10*payments), a.State.Free+a.State.Paid)
		paid -= a.State.Paid
	}
	require.Zero(t, paid)
}
