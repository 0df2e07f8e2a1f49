package jsapi_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

func TestASubscriptionTooManyIsNamedAndSoIsTheNext(t *testing.T) {
	const limit = 20
	srv := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) { o.MaxSubs = limit }))
	js := srv.JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	publish(t, client, "docs.a", "1")
	get := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // less than a get waits for a reply
		defer cancel()
		gets := client.Gets("docs")
		defer gets.Release()
		gets.AskLast("docs.a")
		_, err := gets.Last(ctx)
		return err
	}
	pull := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
		defer cancel()
		pull, err := client.NewPull("docs", jetstream.ConsumerInfo{Name: "c"}, jsapi.Ahead{Messages: 10, Bytes: 1 << 20, Expires: 10 * time.Second})
		if err != nil {
			return err
		}
		defer pull.Close()
		_, err = pull.Next(ctx, 4*time.Second)
		return err
	}
	anew := func() error {
		other, err := jsapi.New(t.Context(), js)
		if err != nil {
			return err
		}
		return other.Close()
	}
	for what, ask := range map[string]func() error{"get": get, "pull": pull, "client": anew} {
		t.Run(what, func(t *testing.T) {
			require.NoError(t, js.Conn().Flush())
			var others []*nats.Subscription
			for js.Conn().NumSubscriptions() < limit {
				sub, err := js.Conn().SubscribeSync(fmt.Sprint("other.", len(others)))
				require.NoError(t, err)
				others = append(others, sub)
			}
			for range 3 {
				require.ErrorIs(t, ask(), nats.ErrMaxSubscriptionsExceeded)
			}
			for _, sub := range others {
				require.NoError(t, sub.Unsubscribe())
			}
			if what != "pull" { // there is no such consumer
				require.NoError(t, ask(), "the complaint is an old one")
			}
		})
	}
}
