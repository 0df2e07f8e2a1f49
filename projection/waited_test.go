package projection_test

import (
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

func (l *lagging) open() *eventstore.Store {
	return openBetween(l.t, func(nc *nats.Conn, subject string, msg *nats.Msg) (answered bool) {
		if !strings.HasPrefix(subject, "DIRECT.GET.KV_bank_balances") || !strings.Contains(string(msg.Data), "multi_last") {
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
	store := l.open()
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
	store := l.open()
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
