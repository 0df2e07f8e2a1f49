package saga_test

import (
	"context"
	"regexp"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
	"github.com/runnel-go/runnel/reactor"
	"github.com/runnel-go/runnel/saga"
	"github.com/runnel-go/runnel/snapshot"
)

// tenant is a store with one of each thing that has a name.
type tenant struct {
	*bank
	view      *projection.View[int64]
	reactor   *reactor.Reactor
	sagas     *saga.Manager[payment]
	snapshots *snapshot.Cache
	seen      chan int64 // what the reactor was called for
}

// openTenant opens a store whose things have names that begin with a prefix.
func openTenant(t *testing.T, js jetstream.JetStream, name, prefix string) *tenant {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, name, storeEvents(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	n := &tenant{seen: make(chan int64, 10)}
	n.snapshots, err = snapshot.Open(t.Context(), store, prefix+"account", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.snapshots.Close()) })
	accounts, err := aggregate.New(store, prefix+"account", account{}, &aggregate.Config{Snapshots: n.snapshots})
	require.NoError(t, err)
	n.bank = &bank{store, accounts}
	n.view, err = projection.Open(t.Context(), store, prefix+"balances", 1, nil,
		projection.On(func(sum int64, e paidIn) int64 { return sum + e.Amount }))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.view.Close()) })
	n.reactor, err = reactor.Open(t.Context(), store, prefix+"mails", nil,
		reactor.On(func(_ context.Context, e paidIn, _ eventstore.Recorded) error { n.seen <- e.Amount; return nil }))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.reactor.Close()) })
	n.sagas = open(t, n.bank, define(t, prefix+"payment", saga.Step("note", noted(name)).NoUndo()), nil)
	return n
}

// work uses everything of the tenant once.
func (n *tenant) work(t *testing.T, amount int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	go func() { ended <- n.reactor.Run(ctx) }()
	go func() { ended <- n.view.Run(ctx) }()
	stop := run(t, n.sagas)
	n.payIn(t, "1", amount)
	require.Equal(t, amount, <-n.seen)
	requireOthersGoOn(t, n.sagas, "1", payment{Amount: amount})
	require.NoError(t, n.view.WaitFor(t.Context(), 0))
	require.NoError(t, n.sagas.View().WaitFor(t.Context(), 0))
	stop()
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, <-ended)
}

// require compares what the tenant reads with what was done to it.
func (n *tenant) require(t *testing.T, amount int64) {
	t.Helper()
	sum, err := n.view.Get(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, amount, sum)
	done, err := n.sagas.Get(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, payment{Amount: amount, Notes: []string{n.store.Name()}}, done.Data)
	for listed, err := range n.sagas.List(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, done.Position, listed.Position)
	}
	require.Empty(t, n.seen)
}

// The names of all that the two stores have are the same if they are joined with "-".
func TestStoresWhoseNamesRunTogetherShareNothing(t *testing.T) {
	js := eventstoretest.JetStream(t)
	acme := openTenant(t, js, "acme", "eu-")
	eu := openTenant(t, js, "acme-eu", "")
	acme.work(t, 7)
	eu.work(t, 11)
	acme.require(t, 7)
	eu.require(t, 11)

	build := regexp.MustCompile("_v[0-9]+_[0-9a-f]{8}$")
	var streams []string
	for info := range js.ListStreams(t.Context()).Info() {
		streams = append(streams, build.ReplaceAllString(info.Config.Name, "_<build>"))
	}
	require.ElementsMatch(t, []string{
		"acme", "KV_acme_control", "KV_acme_eu-account_snapshots", "KV_acme_eu-balances_<build>", "KV_acme_eu-payment-sagas_<build>",
		"acme-eu", "KV_acme-eu_control", "KV_acme-eu_account_snapshots", "KV_acme-eu_balances_<build>", "KV_acme-eu_payment-sagas_<build>",
	}, streams)

	_, err := acme.view.Prune(t.Context())
	require.NoError(t, err)
	eu.require(t, 11)
	acme.require(t, 7)
}
