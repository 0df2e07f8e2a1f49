package aggregate_test

import (
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/allocs"
)

// commandBound is what was counted and a tenth more. nats.go takes 26 for the same publish.
const commandBound = 14.5

func TestAllocations(t *testing.T) {
	allocs.Countable(t)
	const n = 500
	js := eventstoretest.NewProcess(t, t.TempDir()).JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	accounts, err := aggregate.New(store, "account", balance{}, nil)
	require.NoError(t, err)
	ours := allocs.Of(t, n, func() {
		for range n {
			if _, err := accounts.Do(t.Context(), "1", deposit{1}); err != nil {
				t.Fatal(err)
			}
		}
	})
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	stored, err := stream.GetMsg(t.Context(), 1)
	require.NoError(t, err)
	var last uint64
	raw := allocs.Of(t, n, func() {
		for range n {
			msg := nats.NewMsg("bank.account.raw")
			msg.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
			msg.Data = stored.Data
			ack, err := js.PublishMsg(t.Context(), msg)
			if err != nil {
				t.Fatal(err)
			}
			last = ack.Sequence
		}
	})
	ours.Within(t, commandBound, raw)
}
