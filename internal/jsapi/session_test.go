package jsapi_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

func TestASessionIsNeverOfAConnectionThatWasKnownToBeLost(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	nc := srv.Connect(t, nats.ReconnectWait(time.Millisecond), nats.MaxReconnects(-1))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	client := newClient(t, js)
	const reconnects = 20
	asked := 0
	for made := uint64(0); made < reconnects; {
		require.NoError(t, nc.ForceReconnect())
		for before := made; made == before; asked++ {
			known := nc.Stats().Reconnects + 1
			require.GreaterOrEqual(t, client.Session().Number(), known, "after %d looks", asked)
			if nc.IsConnected() {
				made = nc.Stats().Reconnects
			}
		}
	}
	require.NoError(t, client.Session().Connected())
	nc.Close()
	require.ErrorIs(t, client.Session().Connected(), nats.ErrConnectionClosed)
}

func TestAComplaintAboutAnothersRequestIsNotAboutOurs(t *testing.T) {
	srv := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "x"},
			{Username: "reader", Password: "x", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"docs.>"}}}},
		}
	}))
	proxy := srv.Proxy(t)
	nc := proxy.Connect(t, nats.UserInfo("reader", "x"))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	client := newClient(t, js)
	old := client.Session()
	require.NoError(t, nc.Publish("docs.a", nil))
	require.Eventually(t, func() bool { return client.Denied("docs.a") != nil }, timeout, time.Millisecond)
	require.Eventually(t, func() bool { return client.Session() != old }, timeout, time.Millisecond)

	proxy.Silence("docs.>")
	answer := client.Publish(t.Context(), jsapi.Write{Subject: "docs.a", Unconditional: true}, 50*time.Millisecond)
	require.Equal(t, jsapi.Unknown, answer.Class, "it got lost, and nobody complained")
}
