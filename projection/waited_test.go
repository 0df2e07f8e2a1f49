package projection_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
)

// lagging answers reads of a view's documents, each of several messages, as it has answered one before. A replica that
// lags behind does that. Its server names a cluster, so it may have replicas.
type lagging struct {
	t       *testing.T
	lags    atomic.Int64 // so many reads get the old answer
	answer  []*nats.Msg  // the old one
	records atomic.Bool
}

// open opens a store whose view of a name lags.
func (l *lagging) open(view string) *eventstore.Store {
	return openBetween(l.t, func(nc *nats.Conn, subject string, msg *nats.Msg) (answered bool) {
		if !strings.HasPrefix(subject, "DIRECT.GET.KV_bank_"+view) || !strings.Contains(string(msg.Data), "multi_last") {
			return false
		}
		answer := l.answer
		if answer == nil || l.lags.Add(-1) < 0 {
			answer = l.ask(nc, subject, msg.Data)
		}
		if l.records.CompareAndSwap(true, false) {
			l.answer = answer
		}
		for _, one := range answer {
			// Once the test has ended, the connection is closed.
			_ = nc.PublishMsg(&nats.Msg{Subject: msg.Reply, Header: one.Header, Data: one.Data})
		}
		return true
	}, eventstoretest.Options(func(o *server.Options) { o.Cluster.Name = "lagging" }))
}

// ask returns what the server answers, or nothing once the test has ended.
func (l *lagging) ask(nc *nats.Conn, subject string, request []byte) (answer []*nats.Msg) {
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil || nc.PublishRequest("$JS.API."+subject, inbox, request) != nil {
		return nil
	}
	defer func() { _ = sub.Unsubscribe() }()
	for {
		one, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			return nil
		}
		answer = append(answer, one)
		if one.Header.Get("Status") != "" {
			return answer
		}
	}
}

func TestNothingOlderIsReadThanWhatWasWaitedFor(t *testing.T) {
	l := &lagging{t: t}
	store := l.open("balances")
	runner, elsewhere := balances(t, store), balances(t, store)
	run(t, runner)
	// The first View runs in this process, and the second follows the checkpoint in the bucket.
	for round, view := range []*projection.View[balance]{runner, elsewhere} {
		deposited := deposit(t, store, "a", 1)
		require.NoError(t, view.WaitFor(t.Context(), deposited))
		l.records.Store(true)
		_, err := view.Get(t.Context(), "a")
		require.NoError(t, err)
		require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
		l.lags.Store(3)
		got, err := view.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, 2*(round+1), got.Events)
	}
}

func TestNothingOlderIsReadOfManyThanWhatWasReadBefore(t *testing.T) {
	l := &lagging{t: t}
	store := l.open("balances")
	runner, elsewhere := balances(t, store), balances(t, store)
	run(t, runner)
	before := map[string]func(*projection.View[balance], eventstore.Position) error{
		"waited for": func(v *projection.View[balance], at eventstore.Position) error { return v.WaitFor(t.Context(), at) },
		"read": func(v *projection.View[balance], at eventstore.Position) error {
			_, err := v.Get(t.Context(), "a", projection.At(at))
			return err
		},
	}
	events := 0
	for name, before := range before {
		for _, view := range []*projection.View[balance]{runner, elsewhere} {
			require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
			l.records.Store(true)
			_, err := view.GetMany(t.Context(), "a", "b")
			require.NoError(t, err)
			require.NoError(t, before(view, deposit(t, store, "a", 1)))
			l.lags.Store(3)
			got, err := view.GetMany(t.Context(), "a", "b")
			require.NoError(t, err)
			events += 2
			require.Equal(t, events, got["a"].Value.Events, name)
		}
	}
}

// A replay changes documents at an unchanged position, so a replica that lags has the position already.
func TestGetNeverStepsBackBehindAReplay(t *testing.T) {
	l := &lagging{t: t}
	store := l.open("sums")
	var mended atomic.Bool
	view := parking(t, store, func(amount int64) bool { return unlucky(amount) && !mended.Load() })
	run(t, view)
	deposit(t, store, "a", 1)
	deposit(t, store, "a", 13)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "b", 1)))
	l.records.Store(true)
	requireRead := func(want balance) {
		t.Helper()
		got, err := view.Get(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	requireRead(balance{1, 1})
	mended.Store(true)
	require.NoError(t, view.Replay(t.Context(), "a"))
	eventually(t, func() bool { return len(parked(t, view)) == 0 }, "folded again")
	requireRead(balance{14, 2})
	l.lags.Store(2) // a replica answers that has not got the replay yet
	requireRead(balance{14, 2})
}

// A power cut takes signs of life that a reader has seen, and nobody runs the view that would write new ones.
func TestAReaderGoesOnWithWhatAPowerCutHasLeft(t *testing.T) {
	t.Parallel()
	server := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) { o.Cluster.Name = "alone" }))
	store, _ := openOn(t, server)
	view := sums(t, store, 1, quick)
	stop := run(t, view)
	require.NoError(t, view.WaitFor(t.Context(), deposit(t, store, "a", 1)))
	first := beatOf(t, view)
	eventually(t, func() bool { return beatOf(t, view).Sub(first) > 3*quick.Heartbeat }, "the runner shows life")
	_, err := view.Get(t.Context(), "a")
	require.NoError(t, err)
	stop()
	bucket, err := store.JetStream().KeyValue(t.Context(), view.Bucket())
	require.NoError(t, err)
	at, err := bucket.Get(t.Context(), "=checkpoint")
	require.NoError(t, err)
	cutView(t, server, view.Bucket(), at.Revision()-3)
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	got, err := view.Get(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, balance{1, 1}, got)
}
