package saga_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// requireReturns waits for what Run returns.
func requireReturns(t testing.TB, ended <-chan error) {
	t.Helper()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-soon(t).Done():
		require.Fail(t, "Run has not returned")
	}
}

// The commit of a Start arrives when Run ends, or long after it.
func TestRunReturnsWhileAStartIsUnderWay(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	b := openBank(t, proxy.JetStream(t))
	m := open(t, b, define(t, "payment", saga.Step("pay", noted("paid")).NoUndo()), nil)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	requireOthersGoOn(t, m, "1", payment{})

	lost := make(chan struct{})
	once := sync.OnceFunc(func() { close(lost) })
	var gone sync.Mutex
	dropping := true
	drop := func(on bool) { gone.Lock(); defer gone.Unlock(); dropping = on }
	proxy.DropRequests(func(subject string, _ []byte) bool {
		gone.Lock()
		defer gone.Unlock()
		if !dropping || !strings.HasPrefix(subject, "bank.payment.2") {
			return false
		}
		once()
		return true
	})
	started := make(chan error, 1)
	go func() {
		_, err := m.Start(context.Background(), "2", payment{})
		started <- err
	}()
	<-lost
	stop()
	requireReturns(t, ended) // though the Start goes on
	drop(false)
	require.NoError(t, <-started)
	in, err := m.Get(t.Context(), "2")
	require.NoError(t, err)
	require.Empty(t, in.Runner, "it is given back")
	run(t, m)
	done, err := m.Wait(soon(t), "2")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompleted, done.State)
}

// An action that does not heed its context is left behind.
func TestRunReturnsThoughAnActionDoesNot(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	begun, over := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(over) })
	m := open(t, b, define(t, "payment", saga.Step("pay", func(_ context.Context, _ saga.Call, p payment) (payment, error) {
		close(begun)
		<-over
		return p, nil
	}).NoUndo()), &saga.Config{Claim: 300 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	_, err := m.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	<-begun
	stop()
	requireReturns(t, ended)
	in, err := m.Get(t.Context(), "1")
	require.NoError(t, err)
	require.Empty(t, in.Runner, "others may go on")
}

// A saga is cancelled elsewhere, and the runner whose action is under way cannot read what became of it.
func TestARunnerThatCannotReadItsSagaLeavesIt(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	begun, over := make(chan struct{}), make(chan struct{})
	definition := define(t, "payment", saga.Step("slow", func(_ context.Context, _ saga.Call, p payment) (payment, error) {
		close(begun)
		<-over
		return p, nil
	}).Undo(noted("undone")))
	m := open(t, openBank(t, proxy.JetStream(t)), definition, &saga.Config{Claim: 500 * time.Millisecond})
	elsewhere := open(t, openBank(t, server.JetStream(t)), definition, nil)
	run(t, m)
	_, err := m.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	<-begun
	var reads, lost atomic.Int32
	reads.Store(1)
	proxy.DropRequests(func(subject string, _ []byte) bool {
		drop := reads.Load() == 1 && strings.HasPrefix(subject, "$JS.API.")
		if drop && strings.Contains(subject, ".bank") {
			lost.Add(1)
		}
		return drop
	})
	require.NoError(t, elsewhere.Cancel(t.Context(), "1", "changed my mind"))
	asked := lost.Load()
	require.Eventually(t, func() bool { return lost.Load() > asked+2 }, 10*time.Second, time.Millisecond)
	close(over)
	reads.Store(0)
	done, err := elsewhere.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, done.State)
	require.Equal(t, []string{"undone"}, done.Data.Notes)
}

// Nobody has room for a saga when it is started. The runner that takes it up begins its first step with the claim,
// unless a function of the definition has to say a deadline.
func TestASagaThatIsTakenUpBeginsWithItsClaim(t *testing.T) {
	do := saga.Step("pay", noted("paid")).NoUndo()
	await := saga.Await[payment]("rest").Within(time.Minute)
	for first, want := range map[string]struct {
		parts   []saga.Part[payment]
		commits [][]string
	}{
		"a Do":     {[]saga.Part[payment]{do}, [][]string{{"saga.started"}, {"saga.claimed", "saga.step.begun"}, {"saga.step.done", "saga.completed"}}},
		"an await": {[]saga.Part[payment]{await}, [][]string{{"saga.started"}, {"saga.claimed"}, {"saga.step.begun"}}},
	} {
		t.Run(first, func(t *testing.T) {
			definition := define(t, "payment", want.parts...)
			starter := open(t, openBank(t, eventstoretest.JetStream(t)), definition, nil)
			_, err := starter.Start(t.Context(), "1", payment{})
			require.NoError(t, err)
			run(t, starter)
			var commits [][]string
			require.Eventually(t, func() bool {
				in, err := starter.Get(t.Context(), "1")
				require.NoError(t, err)
				commits = commitsOf(in)
				return in.State == saga.StateCompleted || in.State == saga.StateWaiting
			}, 10*time.Second, time.Millisecond)
			require.Equal(t, want.commits, commits)
		})
	}
}

// commitsOf returns the types of the events of a saga, by the commits in which they stand.
func commitsOf[S any](in saga.Instance[S]) (commits [][]string) {
	var last eventstore.Position
	for _, entry := range in.History {
		if entry.Position != last {
			commits, last = append(commits, nil), entry.Position
		}
		commits[len(commits)-1] = append(commits[len(commits)-1], entry.Type)
	}
	return commits
}

// The view of all sagas reads no document of a saga that begins: there is none.
func TestTheViewDoesNotLookForNewSagas(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	m := open(t, openBank(t, proxy.JetStream(t)), define(t, "payment", saga.Step("pay", noted("paid")).NoUndo()), nil)
	var reads atomic.Int32
	proxy.DropRequests(func(subject string, data []byte) bool {
		if strings.Contains(subject, "MSG.GET.KV_bank_payment-sagas") && strings.Contains(string(data), "fresh-") {
			reads.Add(1)
		}
		return false
	})
	run(t, m)
	require.NoError(t, m.View().WaitFor(t.Context(), 0)) // what a build has met is read behind it
	for i := range 10 {
		id := "fresh-" + strconv.Itoa(i)
		_, err := m.Start(t.Context(), id, payment{})
		require.NoError(t, err)
		require.Eventually(t, func() bool {
			in, err := m.Get(t.Context(), id)
			require.NoError(t, err)
			return in.State == saga.StateCompleted && m.View().WaitFor(t.Context(), in.Position) == nil
		}, 10*time.Second, time.Millisecond)
	}
	require.Zero(t, reads.Load())
	shown := 0
	for status, err := range m.List(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, saga.StateCompleted, status.State)
		shown++
	}
	require.Equal(t, 10, shown)
}
