package jsapi_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

func TestMessagesAreReadFromAnyReplicaAndFromTheLeader(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	js := srv.JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	before := time.Now()
	publish(t, client, "docs.a", "1", "2")
	publish(t, client, "docs.b", "3")
	publish(t, client, "docs.a", "4")
	ctx := t.Context()
	for name, read := range map[string]func() (jsapi.Message, error){
		"1": func() (jsapi.Message, error) { return client.LeaderNext(ctx, "docs", "docs.>", 1) },
		"2": func() (jsapi.Message, error) { return client.DirectSequence(ctx, "docs", 2) },
		"3": func() (jsapi.Message, error) { return client.LeaderSequence(ctx, "docs", 3) },
		"4": func() (jsapi.Message, error) { return client.LeaderNext(ctx, "docs", "docs.a", 3) },
	} {
		msg, err := read()
		require.NoError(t, err, name)
		require.Equal(t, name, string(msg.Data))
		require.Equal(t, name, fmt.Sprint(msg.Sequence))
		require.WithinRange(t, msg.Time, before, time.Now())
	}
	for name, read := range map[string]func() (jsapi.Message, error){
		"direct last": func() (jsapi.Message, error) { return client.DirectLast(ctx, "docs", "docs.a") },
		"leader last": func() (jsapi.Message, error) { return client.LeaderLast(ctx, "docs", "docs.a") },
		"leader next": func() (jsapi.Message, error) { return client.LeaderNext(ctx, "docs", "docs.a", 3) },
	} {
		msg, err := read()
		require.NoError(t, err, name)
		require.Equal(t, "4", string(msg.Data), name)
		require.Equal(t, "docs.a", msg.Subject, name)
	}
	since, err := client.LeaderSince(ctx, "docs", before)
	require.NoError(t, err)
	require.Equal(t, uint64(1), since.Sequence)
}

func TestWhatIsNotThereIsSaidSo(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	js := srv.JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	ctx := t.Context()
	_, err := client.DirectLast(ctx, "docs", "docs.a")
	require.ErrorIs(t, err, jsapi.ErrNotFound)
	_, err = client.LeaderLast(ctx, "docs", "docs.a")
	require.ErrorIs(t, err, jsapi.ErrNotFound)
	_, err = client.LeaderSince(ctx, "docs", time.Now().Add(time.Hour))
	require.ErrorIs(t, err, jsapi.ErrNotFound)
	many, err := client.DirectLastMany(ctx, "docs", []string{"docs.a", "docs.b"}, 1<<20)
	require.NoError(t, err)
	require.Zero(t, many)
	many, err = client.DirectNextMany(ctx, "docs", "docs.*", 1, 10, 1<<20)
	require.NoError(t, err)
	require.Zero(t, many)
	require.False(t, jsapi.Transient(jsapi.ErrNotFound))

	_, err = client.LeaderLast(ctx, "none", "docs.a")
	require.Error(t, err)
	require.NotErrorIs(t, err, jsapi.ErrNotFound, "the stream is missing, not the message")
	_, err = client.LeaderInfo(ctx, "none", "", 0)
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	_, err = client.DirectLast(ctx, "none", "docs.a")
	require.True(t, jsapi.Transient(err))
	_, err = client.DirectLastMany(ctx, "none", []string{"docs.a", "docs.b"}, 1<<20)
	require.True(t, jsapi.Transient(err))
	_, err = client.DirectSequence(ctx, "docs", 0)
	require.ErrorContains(t, err, "408")
}

func TestNothingIsReadOnceTheContextHasEnded(t *testing.T) {
	client := holding(t, "1")
	ended, end := context.WithCancel(t.Context())
	end()
	sent := client.Conn().Stats().OutMsgs
	_, err := client.DirectLast(ended, "docs", "docs.a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = client.LeaderLast(ended, "docs", "docs.a")
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, sent, client.Conn().Stats().OutMsgs)
}

func TestTheLastOfManySubjectsAreReadUpToASize(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	js := srv.JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	subjects := make([]string, 2*jsapi.MaxLastMany)
	for i := range subjects {
		subjects[i] = fmt.Sprint("docs.", i)
		publish(t, client, subjects[i], "old", fmt.Sprint(i))
	}
	part, err := client.DirectLastMany(t.Context(), "docs", subjects[:jsapi.MaxLastMany], 1<<20)
	require.NoError(t, err)
	require.Zero(t, part.Pending)
	require.EqualValues(t, 2*len(subjects), part.UpTo)
	require.Len(t, part.Found, jsapi.MaxLastMany)
	for _, msg := range part.Found {
		require.Equal(t, "docs."+string(msg.Data), msg.Subject)
	}
	part, err = client.DirectLastMany(t.Context(), "docs", subjects[:10], 1)
	require.NoError(t, err)
	require.EqualValues(t, 9, part.Pending)
	require.Len(t, part.Found, 1)
	_, err = client.DirectLastMany(t.Context(), "docs", subjects, 1<<20)
	require.ErrorIs(t, err, jsapi.ErrTooMany)
}

func TestTheNextOfManyMessagesAreReadInParts(t *testing.T) {
	js := eventstoretest.NewServer(t).JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	const n = 25
	for i := range n {
		publish(t, client, "docs.a", fmt.Sprint(i))
		publish(t, client, "docs.b", "other")
	}
	for most, bytes := range map[int]int{10: 1 << 20, 1: 1 << 20, 1000: 1, 2000: 1 << 20} {
		var texts []string
		for from := uint64(1); ; {
			part, err := client.DirectNextMany(t.Context(), "docs", "docs.a", from, most, bytes)
			require.NoError(t, err)
			require.LessOrEqual(t, len(part.Found), most)
			for _, m := range part.Found {
				texts = append(texts, string(m.Data))
				require.Equal(t, "docs.a", m.Subject)
				from = m.Sequence + 1
			}
			require.EqualValues(t, n-len(texts), part.Pending)
			if part.Pending == 0 {
				break
			}
		}
		require.Len(t, texts, n)
		require.Equal(t, fmt.Sprint(n-1), texts[n-1])
	}
}

func TestAReplyThatIsLostAmongManyIsMissed(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	js := proxy.JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	var subjects []string
	for i := range 3 {
		subjects = append(subjects, fmt.Sprint("docs.", i))
		publish(t, client, subjects[i], fmt.Sprint("text ", i))
	}
	for name, ask := range map[string]func() (jsapi.Part, error){
		"last": func() (jsapi.Part, error) { return client.DirectLastMany(t.Context(), "docs", subjects, 1<<20) },
		"next": func() (jsapi.Part, error) { return client.DirectNextMany(t.Context(), "docs", "docs.>", 1, 10, 1<<20) },
	} {
		whole, err := ask()
		require.NoError(t, err)
		require.Len(t, whole.Found, 3)
		for lost := range 3 {
			proxy.DropReplies(func(_ string, payload []byte) bool { return bytes.Contains(payload, fmt.Append(nil, "text ", lost)) })
			_, err := ask()
			require.ErrorIs(t, err, jsapi.ErrNoReply, "%s: reply %d was lost", name, lost)
			require.True(t, jsapi.Transient(err))
		}
		proxy.DropReplies(func(string, []byte) bool { return false })
	}
}

func TestARequestForManyEndsWithItsClient(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	js := proxy.JetStream(t)
	newStream(t, js)
	client, err := jsapi.New(t.Context(), js)
	require.NoError(t, err)
	proxy.DropReplies(func(subject string, _ []byte) bool { return strings.HasPrefix(subject, "_INBOX.") })
	ended := make(chan error, 1)
	go func() {
		_, err := client.DirectNextMany(t.Context(), "docs", ">", 1, 10, 1<<20)
		ended <- err
	}()
	require.Eventually(t, func() bool { return proxy.Dropped() > 0 }, timeout, time.Millisecond)
	require.NoError(t, client.Close())
	require.ErrorIs(t, <-ended, jsapi.ErrNoReply)
	_, err = client.DirectNextMany(t.Context(), "docs", ">", 1, 10, 1<<20)
	require.ErrorIs(t, err, jsapi.ErrClosed)
}

// A document may look like an acknowledgement of another stream.
func TestAMessageThatComesLateIsNoAcknowledgement(t *testing.T) {
	js := eventstoretest.NewServer(t).JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	client.Expect(jsapi.Source{Stream: "docs"})
	late := nats.NewMsg("")
	late.Data = []byte(`{"stream":"bank","seq":7}`)
	late.Header.Set(jetstream.SequenceHeader, "1")
	responded := make(chan struct{})
	sub, err := js.Conn().Subscribe("twice", func(request *nats.Msg) {
		defer close(responded)
		assert.NoError(t, request.Respond(nil))
		assert.NoError(t, request.RespondMsg(late))
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Unsubscribe()) }()
	_, err = client.Request(t.Context(), "twice", nil, timeout)
	require.NoError(t, err)
	<-responded
	publish(t, client, "docs.a", "after it")
	require.NoError(t, client.Other())
}

// A server that was cut off knows no leader for a while after it is back, and its reply comes first.
func TestAReplyOfAServerWithoutALeaderIsNotTheLeaders(t *testing.T) {
	js := eventstoretest.NewServer(t).JetStream(t)
	client := newClient(t, js)
	const none = `{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`
	for text, replies := range map[string][]string{"it": {none, "it"}, "first": {"first", none}, none: {none, none}} {
		sub, err := js.Conn().Subscribe("question", func(request *nats.Msg) {
			for _, reply := range replies {
				assert.NoError(t, request.Respond([]byte(reply)))
			}
		})
		require.NoError(t, err)
		for range 3 { // calls are used again
			msg, err := client.Request(t.Context(), "question", nil, timeout)
			require.NoError(t, err)
			require.Equal(t, text, string(msg.Data))
		}
		require.NoError(t, sub.Unsubscribe())
	}
}

func TestInfoCountsMessagesAndSubjects(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	js := srv.JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	publish(t, client, "docs.a", "1", "2")
	publish(t, client, "docs.b", "3")
	info, err := client.LeaderInfo(t.Context(), "docs", "docs.*", 1)
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"docs.b": 1}, info.Subjects)
	require.Equal(t, 2, info.Total)
	require.WithinDuration(t, time.Now(), info.Created, time.Minute)
	require.WithinDuration(t, time.Now(), info.Time, time.Minute)
	require.Contains(t, info.Metadata, "_nats.ver")
	require.Equal(t, []uint64{3, 3, 1}, []uint64{info.Last, info.Messages, uint64(info.Replicas)})
	require.Equal(t, js.Conn().ConnectedServerName(), info.Leader)
	require.Equal(t, js.Conn().ConnectedServerVersion(), info.Version)
	require.Zero(t, info.Heard)
	require.Empty(t, info.Domain)
	settings, err := info.Settings()
	require.NoError(t, err)
	require.True(t, settings.AllowDirect)
}

// After ten seconds, a replica that is left alone also describes the stream.
func TestADescriptionByAnotherThanTheLeaderIsNotBelieved(t *testing.T) {
	nc := eventstoretest.NewServer(t).Connect(t)
	for stream, cluster := range map[string]string{
		"led":   `{"name":"c","leader":"n1"}`,
		"alone": `{"name":"c","replicas":[{"name":"n2","current":true}]}`,
	} {
		_, err := nc.Subscribe("elsewhere.STREAM.INFO."+stream, func(question *nats.Msg) {
			assert.NoError(t, question.Respond([]byte(`{"config":{"num_replicas":3},"cluster":`+cluster+`,"state":{"last_seq":7}}`)))
		})
		require.NoError(t, err)
	}
	js, err := jetstream.NewWithAPIPrefix(nc, "elsewhere")
	require.NoError(t, err)
	client := newClient(t, js)
	info, err := client.LeaderInfo(t.Context(), "led", "", 0)
	require.NoError(t, err)
	require.Equal(t, "n1", info.Leader)
	_, err = client.StreamInfo(t.Context(), "led")
	require.NoError(t, err)

	_, err = client.LeaderInfo(t.Context(), "alone", "", 0)
	require.ErrorContains(t, err, "no leader")
	require.True(t, jsapi.Transient(err))
	_, err = client.StreamInfo(t.Context(), "alone")
	require.True(t, jsapi.Transient(err))
}
