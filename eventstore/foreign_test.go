package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// strays are messages that another program may publish to a subject of a store. The payload is copied from a commit of
// the store.
func strays(subject string, payload []byte) map[string]*nats.Msg {
	return map[string]*nats.Msg{
		"a document":              {Subject: subject, Data: []byte(`{"name":"x"}`)},
		"nothing":                 {Subject: subject},
		"a copy of a commit":      {Subject: subject, Data: payload},
		"half a commit":           {Subject: subject, Data: payload[:len(payload)/2]},
		"a header of its own":     {Subject: subject, Header: nats.Header{"Trace": {"1"}}, Data: []byte("x")},
		"the status of no reply":  {Subject: subject, Header: nats.Header{"Status": {"404"}}},
		"the status of a request": {Subject: subject, Header: nats.Header{"Status": {"100"}, "Description": {"x"}}},
		"an id":                   {Subject: subject, Header: nats.Header{jetstream.MsgIDHeader: {"1"}}, Data: []byte("x")},
	}
}

// stray publishes a message past the store, and waits until it is stored.
func stray(t *testing.T, store *eventstore.Store, msg *nats.Msg) eventstore.Position {
	t.Helper()
	nc := store.JetStream().Conn()
	stream, err := store.JetStream().Stream(t.Context(), store.Name())
	require.NoError(t, err)
	before := eventstore.Position(stream.CachedInfo().State.LastSeq)
	require.NoError(t, nc.PublishMsg(msg))
	require.NoError(t, nc.Flush())
	require.Eventually(t, func() bool {
		reached, err := eventstore.Inside(inside.Pass{}, store).Reaches(t.Context(), uint64(before+1))
		return err == nil && reached
	}, time.Minute, time.Millisecond)
	return before + 1
}

// payloadAt returns what stands at a position as it is stored.
func payloadAt(t *testing.T, store *eventstore.Store, position eventstore.Position) []byte {
	t.Helper()
	stream, err := store.JetStream().Stream(t.Context(), store.Name())
	require.NoError(t, err)
	msg, err := stream.GetMsg(t.Context(), uint64(position))
	require.NoError(t, err)
	return msg.Data
}

// requireEvents reads the whole log, and the stream account/a, which holds opened and the deposits.
func requireEvents(t *testing.T, store *eventstore.Store, deposits ...int64) {
	t.Helper()
	want := []eventstore.Event{opened{}}
	for _, amount := range deposits {
		want = append(want, deposited{amount})
	}
	require.Equal(t, want, decode(t, store.All(t.Context())), "the log")
	require.Equal(t, want, decode(t, store.Stream(t.Context(), account("a"))), "the stream")
	history, err := store.Load(t.Context(), account("a"), eventstore.From(2), eventstore.Leader())
	require.NoError(t, err)
	require.Len(t, history.Commits, len(deposits))
	var down []eventstore.Event
	for recorded, err := range store.Stream(t.Context(), account("a"), eventstore.Backwards()) {
		require.NoError(t, err)
		events, err := recorded.Decode()
		require.NoError(t, err)
		down = append(events, down...)
	}
	require.Equal(t, want, down, "backwards")
	report, err := store.Verify(t.Context(), nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, report.Foreign)
}

func TestAMessageOfAnotherProgramIsPassedOver(t *testing.T) {
	t.Parallel()
	for _, subject := range []string{"bank.account.a", "bank.customers.find", "bank.customers.fi=nd", "bank.runnel.erased", "bank.cust*.fi>nd", "bank.*.>"} {
		for name := range strays(subject, []byte("xx")) {
			t.Run(subject+"/"+name, func(t *testing.T) {
				t.Parallel()
				js := eventstoretest.JetStream(t)
				var log bytes.Buffer
				store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{opened{}, deposited{}},
					&eventstore.Config{Logger: slog.New(slog.NewTextHandler(&log, nil)), Erasure: true})
				require.NoError(t, err)
				defer func() { require.NoError(t, store.Close()) }()
				c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{})
				require.NoError(t, err)
				position := stray(t, store, strays(subject, payloadAt(t, store, c.Position))[name])

				requireEvents(t, store)
				_, err = store.At(t.Context(), position)
				require.ErrorIs(t, err, eventstore.ErrForeign)
				require.NotErrorIs(t, err, eventstore.ErrCorrupt)

				// A head from before it, and then one from after it.
				c, err = store.Append(t.Context(), account("a"), c.Head(), deposited{1})
				require.NoError(t, err)
				requireEvents(t, store, 1)
				history, err := store.Load(t.Context(), account("a"))
				require.NoError(t, err)
				require.Equal(t, c.Head(), history.Head)
				_, err = store.Append(t.Context(), account("a"), history.Head, deposited{2})
				require.NoError(t, err)
				requireEvents(t, store, 1, 2)
				require.Equal(t, 1, strings.Count(log.String(), "passed over"), log.String())
				require.Positive(t, store.Counters().Foreign)

				again, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{opened{}, deposited{}}, &eventstore.Config{Erasure: true})
				require.NoError(t, err)
				defer func() { require.NoError(t, again.Close()) }()
				requireEvents(t, again, 1, 2)
				var archive bytes.Buffer
				summary, err := again.Export(t.Context(), &archive, nil)
				require.NoError(t, err)
				require.EqualValues(t, 1, summary.Foreign)
				elsewhere := eventstoretest.JetStream(t)
				summary, err = eventstore.Import(t.Context(), elsewhere, bytes.NewReader(archive.Bytes()), nil)
				require.NoError(t, err)
				require.EqualValues(t, 1, summary.Foreign)
				require.EqualValues(t, 3, summary.Commits)
				imported, err := eventstore.Open(t.Context(), elsewhere, "bank", []eventstore.Event{opened{}, deposited{}}, &eventstore.Config{Erasure: true})
				require.NoError(t, err)
				defer func() { require.NoError(t, imported.Close()) }()
				requireEvents(t, imported, 1, 2)
				var second bytes.Buffer
				_, err = imported.Export(t.Context(), &second, nil)
				require.NoError(t, err)

				require.NoError(t, again.Erase(t.Context(), account("a"), "test"))
				_, err = again.Verify(t.Context(), nil)
				require.NoError(t, err)
			})
		}
	}
}

func TestAStreamMayBeginBehindAMessageOfAnotherProgram(t *testing.T) {
	store := open(t, nil)
	stray(t, store, &nats.Msg{Subject: "bank.account.a", Data: []byte("x")})
	head, err := store.Head(t.Context(), account("a"))
	require.NoError(t, err)
	require.Zero(t, head.Version)
	c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{})
	require.NoError(t, err)
	stray(t, store, &nats.Msg{Subject: "bank.account.b", Data: []byte("x")})
	head, err = store.Head(t.Context(), account("b"))
	require.NoError(t, err)
	require.Zero(t, head.Version)
	_, err = store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("a"), Expected: c.Head(), Events: []eventstore.Event{deposited{1}}},
		eventstore.Write{Stream: account("b"), Expected: head, Events: []eventstore.Event{opened{}}})
	require.NoError(t, err)
	require.Equal(t, []eventstore.Event{opened{}, deposited{1}, opened{}}, decode(t, store.All(t.Context())))
}

// Another program publishes between the load of a stream and the transaction that writes or guards it.
func TestATransactionStandsOnAMessageOfAnotherProgram(t *testing.T) {
	t.Parallel()
	for _, begun := range []bool{true, false} {
		for _, id := range []string{"a", "b", "guarded"} {
			t.Run(fmt.Sprintf("%s, begun: %t", id, begun), func(t *testing.T) {
				t.Parallel()
				store := open(t, nil)
				head := func(id string) eventstore.Head {
					if begun {
						_, err := store.Append(t.Context(), account(id), eventstore.Head{}, opened{})
						require.NoError(t, err)
					}
					history, err := store.Load(t.Context(), account(id))
					require.NoError(t, err)
					return history.Head
				}
				writes := []eventstore.Write{
					{Stream: account("a"), Expected: head("a"), Events: []eventstore.Event{deposited{1}}},
					{Stream: account("guarded"), Expected: head("guarded"), Guard: true},
					{Stream: account("b"), Expected: head("b"), Events: []eventstore.Event{deposited{2}}},
				}
				stray(t, store, &nats.Msg{Subject: "bank.account." + id, Data: []byte("x")})
				_, err := store.AppendAll(t.Context(), writes...)
				require.NoError(t, err)
				_, err = store.Verify(t.Context(), nil)
				require.NoError(t, err)
			})
		}
	}
}

func TestALiveReaderPassesOverMessagesOfOtherPrograms(t *testing.T) {
	store := open(t, nil)
	positions := follow(t, store)
	head := eventstore.Head{}
	for range 3 {
		stray(t, store, &nats.Msg{Subject: "bank.account.a"})
		history, err := store.Load(t.Context(), account("a"))
		require.NoError(t, err)
		c, err := store.Append(t.Context(), account("a"), history.Head, deposited{1})
		require.NoError(t, err)
		require.Greater(t, c.First, head.Version)
		head = c.Head()
		requirePromptly(t, positions, c.Position)
	}
}

// A message with the headers of a commit may be a damaged commit, until an operator has looked.
func TestWhatLooksLikeADamagedCommitIsPassedOverOnceItIsAccepted(t *testing.T) {
	for name, subject := range map[string]string{"a stream's subject": "bank.account.a", "no stream's subject": "bank.customers.fi=nd"} {
		t.Run(name, func(t *testing.T) {
			store := open(t, nil)
			c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{})
			require.NoError(t, err)
			expected := "0"
			if subject == "bank.account.a" {
				expected = "1"
			}
			position := stray(t, store, &nats.Msg{Subject: subject, Data: []byte("x"), Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: {expected}}})
			damaged := firstError(t, store)
			require.Equal(t, position, damaged.Position)
			require.ErrorContains(t, damaged, "Store.AcceptForeign")
			_, err = store.Verify(t.Context(), nil)
			require.ErrorIs(t, err, eventstore.ErrCorrupt)

			other := open2(t, store)
			require.Error(t, firstError(t, other))
			require.NoError(t, store.AcceptForeign(t.Context(), damaged.Position, "published by the import of customers"))
			require.NoError(t, store.AcceptForeign(t.Context(), damaged.Position, "once more"))
			for _, s := range []*eventstore.Store{store, other} {
				require.Equal(t, []eventstore.Event{opened{}}, decode(t, s.Stream(t.Context(), account("a"))))
				report, err := s.Verify(t.Context(), nil)
				require.NoError(t, err)
				require.EqualValues(t, 1, report.Foreign)
				require.EqualValues(t, 2, report.Commits, "that of the record among them")
			}
			_, err = other.Append(t.Context(), account("a"), c.Head(), deposited{1})
			require.NoError(t, err)

			err = store.AcceptForeign(t.Context(), 1, "no")
			require.ErrorIs(t, err, eventstore.ErrRefused)
			require.ErrorContains(t, err, "it is a commit")
			err = store.AcceptForeign(t.Context(), 1000, "no")
			require.ErrorIs(t, err, eventstore.ErrRefused)
			require.ErrorContains(t, err, "nothing stands there")
		})
	}
}

// The records of what was accepted stand in a stream to which another program may publish as well.
func TestWhatStandsAmongTheRecordsOfWhatWasAcceptedIsAcceptedToo(t *testing.T) {
	for name := range strays("", []byte("xx")) {
		for header, value := range map[string]string{
			jetstream.ExpectedLastSubjSeqHeader: "", jetstream.ExpectedLastSeqHeader: "", jsapi.HeaderBatchID: "1",
		} {
			t.Run(name+"/"+header, func(t *testing.T) {
				t.Parallel()
				store := open(t, nil)
				c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{})
				require.NoError(t, err)
				other := open2(t, store)
				end := c.Position
				for _, tail := range []eventstore.Position{0, 3} { // the second stands on top of a record
					msg := strays("bank.runnel.foreign", payloadAt(t, store, 1))[name]
					switch msg.Header = (nats.Header{header: {value}}); header {
					case jetstream.ExpectedLastSubjSeqHeader:
						if tail == 0 && name == "a copy of a commit" {
							return // the first commit of a stream, by all that it says
						}
						msg.Header[header] = []string{fmt.Sprint(tail)}
					case jetstream.ExpectedLastSeqHeader:
						msg.Header[header] = []string{fmt.Sprint(end)}
					case jsapi.HeaderBatchID:
						msg.Header[jsapi.HeaderBatchSequence], msg.Header[jsapi.HeaderBatchCommit] = []string{"1"}, []string{"1"}
					}
					position := stray(t, store, msg)
					require.Equal(t, position, firstError(t, other).Position)
					require.NoError(t, store.AcceptForeign(t.Context(), position, "published by a script"))
					end = position + 1
				}
				for _, s := range []*eventstore.Store{store, other, open2(t, store)} {
					require.Equal(t, []eventstore.Event{opened{}}, decode(t, s.Stream(t.Context(), account("a"))))
					report, err := s.Verify(t.Context(), nil)
					require.NoError(t, err)
					require.EqualValues(t, 2, report.Foreign)
					require.EqualValues(t, 3, report.Commits, "those of the records among them")
				}
			})
		}
	}
}

// firstError returns what a read of the log ends with.
func firstError(t *testing.T, store *eventstore.Store) *eventstore.ReadError {
	t.Helper()
	for _, err := range store.All(t.Context()) {
		if damaged, ok := errors.AsType[*eventstore.ReadError](err); ok && errors.Is(err, eventstore.ErrCorrupt) {
			return damaged
		}
		require.NoError(t, err)
	}
	require.Fail(t, "the log is read to its end")
	return nil
}

// open2 opens a store once more.
func open2(t *testing.T, store *eventstore.Store) *eventstore.Store {
	t.Helper()
	again, err := eventstore.Open(context.Background(), store.JetStream(), store.Name(), []eventstore.Event{opened{}, deposited{}}, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, again.Close()) })
	return again
}

// The server bounds a subject by the length of a line of its protocol only.
func TestAMessageOnALongSubjectIsInTheBackup(t *testing.T) {
	for _, length := range []int{500, 512, 3000} {
		store := openWith(t, eventstoretest.JetStream(t), nil)
		stray(t, store, &nats.Msg{Subject: "bank.customers." + strings.Repeat("x", length), Data: []byte("x")})
		_, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{"Ada"})
		require.NoError(t, err)
		var archive bytes.Buffer
		_, err = store.Export(t.Context(), &archive, nil)
		require.NoError(t, err)
		elsewhere := eventstoretest.JetStream(t)
		summary, err := eventstore.Import(t.Context(), elsewhere, &archive, nil)
		require.NoError(t, err, length)
		require.EqualValues(t, 1, summary.Foreign)
		require.Equal(t, []eventstore.Event{opened{"Ada"}}, decode(t, openWith(t, elsewhere, nil).All(t.Context())))
	}
}
