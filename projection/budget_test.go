package projection_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/projection"
)

// slowDialer dials connections that send so many bytes a second.
type slowDialer struct{ rate int }

func (d slowDialer) Dial(network, address string) (net.Conn, error) {
	c, err := net.Dial(network, address)
	if err != nil {
		return nil, err
	}
	return slowConn{c, d.rate}, nil
}

type slowConn struct {
	net.Conn
	rate int
}

func (c slowConn) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		part := p[:min(len(p), 4<<10)]
		m, err := c.Conn.Write(part)
		if n += m; err != nil {
			return n, err
		}
		spend(time.Duration(len(part)) * time.Second / time.Duration(c.rate))
		p = p[len(part):]
	}
	return n, nil
}

// One batch with all the documents would take three times as long as the other instance waits.
func TestTwoInstancesOverSlowLinksGetOn(t *testing.T) {
	t.Parallel()
	const documents, size, rate = 40, 60_000, 2 << 20
	cfg := &projection.Config{Heartbeat: 150 * time.Millisecond, StandBy: 400 * time.Millisecond}
	server := eventstoretest.NewServer(t)
	texts := func(store *eventstore.Store) *projection.View[string] {
		text := strings.Repeat("x", size)
		view, err := projection.Open(t.Context(), store, "texts", 1, cfg,
			projection.On(func(_ string, _ deposited) string { return text }).By(func(e deposited) string { return e.Text }))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, view.Close()) })
		return view
	}
	writer, _ := openOn(t, server)
	reader := texts(writer)
	for range 2 {
		js, err := jetstream.New(server.Connect(t, nats.SetCustomDialer(slowDialer{rate})))
		require.NoError(t, err)
		run(t, texts(openAt(t, js)))
	}
	require.NoError(t, reader.WaitFor(t.Context(), deposit(t, writer, "first", 1)))
	all := make([]eventstore.Event, documents)
	for i := range all {
		all[i] = deposited{Text: fmt.Sprint(i)}
	}
	c, err := writer.Append(t.Context(), account("all"), eventstore.Head{}, all...)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, reader.WaitFor(ctx, c.Position))
}
