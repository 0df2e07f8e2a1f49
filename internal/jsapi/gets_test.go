package jsapi_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// holding returns a client of a stream with a message for each text on subject docs.a.
func holding(t *testing.T, texts ...string) *jsapi.Client {
	t.Helper()
	js := eventstoretest.NewServer(t).JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	publish(t, client, "docs.a", texts...)
	return client
}

func TestMessagesAreAskedForAtOnceAndTakenInAnyOrder(t *testing.T) {
	client := holding(t, "1", "2", "3", "4")
	publish(t, client, "docs.b", "5")
	for range 3 { // released ones are used again
		gets := client.Gets("docs")
		gets.AskFirst("docs.a")
		gets.AskLast("docs.a")
		last, err := gets.Last(t.Context())
		require.NoError(t, err)
		require.Equal(t, "4", string(last.Data))
		for _, sequence := range []uint64{2, 3, 5} {
			gets.AskSequence(sequence)
		}
		for _, sequence := range []uint64{5, 2, 3} {
			msg, err := gets.Sequence(t.Context(), sequence)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(sequence), string(msg.Data))
			require.Equal(t, sequence, msg.Sequence)
		}
		first, err := gets.First(t.Context())
		require.NoError(t, err)
		require.Equal(t, "1", string(first.Data))
		require.Equal(t, uint64(3), first.Pending)
		gets.Release()
	}
}

func TestDataAloneIsAskedForAmongWholeMessages(t *testing.T) {
	client := holding(t, "1", "2", "3", "4")
	for range 3 { // released ones are used again
		gets := client.Gets("docs")
		gets.AskData(4)
		gets.AskSequence(1)
		gets.AskData(7)
		gets.AskData(2)
		gets.AskData(3)
		for _, sequence := range []uint64{3, 1, 4, 2} {
			msg, err := gets.Sequence(t.Context(), sequence)
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint(sequence), string(msg.Data))
			require.Equal(t, sequence, msg.Sequence)
			require.Equal(t, sequence == 1, msg.Subject == "docs.a")
			require.Equal(t, sequence == 1, msg.Header != nil)
		}
		_, err := gets.Sequence(t.Context(), 7)
		require.ErrorIs(t, err, jsapi.ErrNotFound)
		gets.Release()
	}
}

func TestTheOnlyMessageIsTheFirstAndTheLast(t *testing.T) {
	client := holding(t, "1")
	gets := client.Gets("docs")
	defer gets.Release()
	gets.AskLast("docs.a")
	gets.AskFirst("docs.a")
	first, err := gets.First(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(1), first.Sequence)
	last, err := gets.Last(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(1), last.Sequence)
}

func TestWhatIsNotThereIsMissingAmongWhatIs(t *testing.T) {
	client := holding(t, "1", "2")
	gets := client.Gets("docs")
	gets.AskSequence(7)
	gets.AskSequence(2)
	gets.AskSequence(8)
	_, err := gets.Sequence(t.Context(), 7)
	require.ErrorIs(t, err, jsapi.ErrNotFound)
	msg, err := gets.Sequence(t.Context(), 2)
	require.NoError(t, err)
	require.Equal(t, "2", string(msg.Data))
	_, err = gets.Sequence(t.Context(), 8)
	require.ErrorIs(t, err, jsapi.ErrNotFound)
	gets.Release()

	gets = client.Gets("docs")
	gets.AskFirst("docs.b")
	gets.AskLast("docs.b")
	_, err = gets.Last(t.Context())
	require.ErrorIs(t, err, jsapi.ErrNotFound)
	_, err = gets.First(t.Context())
	require.ErrorIs(t, err, jsapi.ErrNotFound)
	gets.Release()

	gets = client.Gets("none")
	gets.AskLast("docs.a")
	_, err = gets.Last(t.Context())
	require.ErrorIs(t, err, nats.ErrNoResponders)
	require.True(t, jsapi.Transient(err))
	gets.Release()

	gets = client.Gets("docs")
	defer gets.Release()
	gets.AskSequence(0)
	_, err = gets.Sequence(t.Context(), 0)
	require.ErrorContains(t, err, "408")
}

// A reply that nobody has waited for must not be taken for the reply to a later request.
func TestRepliesOfWhatWasGivenUpAnswerNothingElse(t *testing.T) {
	server := eventstoretest.NewServer(t)
	newStream(t, server.JetStream(t))
	proxy := server.Proxy(t)
	client := newClient(t, proxy.JetStream(t))
	publish(t, client, "docs.a", "old")
	left := errors.New("the caller left")
	gone, leave := context.WithCancelCause(t.Context())
	leave(left)
	for round := range 20 {
		gets := client.Gets("docs")
		gets.AskLast("docs.a")
		if _, err := gets.Last(gone); err != nil { // the reply may have come already
			require.ErrorIs(t, err, left)
		}
		gets.Release()
		publish(t, client, "docs.a", fmt.Sprint(round))

		gets = client.Gets("docs")
		gets.AskLast("docs.a")
		msg, err := gets.Last(t.Context())
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(round), string(msg.Data))
		gets.Release()
	}
}

func TestNotMoreIsAskedForThanThereIsRoomFor(t *testing.T) {
	client := holding(t, "1")
	gets := client.Gets("docs")
	defer gets.Release()
	for range jsapi.MaxGets + 1 {
		gets.AskSequence(1)
	}
	for range jsapi.MaxGets {
		_, err := gets.Sequence(t.Context(), 1)
		require.NoError(t, err)
	}
	_, err := gets.Sequence(t.Context(), 1)
	require.ErrorContains(t, err, "more than 32")
}

func TestNothingIsAskedForAfterTheClientClosed(t *testing.T) {
	server := eventstoretest.NewServer(t)
	newStream(t, server.JetStream(t))
	nc := server.Connect(t)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	client := newClient(t, js)
	publish(t, client, "docs.a", "1")
	kept, under := client.Gets("docs"), client.Gets("docs")
	kept.Release()
	require.NoError(t, client.Close())
	under.AskLast("docs.a")
	_, err = under.Last(t.Context())
	require.NoError(t, err, "it has a subscription of its own")
	under.Release()
	require.Zero(t, nc.NumSubscriptions())
	late := client.Gets("docs")
	defer late.Release()
	late.AskLast("docs.a")
	_, err = late.Last(t.Context())
	require.ErrorIs(t, err, jsapi.ErrClosed)
}
