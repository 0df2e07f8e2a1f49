package eventstore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// interpreter passes requests of the JetStream API on to the server, edits what the server says about a stream, and
// counts how often it is asked for the messages of one subject.
type interpreter struct {
	asked atomic.Int64
}

// newInterpreter returns an interpreter and a JetStream context whose requests go through it.
func newInterpreter(t *testing.T, nc *nats.Conn, edit func(info []byte) []byte) (*interpreter, jetstream.JetStream) {
	t.Helper()
	const prefix, api = "interpreted", jetstream.DefaultAPIPrefix
	i := new(interpreter)
	_, err := nc.Subscribe(prefix+".>", func(msg *nats.Msg) {
		subject := strings.TrimPrefix(msg.Subject, prefix+".")
		if !strings.HasPrefix(subject, "$KV.") { // the client puts the prefix before these as well
			subject = api + subject
		}
		if !strings.HasPrefix(subject, api+"STREAM.INFO.") {
			passed := &nats.Msg{Subject: subject, Reply: msg.Reply, Header: msg.Header, Data: msg.Data}
			if err := nc.PublishMsg(passed); err != nil {
				t.Error(err)
			}
			return
		}
		var request struct {
			Subject string `json:"subjects_filter"`
		}
		if len(msg.Data) > 0 {
			if err := json.Unmarshal(msg.Data, &request); err != nil {
				t.Error(err)
			}
		}
		if request.Subject != "" {
			i.asked.Add(1)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second) // a store asks when it is closed, too
		defer cancel()
		answer, err := nc.RequestWithContext(ctx, subject, msg.Data)
		if err == nil {
			err = msg.Respond(edit(answer.Data))
		}
		if err != nil {
			t.Error(err)
		}
	})
	require.NoError(t, err)
	js, err := jetstream.NewWithAPIPrefix(nc, prefix)
	require.NoError(t, err)
	return i, js
}

func unedited(info []byte) []byte { return info }

// replaced edits an answer, which has the old text.
func replaced(t *testing.T, old, by string) func([]byte) []byte {
	return func(info []byte) []byte {
		if !bytes.Contains(info, []byte(`"error"`)) && !bytes.Contains(info, []byte(old)) {
			t.Errorf("no %s in %s", old, info)
		}
		return bytes.ReplaceAll(info, []byte(old), []byte(by))
	}
}

// begin begins so many new streams, one right after the other.
func begin(t *testing.T, store *eventstore.Store, prefix string, streams int) {
	t.Helper()
	for i := range streams {
		_, err := store.Append(t.Context(), account(fmt.Sprint(prefix, i)), eventstore.Head{}, numbered{1})
		require.NoError(t, err)
	}
}

func TestABurstOfNewStreamsAsksOnceForTheCount(t *testing.T) {
	eventstoretest.Bubble(t, func(t *testing.T) {
		counted, js := newInterpreter(t, eventstoretest.JetStream(t).Conn(), unedited)
		store, err := openNumbered(t, js)
		require.NoError(t, err)
		begin(t, store, "a", 20)
		require.EqualValues(t, 1, counted.asked.Load())

		<-time.After(time.Second)
		begin(t, store, "b", 20)
		require.EqualValues(t, 2, counted.asked.Load(), "the burst is over")

		_, err = store.AppendAll(t.Context(),
			eventstore.Write{Stream: account("c"), Events: []eventstore.Event{numbered{1}}},
			eventstore.Write{Stream: account("d"), Events: []eventstore.Event{numbered{1}}})
		require.NoError(t, err)
		require.EqualValues(t, 2, counted.asked.Load(), "a transaction is part of the burst")

		_, err = store.Append(t.Context(), account("a0"), eventstore.Head{}, numbered{1})
		require.ErrorIs(t, err, eventstore.ErrConflict)
		begin(t, store, "f", 20)
		require.EqualValues(t, 3, counted.asked.Load(), "an append that was refused ends the burst")
	})
}

func TestAReconnectionEndsABurstOfNewStreams(t *testing.T) {
	nc := eventstoretest.JetStream(t).Conn()
	counted, js := newInterpreter(t, nc, unedited)
	store, err := openNumbered(t, js)
	require.NoError(t, err)
	begin(t, store, "before", 1)
	require.EqualValues(t, 1, counted.asked.Load())
	require.NoError(t, nc.ForceReconnect())
	require.NoError(t, nc.Flush())
	begin(t, store, "behind", 1)
	require.EqualValues(t, 2, counted.asked.Load(), "the server may be another")
}

func TestWhereAnOlderServerMayLeadEachNewStreamIsAskedFor(t *testing.T) {
	name := func(js jetstream.JetStream) string { return js.Conn().ConnectedServerName() }
	asksForEach := func(t *testing.T, nc *nats.Conn, replicas int, edit func([]byte) []byte) {
		t.Helper()
		counted, js := newInterpreter(t, nc, edit)
		store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{numbered{}}, &eventstore.Config{Replicas: replicas})
		require.NoError(t, err)
		defer store.Close()
		begin(t, store, "a", 20)
		require.EqualValues(t, 20, counted.asked.Load())
	}
	for _, older := range []string{"2.14.10", "2.15.2", "2.15.3-RC.1", "unknown", ""} {
		t.Run("the leader has version "+older, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			asksForEach(t, js.Conn(), 1, replaced(t, `"_nats.ver":"`+server.VERSION+`"`, `"_nats.ver":"`+older+`"`))
		})
	}
	t.Run("the leader is another server", func(t *testing.T) {
		js := eventstoretest.JetStream(t)
		asksForEach(t, js.Conn(), 1, replaced(t, `"leader":"`+name(js)+`"`, `"leader":"elsewhere"`))
	})
	cluster := eventstoretest.NewCluster(t, 3)
	t.Run("three replicas", func(t *testing.T) { asksForEach(t, cluster.JetStream(t).Conn(), 3, unedited) })
}

func TestTheExpectationsOfABurstAreRefusedOnTopOfDamage(t *testing.T) {
	for part, at := range map[string]func(record) int{
		"header":   func(r record) int { return recordHead + len(r.subject) + 4 + 20 },
		"data":     func(r record) int { return r.data + 30 },
		"checksum": func(r record) int { return r.length - 1 },
	} {
		t.Run(part, func(t *testing.T) {
			inBurstOnDamage(t, at, func(t *testing.T, store *eventstore.Store, counted *interpreter) {
				_, err := store.Append(t.Context(), account("once"), eventstore.Head{}, numbered{2})
				require.ErrorIs(t, err, eventstore.ErrCorrupt)
				require.EqualValues(t, 2, counted.asked.Load(), "before the new stream, and to find out why this was refused")
			})
		})
	}
}

// The server makes the index that it compares expectations with of the subjects in the block, so it has another there.
func TestACommitOnTopOfADamagedSubjectIsToldOfByTheNextLoad(t *testing.T) {
	subject := func(record) int { return recordHead + len("bank.account.") }
	inBurstOnDamage(t, subject, func(t *testing.T, store *eventstore.Store, counted *interpreter) {
		_, err := store.Append(t.Context(), account("once"), eventstore.Head{}, numbered{2})
		require.NoError(t, err)
		require.EqualValues(t, 1, counted.asked.Load())
		_, err = store.Load(t.Context(), account("once"))
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
	})
}

func TestANewStreamOnTopOfADamagedSubjectIsRefusedOutsideOfABurst(t *testing.T) {
	subject := func(record) int { return recordHead + len("bank.account.") }
	inBurstOnDamage(t, subject, func(t *testing.T, store *eventstore.Store, _ *interpreter) {
		<-time.After(time.Second)
		_, err := store.Append(t.Context(), account("once"), eventstore.Head{}, numbered{2})
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
	})
}

// inBurstOnDamage flips a bit of the only commit of a stream, and calls test with a store that has just begun a new
// stream.
func inBurstOnDamage(t *testing.T, at func(record) int, test func(*testing.T, *eventstore.Store, *interpreter)) {
	t.Helper()
	eventstoretest.Bubble(t, func(t *testing.T) {
		disk, _ := written(t, eventstoretest.Options(func(o *server.Options) { o.DontListen = true }))
		disk.restore(t)
		for _, r := range records(t, disk.files, "bank") {
			if r.subject == "bank.account.once" {
				r.in(disk).flip(t, at(r), 0)
			}
		}
		disk.server.Restart()
		counted, js := newInterpreter(t, disk.server.JetStream(t).Conn(), unedited)
		store, err := openNumbered(t, js)
		require.NoError(t, err)
		begin(t, store, "new", 1)
		test(t, store, counted)
	})
}
