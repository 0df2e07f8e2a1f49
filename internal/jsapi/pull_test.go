package jsapi_test

import (
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// newPull makes a consumer of all messages of a stream and pulls from it.
func newPull(t *testing.T, client *jsapi.Client, ahead jsapi.Ahead) (p *jsapi.Pull, consumer jetstream.ConsumerInfo) {
	t.Helper()
	consumer, err := client.CreateConsumer(t.Context(), "docs", jetstream.ConsumerConfig{
		Name: rand.Text(), AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
	})
	require.NoError(t, err)
	p, err = client.NewPull("docs", consumer, ahead)
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p, consumer
}

// TestAPullGivesAllMessagesInOrderOverManyRequests reads with requests that end by their number of messages,
// and with requests that end by bytes.
func TestAPullGivesAllMessagesInOrderOverManyRequests(t *testing.T) {
	js := eventstoretest.NewServer(t).JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	const n = 300
	for i := range n {
		publish(t, client, "docs.a", strings.Repeat(strconv.Itoa(i)+" ", 1+i%50))
	}
	for _, ahead := range []jsapi.Ahead{
		{Messages: 2, Bytes: 1 << 20, Expires: 10 * time.Second},
		{Messages: 15, Bytes: 1 << 20, Expires: 10 * time.Second},
		{Messages: 100, Bytes: 2000, Expires: 10 * time.Second},
		{Messages: 10_000, Bytes: 1 << 20, Expires: 10 * time.Second},
	} {
		p, _ := newPull(t, client, ahead)
		for i := range n {
			msg, err := p.Next(t.Context(), 10*time.Second)
			require.NoError(t, err, ahead)
			require.NotNil(t, msg, ahead)
			require.Equal(t, strconv.Itoa(i), strings.Fields(string(msg.Data))[0], ahead)
		}
	}
}

func TestAPullWaitsForWhatComesLater(t *testing.T) {
	js := eventstoretest.NewServer(t).JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	// Requests expire while the pull waits, and are sent anew.
	p, consumer := newPull(t, client, jsapi.Ahead{Messages: 10, Bytes: 1 << 20, Expires: 100 * time.Millisecond})
	for _, wait := range []time.Duration{500 * time.Millisecond, 50 * time.Millisecond} {
		begin := time.Now()
		msg, err := p.Next(t.Context(), wait)
		require.NoError(t, err)
		require.Nil(t, msg)
		require.GreaterOrEqual(t, time.Since(begin), wait)
	}
	publish(t, client, "docs.a", "late")
	msg, err := p.Next(t.Context(), 10*time.Second)
	require.NoError(t, err)
	require.Equal(t, "late", string(msg.Data))

	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	_, err = p.Next(ctx, 10*time.Second)
	require.ErrorIs(t, err, gone)

	require.NoError(t, js.DeleteConsumer(t.Context(), "docs", consumer.Name))
	_, err = p.Next(t.Context(), 10*time.Second)
	require.Error(t, err, "the server says that the consumer is deleted")
	_, err = p.Next(t.Context(), 10*time.Second)
	require.Error(t, err, "or nobody answers for it")
	p.Close()
	js.Conn().Close()
	_, err = client.NewPull("docs", consumer, jsapi.Ahead{Messages: 1})
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}

func TestAPullThatWaitsForLongHasTwoRequestsUnderWay(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	js := srv.JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	const expires, waits = 50 * time.Millisecond, 30
	p, consumer := newPull(t, client, jsapi.Ahead{Messages: 10, Bytes: 1 << 20, Expires: expires})
	requests, err := srv.Connect(t).SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.docs." + consumer.Name)
	require.NoError(t, err)
	begin := time.Now()
	for range waits {
		msg, err := p.Next(t.Context(), expires)
		require.NoError(t, err)
		require.Nil(t, msg)
	}
	sent, _, err := requests.Pending()
	require.NoError(t, err)
	require.Positive(t, sent)
	require.LessOrEqual(t, sent, 2+2*int(time.Since(begin)/expires))
}

// A node of a cluster may not know yet where to pass the first requests.
func TestAPullRepeatsRequestsThatAreNotAnswered(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	proxy := srv.Proxy(t)
	js := proxy.JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	ahead := jsapi.Ahead{Messages: 10, Bytes: 1 << 20, Expires: 10 * time.Second}
	for _, when := range []string{"before", "later"} {
		lost := 0
		proxy.DropRequests(func(subject string, _ []byte) bool {
			if strings.HasPrefix(subject, "$JS.API.CONSUMER.MSG.NEXT.") {
				lost++
			}
			return lost > 0 && lost <= 2
		})
		if when == "before" {
			publish(t, client, "docs.a", when)
		}
		p, _ := newPull(t, client, ahead)
		if when == "later" {
			msg, err := p.Next(t.Context(), 10*time.Second)
			require.NoError(t, err)
			require.Equal(t, "before", string(msg.Data))
			publish(t, client, "docs.a", when)
		}
		msg, err := p.Next(t.Context(), 10*time.Second)
		require.NoError(t, err, when)
		require.Equal(t, when, string(msg.Data))
	}
}
