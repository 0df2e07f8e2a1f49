package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// replay publishes the payload at a position under another stream's subject, as if the server had kept only that part
// of a transaction, or as if a writer had written false links.
func replay(t *testing.T, js jetstream.JetStream, position eventstore.Position, onto string) {
	t.Helper()
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	msg, err := stream.GetMsg(t.Context(), uint64(position))
	require.NoError(t, err)
	publishAsACommit(t, js, "bank.account."+onto, msg.Data)
}

// publishAsACommit stores a message with the header of a commit.
func publishAsACommit(t require.TestingT, js jetstream.JetStream, subject string, data []byte) {
	ctx := context.Background()
	store, _, _ := strings.Cut(subject, ".")
	stream, err := js.Stream(ctx, store)
	require.NoError(t, err)
	last, err := stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		last, err = &jetstream.RawStreamMsg{}, nil
	}
	require.NoError(t, err)
	_, err = js.Publish(ctx, subject, data, jetstream.WithExpectLastSequencePerSubject(last.Sequence))
	require.NoError(t, err)
}

func TestTheRemainderOfATornTransactionIsNoPartOfTheLog(t *testing.T) {
	for _, later := range []bool{false, true} {
		js := eventstoretest.JetStream(t)
		store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
		require.NoError(t, err)
		defer store.Close()
		_, err = store.AppendAll(t.Context(),
			eventstore.Write{Stream: account("a"), Events: []eventstore.Event{deposited{1}}},
			eventstore.Write{Stream: account("b"), Events: []eventstore.Event{deposited{2}}},
			eventstore.Write{Stream: account("c"), Events: []eventstore.Event{deposited{3}}})
		require.NoError(t, err)
		replay(t, js, 1, "torn1") // the first two of three, and the third never came
		replay(t, js, 2, "torn2")
		if later {
			_, err = store.Append(t.Context(), account("d"), eventstore.Head{}, deposited{4})
			require.NoError(t, err)
		}
		for _, id := range []string{"torn1", "torn2"} {
			history, err := store.Load(t.Context(), account(id))
			require.NoError(t, err)
			require.Empty(t, history.Commits)
			require.Zero(t, history.Head.Version)

			c, err := store.Append(t.Context(), account(id), history.Head, deposited{5})
			require.NoError(t, err, "the stream goes on from the version before")
			require.Equal(t, eventstore.Version(1), c.First)
			_, err = store.Append(t.Context(), account(id), c.Head(), deposited{6})
			require.NoError(t, err)
			require.Equal(t, []eventstore.Event{deposited{5}, deposited{6}}, decode(t, store.Stream(t.Context(), account(id))))
		}
		want := []eventstore.Event{deposited{1}, deposited{2}, deposited{3}}
		if later {
			want = append(want, deposited{4})
		}
		want = append(want, deposited{5}, deposited{6}, deposited{5}, deposited{6})
		require.Equal(t, want, decode(t, store.All(t.Context())))
		require.Positive(t, store.Counters().Torn)
	}
}

func TestATornTransactionAtTheLogsEndEndsTheReading(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	_, err = store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("a"), Events: []eventstore.Event{deposited{1}}},
		eventstore.Write{Stream: account("b"), Events: []eventstore.Event{deposited{2}}})
	require.NoError(t, err)
	replay(t, js, 1, "torn")
	require.Equal(t, []eventstore.Event{deposited{1}, deposited{2}}, decode(t, store.All(t.Context())))
	require.Equal(t, int64(1), store.Counters().Torn)
}

func TestALongStreamIsReadAcrossATornCommit(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	_, err = store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("a"), Events: []eventstore.Event{deposited{1}}},
		eventstore.Write{Stream: account("b"), Events: []eventstore.Event{deposited{2}}})
	require.NoError(t, err)
	replay(t, js, 1, "long")
	head, err := store.Head(t.Context(), account("long"))
	require.NoError(t, err)
	for i := range 1100 {
		c, err := store.Append(t.Context(), account("long"), head, deposited{int64(i)})
		require.NoError(t, err)
		head = c.Head()
	}
	all := decode(t, store.Stream(t.Context(), account("long")))
	require.Len(t, all, 1100)
	require.Equal(t, deposited{0}, all[0])
	require.Positive(t, store.Counters().LinkMisses, "more than the links reach")
}

// Of what links lead to, all but the oldest is asked for without its subject.
func TestAFalseLinkBeforeTrueOnesIsAHintOnly(t *testing.T) {
	store := open(t, nil)
	var heads [2]eventstore.Head // of streams a and b
	var positions [2][]eventstore.Position
	var want []eventstore.Event // in stream a
	for i := range int64(5) {
		for which, id := range []string{"a", "b"} {
			c, err := store.Append(t.Context(), account(id), heads[which], deposited{i - 100*int64(which)})
			require.NoError(t, err)
			heads[which], positions[which] = c.Head(), append(positions[which], c.Position)
		}
		want = append(want, deposited{i})
	}
	// The other stream has the right versions there.
	falsify := map[string]func(links []eventstore.Position){
		"the newest":   func(links []eventstore.Position) { links[0] = positions[1][4] },
		"a middle one": func(links []eventstore.Position) { links[2] = positions[1][3] },
	}
	head := heads[0]
	for misses, name := range []string{"the newest", "a middle one"} {
		links := slices.Clone(head.Links())
		falsify[name](links)
		c, err := store.Append(t.Context(), account("a"), store.Give(account("a"), head.WithLinks(links...)), deposited{int64(5 + misses)})
		require.NoError(t, err)
		want, head = append(want, deposited{int64(5 + misses)}), c.Head().WithLinks(append([]eventstore.Position{c.Position}, head.Links()...)...)
		require.Equal(t, want, decode(t, store.Stream(t.Context(), account("a"))), name)
		require.Equal(t, int64(misses+1), store.Counters().LinkMisses, name)
	}
}

func TestFalseLinksAreHintsOnly(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	for _, id := range []string{"a", "b"} {
		c, err := store.Append(t.Context(), account(id), eventstore.Head{}, opened{id})
		require.NoError(t, err)
		if id == "a" {
			_, err = store.Append(t.Context(), account(id), c.Head(), deposited{2})
			require.NoError(t, err)
		}
	}
	replay(t, js, 2, "b") // version 2, linked to the first commit of the other stream
	require.Equal(t, []eventstore.Event{opened{"b"}, deposited{2}}, decode(t, store.Stream(t.Context(), account("b"))))
	require.Equal(t, int64(1), store.Counters().LinkMisses)

	replay(t, js, 2, "b") // version 2 again
	_, err = store.Load(t.Context(), account("b"))
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	replay(t, js, 2, "c") // version 2 without a version 1
	_, err = store.Load(t.Context(), account("c"))
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
}

// A server that holds the only replica keeps a part of a transaction that takes the account over its limit, and does
// not answer. If it restarts with a higher limit, it stores the rest.
func TestATransactionOfWhichTheServerHasAPartIsNotSaidNotToBeStored(t *testing.T) {
	js := eventstoretest.Limited(t, func(l *server.JetStreamAccountLimits) { l.MaxStore = 30_000 })
	store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{opened{}},
		&eventstore.Config{AckTimeout: 20 * time.Second, AppendTimeout: time.Minute})
	require.NoError(t, err)
	defer store.Close()
	var writes []eventstore.Write
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		writes = append(writes, eventstore.Write{Stream: account(id), Events: []eventstore.Event{opened{Owner: strings.Repeat("x", 8000)}}})
	}
	began := time.Now()
	_, err = store.AppendAll(t.Context(), writes...)
	require.ErrorIs(t, err, eventstore.ErrUnknownOutcome)
	require.ErrorContains(t, err, "resource limits exceeded for account")
	require.Empty(t, decode(t, store.All(t.Context())))
	_, err = store.AppendAll(t.Context(), writes...)
	require.ErrorIs(t, err, eventstore.ErrFull)
	require.Less(t, time.Since(began), 15*time.Second)
}

func TestAnImportIntoAnAccountThatIsTooSmallSaysSo(t *testing.T) {
	from := open(t, nil)
	var head eventstore.Head
	for _, size := range []int{1, 30_000, 30_000, 30_000, 1} {
		c, err := from.Append(t.Context(), account("a"), head, opened{Owner: strings.Repeat("x", size)})
		require.NoError(t, err)
		head = c.Head()
	}
	archive := export(t, from)
	for _, limit := range []int64{50_000, 80_000} {
		js := eventstoretest.Limited(t, func(l *server.JetStreamAccountLimits) { l.MaxStore = limit })
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		_, err := eventstore.Import(ctx, js, bytes.NewReader(archive), &eventstore.ImportConfig{
			Store: &eventstore.Config{AckTimeout: 20 * time.Second},
		})
		require.ErrorIs(t, err, eventstore.ErrFull)
	}
}
