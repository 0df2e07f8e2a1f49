package jsapi_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// timeout is longer than any of the tests.
const timeout = time.Minute

func newClient(t *testing.T, js jetstream.JetStream) *jsapi.Client {
	t.Helper()
	client, err := jsapi.New(t.Context(), js)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

// newStream makes the stream of the tests.
func newStream(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: "docs", Subjects: []string{"docs.>"}, AllowDirect: true, AllowAtomicPublish: true, Storage: jetstream.MemoryStorage,
	})
	require.NoError(t, err)
}

// publish stores a message for each text on a subject.
func publish(t *testing.T, client *jsapi.Client, subject string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		answer := client.Session().Publish(t.Context(), jsapi.Write{Subject: subject, Unconditional: true, Data: []byte(text)}, timeout)
		require.Equal(t, jsapi.Stored, answer.Class, answer.Err)
	}
}

func TestAReadWhoseConnectionIsLostEndsSoon(t *testing.T) {
	for name, read := range map[string]func(ctx context.Context, client *jsapi.Client) error{
		"direct get": func(ctx context.Context, client *jsapi.Client) error {
			_, err := client.DirectLast(ctx, "docs", "docs.a")
			return err
		},
		"one of several": func(ctx context.Context, client *jsapi.Client) error {
			gets := client.Gets("docs")
			defer gets.Release()
			gets.AskLast("docs.a")
			_, err := gets.Last(ctx)
			return err
		},
		"get from the leader": func(ctx context.Context, client *jsapi.Client) error {
			_, err := client.LeaderLast(ctx, "docs", "docs.a")
			return err
		},
		"info": func(ctx context.Context, client *jsapi.Client) error {
			_, err := client.LeaderInfo(ctx, "docs", "", 0)
			return err
		},
		"get of many": func(ctx context.Context, client *jsapi.Client) error {
			_, err := client.DirectLastMany(ctx, "docs", []string{"docs.a", "docs.b"}, 1<<20)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			srv := eventstoretest.NewServer(t)
			asked := make(chan struct{}, 1)
			other := srv.Connect(t)
			_, err := other.Subscribe("silent.>", func(*nats.Msg) { asked <- struct{}{} })
			require.NoError(t, err)
			require.NoError(t, other.Flush())
			js, err := jetstream.NewWithAPIPrefix(srv.Connect(t), "silent")
			require.NoError(t, err)
			client := newClient(t, js)
			ended := make(chan error, 1)
			go func() { ended <- read(t.Context(), client) }()
			<-asked
			srv.Stop() // the connection does not come back
			err = <-ended
			require.ErrorIs(t, err, jsapi.ErrNoReply)
			require.ErrorContains(t, err, "the connection was lost", "it did not wait for longer")
			require.True(t, jsapi.Transient(err))
		})
	}
}

func TestAPublishWhoseConnectionIsLostEndsSoonAndIsInDoubt(t *testing.T) {
	for n := range 2 {
		srv := eventstoretest.NewServer(t)
		asked := make(chan struct{}, 10)
		other := srv.Connect(t)
		_, err := other.Subscribe("silent.>", func(*nats.Msg) { asked <- struct{}{} })
		require.NoError(t, err)
		require.NoError(t, other.Flush())
		client := newClient(t, srv.JetStream(t))
		writes := []jsapi.Write{{Subject: "silent.a"}, {Subject: "silent.b"}}[n:]
		ended := make(chan jsapi.Answer, 1)
		go func() { ended <- client.PublishBatch(t.Context(), writes, timeout) }()
		for range writes {
			<-asked
		}
		srv.Stop() // the connection does not come back
		answer := <-ended
		require.Equal(t, jsapi.Unknown, answer.Class)
		require.ErrorIs(t, answer.Err, jsapi.ErrNoReply)
		require.ErrorContains(t, answer.Err, "the connection was lost", "it did not wait for longer")
	}
}

func TestAWaitThatEndsSaysNothingAboutThePublish(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	newStream(t, srv.JetStream(t))
	proxy := srv.Proxy(t)
	client := newClient(t, proxy.JetStream(t))
	proxy.DropAcksWhere(func() bool { return true })
	write := jsapi.Write{Subject: "docs.a", Unconditional: true}

	answer := client.Session().Publish(t.Context(), write, time.Millisecond)
	require.Equal(t, jsapi.Unknown, answer.Class)
	require.ErrorIs(t, answer.Err, jsapi.ErrNoReply)

	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(nats.ErrConnectionClosed) // an error of a send would say that nothing was sent
	for _, writes := range [][]jsapi.Write{{write}, {write, write}} {
		answer = client.PublishBatch(ctx, writes, timeout)
		require.Equal(t, jsapi.Unknown, answer.Class)
		require.ErrorIs(t, answer.Err, nats.ErrConnectionClosed)
	}
}

func TestWhatWasUnderWayWhenTheClientClosedIsUnknownAndNothingIsSentAfter(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	newStream(t, srv.JetStream(t))
	proxy := srv.Proxy(t)
	client := newClient(t, proxy.JetStream(t))
	proxy.Silence("docs.>")
	call, err := client.Send("docs.a", nil, nil)
	require.NoError(t, err)
	require.NoError(t, client.Close())
	answer := call.Answer(t.Context(), timeout)
	require.Equal(t, jsapi.Unknown, answer.Class)
	require.ErrorIs(t, answer.Err, jsapi.ErrNoReply)

	answer = client.Session().Publish(t.Context(), jsapi.Write{Subject: "docs.a"}, timeout)
	require.Equal(t, jsapi.Unavailable, answer.Class)
	require.ErrorIs(t, answer.Err, jsapi.ErrClosed)
	_, err = client.DirectLast(t.Context(), "docs", "docs.a")
	require.ErrorIs(t, err, jsapi.ErrClosed)
	_, err = client.LeaderLast(t.Context(), "docs", "docs.a")
	require.ErrorIs(t, err, jsapi.ErrClosed)
	require.ErrorIs(t, client.Permitted(t.Context(), "STREAM.INFO.docs"), jsapi.ErrClosed)
	require.NoError(t, client.Close(), "once more")
}

func TestDomainsAndPrefixesOfTheAPIAreKept(t *testing.T) {
	srv := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) { o.JetStreamDomain = "hub" }))
	nc := srv.Connect(t)
	domain, err := jetstream.NewWithDomain(nc, "hub")
	require.NoError(t, err)
	prefix, err := jetstream.NewWithAPIPrefix(nc, "$JS.hub.API")
	require.NoError(t, err)
	newStream(t, domain)
	for _, js := range []jetstream.JetStream{domain, prefix} {
		info, err := newClient(t, js).LeaderInfo(t.Context(), "docs", "", 0)
		require.NoError(t, err)
		require.Equal(t, 1, info.Replicas)
	}
	elsewhere, err := jetstream.NewWithDomain(nc, "leaf")
	require.NoError(t, err)
	_, err = newClient(t, elsewhere).LeaderInfo(t.Context(), "docs", "", 0)
	require.ErrorIs(t, err, nats.ErrNoResponders)
	require.True(t, jsapi.Transient(err))
}

func TestRepliesThatAreNoneAreLeftAlone(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	js := srv.JetStream(t)
	newStream(t, js)
	nc := srv.Connect(t, nats.CustomInboxPrefix("replies"))
	other, err := jetstream.New(nc)
	require.NoError(t, err)
	client := newClient(t, other)
	all, err := js.Conn().SubscribeSync("docs.>")
	require.NoError(t, err)
	require.NoError(t, js.Conn().Flush(), "so that it is there before another connection publishes")
	publish(t, client, "docs.a", "x")
	msg, err := all.NextMsgWithContext(t.Context())
	require.NoError(t, err)
	inbox := msg.Reply[:strings.LastIndex(msg.Reply, ".")+1]
	require.NoError(t, js.Conn().Publish(inbox+"!", nil))
	require.NoError(t, js.Conn().Publish(inbox+"zzz", nil)) // of a request that was never sent
	require.NoError(t, js.Conn().Publish(msg.Reply, nil))   // of one that had its reply
	publish(t, client, "docs.a", "y")
}
