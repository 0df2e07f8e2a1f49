package eventstoretest_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
)

// proxied is a server with its stream, seen once directly and once through a proxy.
type proxied struct {
	srv    *eventstoretest.Server
	proxy  *eventstoretest.Proxy
	direct jetstream.JetStream
	js     jetstream.JetStream
}

func newProxied(t testing.TB, opts ...nats.Option) proxied {
	t.Helper()
	srv := eventstoretest.NewServer(t)
	p := proxied{srv: srv, proxy: srv.Proxy(t), direct: srv.JetStream(t)}
	p.js = p.proxy.JetStream(t, opts...)
	events(t, p.direct, 1)
	return p
}

// tryPublish publishes once and gives up soon.
func tryPublish(t testing.TB, js jetstream.JetStream, subject, payload string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := js.Publish(ctx, subject, []byte(payload))
	return err
}

// store publishes once and must not fail, however slow the machine.
func store(t testing.TB, js jetstream.JetStream, subject, payload string) {
	t.Helper()
	_, err := js.Publish(t.Context(), subject, []byte(payload))
	require.NoError(t, err)
}

func TestADroppedAckIsAMessageStoredWithoutAReply(t *testing.T) {
	for name, opts := range map[string][]nats.Option{
		"usual inbox":  nil,
		"other inbox":  {nats.CustomInboxPrefix("reply.to.me")},
		"inbox a call": {nats.UseOldRequestStyle()},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProxied(t, opts...)
			p.proxy.DropAcks(2)
			require.ErrorIs(t, tryPublish(t, p.js, "events.a", "1"), context.DeadlineExceeded)
			require.ErrorIs(t, tryPublish(t, p.js, "events.a", "2"), context.DeadlineExceeded)
			store(t, p.js, "events.a", "3")
			require.Equal(t, 2, p.proxy.Dropped())
			requireStored(t, p.direct, 3)
		})
	}
}

func TestAnAckThatSaysNoIsNotDropped(t *testing.T) {
	p := newProxied(t)
	p.proxy.DropAcks(1)
	_, err := p.js.Publish(t.Context(), "events.a", nil, jetstream.WithExpectLastSequence(7))
	var refused *jetstream.APIError
	require.ErrorAs(t, err, &refused)
	require.Zero(t, p.proxy.Dropped())
}

func TestAcksAreDroppedWhereTheTestSaysSo(t *testing.T) {
	p := newProxied(t)
	n := 0
	p.proxy.DropAcksWhere(func() bool { n++; return n%2 == 1 })
	require.Error(t, tryPublish(t, p.js, "events.a", "1"))
	store(t, p.js, "events.a", "2")
	require.Error(t, tryPublish(t, p.js, "events.a", "3"))
	p.proxy.DropAcksWhere(nil)
	store(t, p.js, "events.a", "4")
	requireStored(t, p.direct, 4)
}

func TestAReplyIsDroppedByItsContent(t *testing.T) {
	p := newProxied(t)
	p.proxy.DropReplies(func(_ string, payload []byte) bool {
		return bytes.Contains(payload, []byte(`"seq":1`))
	})
	require.Error(t, tryPublish(t, p.js, "events.a", "1"))
	store(t, p.js, "events.a", "2")
	require.Equal(t, 1, p.proxy.Dropped())
	requireStored(t, p.direct, 2)
}

func TestADroppedRequestIsNotStored(t *testing.T) {
	p := newProxied(t)
	p.proxy.DropRequests(func(subject string, payload []byte) bool {
		return subject == "events.a" && string(payload) == "lost"
	})
	require.ErrorIs(t, tryPublish(t, p.js, "events.a", "lost"), context.DeadlineExceeded)
	_, err := p.js.PublishMsg(t.Context(), &nats.Msg{
		Subject: "events.a", Data: []byte("kept"), Header: nats.Header{"K": {"v"}},
	})
	require.NoError(t, err)
	require.Equal(t, 1, p.proxy.Dropped())
	requireStored(t, p.direct, 1)
}

func TestASilencedSubjectIsLostWhileTheConnectionLives(t *testing.T) {
	p := newProxied(t)
	p.proxy.Silence("events.a.*", "events.b")
	require.ErrorIs(t, tryPublish(t, p.js, "events.a.1", "1"), context.DeadlineExceeded)
	require.ErrorIs(t, tryPublish(t, p.js, "events.b", "2"), context.DeadlineExceeded)
	store(t, p.js, "events.c", "3")
	p.proxy.Silence()
	require.ErrorIs(t, tryPublish(t, p.js, "events.c", "4"), context.DeadlineExceeded)
	require.NoError(t, p.js.Conn().FlushTimeout(10*time.Second), "PING and PONG pass")
	p.proxy.Resume()
	store(t, p.js, "events.b", "5")
	requireStored(t, p.direct, 2)
}

func TestADelayHoldsEachDirectionBackAndKeepsTheOrder(t *testing.T) {
	const delay = 50 * time.Millisecond
	p := newProxied(t)
	p.proxy.Delay(delay)
	started := time.Now()
	var last jetstream.PubAckFuture
	for range 100 {
		future, err := p.js.PublishAsync("events.a", nil)
		require.NoError(t, err)
		last = future
	}
	select {
	case ack := <-last.Ok():
		require.Equal(t, uint64(100), ack.Sequence)
	case err := <-last.Err():
		require.NoError(t, err)
	}
	took := time.Since(started)
	require.GreaterOrEqual(t, took, 2*delay)
	require.Less(t, took, 100*delay, "the frames wait beside each other")

	p.proxy.Delay(0)
	store(t, p.js, "events.a", "at once")
}

func TestACutConnectionComesBackWhenHealed(t *testing.T) {
	lost := make(chan struct{}, 100)
	p := newProxied(t, nats.DisconnectErrHandler(func(*nats.Conn, error) { lost <- struct{}{} }))
	p.proxy.Cut()
	<-lost
	require.Error(t, tryPublish(t, p.js, "events.a", "1"))
	_, err := nats.Connect(p.proxy.URL())
	require.Error(t, err)

	p.proxy.Heal()
	publish(t, p.js, "2")
	requireStored(t, p.direct, 1)
}

func TestAPredicateMayCutTheConnection(t *testing.T) {
	p := newProxied(t)
	p.proxy.DropReplies(func(string, []byte) bool {
		p.proxy.DropReplies(nil)
		p.proxy.Cut()
		p.proxy.Heal()
		return true
	})
	require.Error(t, tryPublish(t, p.js, "events.a", "1"))
	publish(t, p.js, "2")
	requireStored(t, p.direct, 2)
}

func TestAProxyStaysOfUseOverARestart(t *testing.T) {
	p := newProxied(t)
	publish(t, p.js, "1")
	p.srv.Restart()
	publish(t, p.js, "2")
	requireStored(t, p.js, 2)
}

func TestARewrittenInfoIsWhatTheClientSees(t *testing.T) {
	p := newProxied(t)
	p.proxy.RewriteInfo(func(info []byte) []byte {
		return bytes.Replace(info, []byte(p.srv.NATS().Name()), []byte("renamed"), 1)
	})
	require.Equal(t, "renamed", p.proxy.Connect(t).ConnectedServerName())

	p.proxy.RewriteInfo(eventstoretest.ServerVersion("2.9.1"))
	nc := p.proxy.Connect(t)
	require.Equal(t, "2.9.1", nc.ConnectedServerVersion())
	require.NotEqual(t, "2.9.1", p.srv.Connect(t).ConnectedServerVersion())
}

func TestTheLastWordsOfAServerReachTheClient(t *testing.T) {
	p := newProxied(t)
	lost := make(chan error, 1)
	nc := p.proxy.Connect(t, nats.NoReconnect(), nats.ClosedHandler(func(nc *nats.Conn) { lost <- nc.LastError() }))
	require.NoError(t, nc.Publish("a", []byte(strings.Repeat("x", 1<<20))))
	require.NoError(t, nc.Flush())
	require.NoError(t, nc.Publish(strings.Repeat("x", 5000), nil)) // longer than the server's control line
	require.ErrorContains(t, <-lost, "maximum control line exceeded")
}

func TestDuplicateDeliversTheMessagesOfConsumersTwice(t *testing.T) {
	p := newProxied(t)
	for _, payload := range []string{"1", "2"} {
		store(t, p.js, "events.a", payload)
	}
	p.proxy.Duplicate(true)
	stream, err := p.direct.Stream(t.Context(), "EVENTS")
	require.NoError(t, err)
	consumer, err := p.js.CreateConsumer(t.Context(), stream.CachedInfo().Config.Name, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy})
	require.NoError(t, err)
	messages, err := consumer.Messages()
	require.NoError(t, err)
	defer messages.Stop()
	var got []string
	for range 4 {
		msg, err := messages.Next(jetstream.NextContext(t.Context()))
		require.NoError(t, err)
		got = append(got, string(msg.Data()))
	}
	require.Equal(t, []string{"1", "1", "2", "2"}, got)
	store(t, p.js, "events.a", "3") // answers come once: a second one would reach nobody, or another request
}
