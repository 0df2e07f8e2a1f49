package jsapi_test

import (
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// newReader returns a client that may ask for the stream of the tests and nothing else, and the proxy that it goes
// through.
func newReader(t *testing.T) (*eventstoretest.Proxy, *jsapi.Client) {
	t.Helper()
	srv := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "x"},
			{Username: "reader", Password: "x", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: []string{"$JS.API.STREAM.INFO.*"}},
			}},
		}
	}))
	admin, err := jetstream.New(srv.Connect(t, nats.UserInfo("admin", "x")))
	require.NoError(t, err)
	newStream(t, admin)
	proxy := srv.Proxy(t)
	js, err := jetstream.New(proxy.Connect(t, nats.UserInfo("reader", "x")))
	require.NoError(t, err)
	return proxy, newClient(t, js)
}

func TestASessionIsNeverOfAConnectionThatWasKnownToBeLost(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	nc := srv.Connect(t, nats.ReconnectWait(time.Millisecond), nats.MaxReconnects(-1))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	client := newClient(t, js)
	const askers, reconnects = 4, 100
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range askers {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				known := nc.Stats().Reconnects + 1
				assert.GreaterOrEqual(t, client.Session().Number(), known)
			}
		})
	}
	for made := range uint64(reconnects) {
		require.NoError(t, nc.ForceReconnect())
		require.Eventually(t, func() bool { return nc.IsConnected() && nc.Stats().Reconnects > made }, timeout, time.Millisecond)
	}
	close(stop)
	asking.Wait()
	require.Eventually(t, func() bool { return client.Session().Connected() == nil }, timeout, time.Millisecond, "once it was asked")
	nc.Close()
	require.ErrorIs(t, client.Session().Connected(), nats.ErrConnectionClosed)
}

func TestOnlyAComplaintThatCameSinceIsARefusal(t *testing.T) {
	proxy, client := newReader(t)
	const long = 50 * time.Millisecond
	write := jsapi.Write{Subject: "docs.a", Unconditional: true}
	refused := func(writes ...jsapi.Write) func() bool {
		return func() bool {
			answer := client.PublishBatch(t.Context(), writes, long)
			require.NotEqual(t, jsapi.Stored, answer.Class)
			return answer.Class == jsapi.Refused
		}
	}
	require.Eventually(t, refused(write), timeout, time.Millisecond)
	require.Eventually(t, refused(write, write), timeout, time.Millisecond)
	require.ErrorIs(t, client.Denied("docs.a"), nats.ErrPermissionViolation)
	require.NoError(t, client.Denied("docs.b"))
	require.NoError(t, client.Permitted(t.Context(), "STREAM.INFO.docs"))
	require.ErrorIs(t, client.Permitted(t.Context(), "STREAM.MSG.GET.docs"), nats.ErrPermissionViolation)

	// The server is silent as well if a publish got lost.
	require.Eventually(t, refused(write), timeout, time.Millisecond)
	proxy.Silence("docs.>")
	require.ErrorIs(t, client.Denied("docs.a"), nats.ErrPermissionViolation)
	answer := client.Session().Publish(t.Context(), write, long)
	require.Equal(t, jsapi.Unknown, answer.Class)
}

func TestAComplaintAboutAnothersRequestIsNotAboutOurs(t *testing.T) {
	proxy, client := newReader(t)
	old := client.Session()
	require.NoError(t, client.Conn().Publish("docs.a", nil))
	require.Eventually(t, func() bool { return client.Denied("docs.a") != nil }, timeout, time.Millisecond)
	require.Eventually(t, func() bool { return client.Session() != old }, timeout, time.Millisecond)

	proxy.Silence("docs.>")
	answer := client.Session().Publish(t.Context(), jsapi.Write{Subject: "docs.a", Unconditional: true}, 50*time.Millisecond)
	require.Equal(t, jsapi.Unknown, answer.Class, "it got lost, and nobody complained")
}
