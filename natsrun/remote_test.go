package natsrun_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/natsrun"
)

// startServer runs a server on a port of the loopback interface that is free.
func startServer(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true}
	if change != nil {
		change(opts)
	}
	srv, err := server.NewServer(opts)
	require.NoError(t, err)
	srv.Start()
	require.True(t, srv.ReadyForConnections(10*time.Second))
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	return srv
}

func TestOpenConnectsToARemoteServer(t *testing.T) {
	srv := startServer(t, nil)
	rt := open(t, natsrun.Config{URL: srv.ClientURL()})
	createStream(t, rt)
	_, err := rt.Commands().Publish(t.Context(), "bank.42", nil)
	require.NoError(t, err)

	h := rt.Health()
	require.Equal(t, srv.ClientURL(), h.Server)
	require.True(t, h.Ready())
	require.Equal(t, natsrun.Durability{Sync: natsrun.SyncUnknown}, h.Durability)
	require.Equal(t, natsrun.Durability{Replicas: 3, Sync: natsrun.SyncUnknown}, rt.Durability(3))
}

func TestOptionsAreAddedAndHandlersAreChained(t *testing.T) {
	srv := startServer(t, func(o *server.Options) { o.Username, o.Password = "ada", "secret" })
	var closed atomic.Int32
	rt := open(t, natsrun.Config{URL: srv.ClientURL(), Options: []nats.Option{
		nats.UserInfo("ada", "secret"),
		nats.ClosedHandler(func(*nats.Conn) { closed.Add(1) }),
		nats.NoCallbacksAfterClientClose(),
		nats.ReconnectBufSize(1 << 20),
		nats.PingInterval(time.Minute),
	}})
	require.Equal(t, -1, rt.Conn().Opts.ReconnectBufSize)
	require.Equal(t, time.Minute, rt.Conn().Opts.PingInterval)
	require.NoError(t, rt.Close(t.Context()))
	require.EqualValues(t, 2, closed.Load())
}

func TestOpenRefusesAServerWithoutJetStream(t *testing.T) {
	srv := startServer(t, func(o *server.Options) { o.JetStream = false })
	_, err := natsrun.Open(t.Context(), &natsrun.Config{URL: srv.ClientURL(), Logger: quiet()})
	require.ErrorIs(t, err, natsrun.ErrUnsupportedServer)
	require.NotErrorIs(t, err, natsrun.ErrConnect)
	require.ErrorContains(t, err, srv.ClientURL())
}

func TestOpenRefusesAServerWithKnownFaults(t *testing.T) {
	proxy := eventstoretest.NewProxy(t, startServer(t, nil).ClientURL())
	proxy.RewriteInfo(eventstoretest.ServerVersion("2.14.3"))
	_, err := natsrun.Open(t.Context(), &natsrun.Config{URL: proxy.URL(), Logger: quiet()})
	require.ErrorIs(t, err, natsrun.ErrUnsupportedServer)
	require.ErrorContains(t, err, "has version 2.14.3: upgrade it to 2.12.15 or later in 2.12, or 2.14.4 or later")
}

func TestOpenFailsAtOnceWhenNobodyListens(t *testing.T) {
	srv := startServer(t, nil)
	url := strings.Replace(srv.ClientURL(), "nats://", "nats://ada:secret@", 1)
	srv.Shutdown()
	srv.WaitForShutdown()
	_, err := natsrun.Open(t.Context(), &natsrun.Config{URL: url, Logger: quiet()})
	require.ErrorIs(t, err, natsrun.ErrConnect)
	require.ErrorIs(t, err, nats.ErrNoServers)
	require.ErrorContains(t, err, "natsrun: cannot connect to "+strings.Replace(url, "ada:secret", "xxxxx", 1))
	require.NotContains(t, err.Error(), "secret")
}

func TestOpenFailsOnWrongCredentialsWithoutPrintingThem(t *testing.T) {
	srv := startServer(t, func(o *server.Options) { o.Username, o.Password = "ada", "right" })
	url := strings.Replace(srv.ClientURL(), "nats://", "nats://ada:wrong@", 1)
	_, err := natsrun.Open(t.Context(), &natsrun.Config{URL: url, Logger: quiet()})
	require.ErrorIs(t, err, nats.ErrAuthorization)
	require.NotContains(t, err.Error(), "wrong")
}

func TestAUserWhoMayNotAskForJetStreamIsLetIn(t *testing.T) {
	srv := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "ada", Password: "pw", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"bank.>"}},
		}}}
	})
	cfg := &natsrun.Config{URL: srv.ClientURL(), Logger: quiet(), Options: []nats.Option{nats.UserInfo("ada", "pw")}}
	rt, err := natsrun.Open(t.Context(), cfg)
	require.NoError(t, err)
	require.NoError(t, rt.Close(t.Context()))
}

func TestAPublishWhileDisconnectedFailsAtOnce(t *testing.T) {
	srv := startServer(t, nil)
	rt := open(t, natsrun.Config{URL: srv.ClientURL()})
	srv.Shutdown()
	srv.WaitForShutdown()
	require.Eventually(t, func() bool { return rt.Health().Commands == natsrun.Reconnecting }, 5*time.Second, time.Millisecond)
	require.False(t, rt.Health().Ready())
	require.ErrorIs(t, rt.Conn().Publish("bank.42", nil), nats.ErrReconnectBufExceeded)
	require.NoError(t, rt.Close(t.Context()))
}

func TestCloseSaysSoWhenTheClientGivesUpItsDraining(t *testing.T) {
	srv := startServer(t, nil)
	rt := open(t, natsrun.Config{URL: srv.ClientURL(), Options: []nats.Option{nats.DrainTimeout(time.Millisecond)}})
	release, entered := make(chan struct{}), make(chan struct{})
	_, err := rt.Conn().Subscribe("work", func(*nats.Msg) { close(entered); <-release })
	require.NoError(t, err)
	require.NoError(t, rt.Conn().Publish("work", nil))
	<-entered

	err = rt.Close(t.Context())
	require.ErrorIs(t, err, natsrun.ErrUnfinished)
	require.Regexp(t, ": commands$", err.Error())
	close(release)
	require.NoError(t, rt.Close(t.Context()))
}
