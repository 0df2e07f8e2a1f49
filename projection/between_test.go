package projection_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// openBetween opens a store whose requests to JetStream pass through a function, which may change them or answer them.
func openBetween(t *testing.T, pass func(nc *nats.Conn, subject string, msg *nats.Msg) (answered bool), options ...eventstoretest.Option) *eventstore.Store {
	t.Helper()
	nc := eventstoretest.NewServer(t, options...).JetStream(t).Conn()
	sub, err := nc.Subscribe("between.>", func(msg *nats.Msg) {
		subject := strings.TrimPrefix(msg.Subject, "between.")
		if pass(nc, subject, msg) {
			return
		}
		if err := nc.PublishRequest("$JS.API."+subject, msg.Reply, msg.Data); err != nil && !nc.IsClosed() {
			t.Errorf("pass %s on: %v", subject, err)
		}
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = sub.Unsubscribe() }) // the connection may be closed
	js, err := jetstream.NewWithAPIPrefix(nc, "between")
	require.NoError(t, err)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}
