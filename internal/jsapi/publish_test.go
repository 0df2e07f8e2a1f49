package jsapi_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

func TestEveryReplyHasAClass(t *testing.T) {
	failed := func(code string) string {
		return `{"error":{"code":400,"err_code":` + code + `},"stream":"docs","seq":0}`
	}
	for reply, class := range map[string]jsapi.Class{
		`{"stream":"docs","seq":7}`:                  jsapi.Stored,
		`{"seq":7,"stream":"docs"}`:                  jsapi.Stored,
		`{"stream":"docs","domain":"hub","seq":7}`:   jsapi.Stored,
		`{"stream":"docs","seq":7,"duplicate":true}`: jsapi.Stored,
		`{"stream":"do\"cs","seq":7}`:                jsapi.Stored,
		`{"stream":"docs","seq":0}`:                  jsapi.Unknown,
		`{"stream":"","seq":7}`:                      jsapi.Unknown,
		`{"stream":"docs","seq":7`:                   jsapi.Unknown,
		`{"stream":"docs","seq":-7}`:                 jsapi.Unknown,
		`{"stream":"docs","seq":07}`:                 jsapi.Unknown,
		"{\"stream\":\"do\ncs\",\"seq\":7}":          jsapi.Unknown,
		`{"stream":"docs"}`:                          jsapi.Unknown,
		`{}`:                                         jsapi.Unknown,
		``:                                           jsapi.Unknown,
		`x`:                                          jsapi.Unknown,
		failed("10071"):                              jsapi.Conflict,
		failed("10164"):                              jsapi.Conflict,
		failed("10163"):                              jsapi.Conflict,
		failed("10201"):                              jsapi.Conflict,
		failed("10176"):                              jsapi.Unavailable,
		failed("10210"):                              jsapi.Unavailable,
		failed("10008"):                              jsapi.Unavailable,
		failed("10096"):                              jsapi.Unavailable,
		failed("10023"):                              jsapi.Full,
		failed("10054"):                              jsapi.TooLarge,
		failed("10199"):                              jsapi.TooMany,
		failed("10174"):                              jsapi.NoBatches,
		failed("10063"):                              jsapi.Unknown,
		failed("10109"):                              jsapi.Refused,
	} {
		answer := jsapi.Classify(&nats.Msg{Data: []byte(reply)})
		require.Equal(t, class.String(), answer.Class.String(), reply)
		require.Equal(t, class == jsapi.Stored, answer.Sequence == 7, reply)
		require.Equal(t, class == jsapi.Stored, answer.Err == nil, reply)
	}
	none := jsapi.Classify(&nats.Msg{Header: nats.Header{"Status": {"503"}}})
	require.Equal(t, jsapi.Unavailable, none.Class)
	require.ErrorIs(t, none.Err, nats.ErrNoResponders)
	require.Equal(t, "class 99", jsapi.Class(99).String())
}

func TestAnswersOfOtherStreamsAreNotBelieved(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	for source, answers := range map[jsapi.Source]map[string]bool{
		{Stream: "docs"}: {
			`{"stream":"docs","seq":7}`:                                            true,
			`{"stream":"docs","seq":7,"batch":"x","count":2}`:                      true,
			`{"stream":"doc","seq":7}`:                                             false,
			`{"stream":"docs","seq":7,"domain":"hub"}`:                             false,
			`{"stream":"docs","seq":7,"duplicate":true,"domain":"hub"}`:            false,
			`{"error":{"code":400,"err_code":10071},"stream":"other","seq":0}`:     false,
			`{"stream":"other","seq":7,"error":{"code":400,"err_code":10071}}`:     false,
			`{"stream":"docs","seq":7,"domain":"","val":"what will come one day"}`: true,
		},
		{Stream: "docs", Domain: "hub"}: {
			`{"stream":"docs","seq":7,"domain":"hub"}`:                        true,
			`{"stream":"docs","seq":7,"domain":"hub","batch":"x","count":2}`:  true,
			`{"stream":"docs","domain":"hub","seq":7}`:                        true,
			`{"stream":"docs","seq":7}`:                                       false,
			`{"stream":"docs","seq":7,"domain":"leaf"}`:                       false,
			`{"stream":"docs","seq":7,"domain":"ahub"}`:                       false,
			`{"stream":"docs","seq":7,"domain":"hub" }`:                       true,
			`{"stream":"cods","seq":7,"domain":"hub"}`:                        false,
			`{"stream":"docs","seq":7,"domain":"leaf","batch":"x","count":2}`: false,
		},
	} {
		for answer, ours := range answers {
			js := srv.JetStream(t)
			client, err := jsapi.New(t.Context(), js)
			require.NoError(t, err)
			client.Expect(source)
			sub, err := js.Conn().Subscribe("answered", func(msg *nats.Msg) { _ = msg.Respond([]byte(answer)) })
			require.NoError(t, err)
			got := client.Session().Publish(t.Context(), jsapi.Write{Subject: "answered"}, 20*time.Second)
			if ours {
				require.Equal(t, jsapi.Answer{Class: jsapi.Stored, Sequence: 7}, got, answer)
				require.NoError(t, client.Other())
			} else {
				require.Equal(t, jsapi.Unknown, got.Class, answer)
				require.ErrorIs(t, got.Err, jsapi.ErrOtherStream, answer)
				require.ErrorIs(t, client.Other(), jsapi.ErrOtherStream, answer)
			}
			require.NoError(t, sub.Unsubscribe())
			require.NoError(t, client.Close())
		}
	}
}

// The answer of another stream comes second. That stream has stored the message as well.
func TestASecondAnswerOfAnotherStreamIsKept(t *testing.T) {
	js := eventstoretest.JetStream(t)
	client := newClient(t, js)
	client.Expect(jsapi.Source{Stream: "docs"})
	sub, err := js.Conn().Subscribe("answered", func(msg *nats.Msg) {
		_ = msg.Respond([]byte(`{"stream":"docs","seq":7}`))
		_ = msg.Respond([]byte(`{"stream":"docs","seq":70,"domain":"hub"}`))
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Unsubscribe()) }()
	require.Equal(t, jsapi.Stored, client.Session().Publish(t.Context(), jsapi.Write{Subject: "answered"}, 20*time.Second).Class)
	require.ErrorIs(t, client.AwaitOther(t.Context(), 20*time.Second), jsapi.ErrOtherStream)
	require.EqualError(t, client.Other(), "another stream answers: messages for stream docs are answered by stream docs of domain hub")
}

// A server that stood still answers one probe beside the stream's new leader, and then hears that it no longer leads.
func TestAProbeThatIsAnsweredTwiceOnceIsAskedAgain(t *testing.T) {
	for _, twice := range []int{1, 2} {
		js := eventstoretest.JetStream(t)
		client := newClient(t, js)
		client.Expect(jsapi.Source{Stream: "docs"})
		asked := make(chan int, 3)
		n := 0
		sub, err := js.Conn().Subscribe("asked", func(msg *nats.Msg) {
			n++
			refusal := []byte(`{"stream":"docs","error":{"code":400,"err_code":10060,"description":"expected stream does not match"}}`)
			_ = msg.Respond(refusal)
			if n <= twice {
				_ = msg.Respond(refusal)
			}
			asked <- n
		})
		require.NoError(t, err)
		require.NoError(t, client.Probe("asked"))
		require.Equal(t, 1, <-asked)
		require.Equal(t, 2, <-asked)
		if twice == 2 {
			require.ErrorIs(t, client.AwaitOther(t.Context(), 20*time.Second), jsapi.ErrOtherStream)
		} else {
			require.NoError(t, client.AwaitOther(t.Context(), 100*time.Millisecond))
		}
		require.NoError(t, sub.Unsubscribe())
	}
}

func TestCallsThatAreInterruptedEnd(t *testing.T) {
	js := eventstoretest.JetStream(t)
	client := newClient(t, js)
	sub, err := js.Conn().Subscribe("silent", func(*nats.Msg) { client.Interrupt() })
	require.NoError(t, err)
	defer func() { require.NoError(t, sub.Unsubscribe()) }()
	answer := client.Session().Publish(t.Context(), jsapi.Write{Subject: "silent"}, time.Minute)
	require.Equal(t, jsapi.Unknown, answer.Class)
	require.ErrorIs(t, answer.Err, jsapi.ErrNoReply)
}

func FuzzReplies(f *testing.F) {
	f.Add([]byte(`{"stream":"docs","seq":7}`))
	f.Add([]byte(`{"stream":"docs","seq":7,"domain":"hub"}`))
	f.Add([]byte(`{"streAm":"docs","seq":7}`)) // encoding/json takes names in any case
	f.Add([]byte(`{"error":{"code":400,"err_code":10071}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		answer := jsapi.Classify(&nats.Msg{Data: data})
		if answer.Class != jsapi.Stored {
			require.Error(t, answer.Err)
			return
		}
		require.NoError(t, answer.Err)
		var ack jetstream.PubAck
		require.NoError(t, json.Unmarshal(data, &ack), "what is not JSON acknowledges nothing")
		require.NotEmpty(t, ack.Stream)
		require.Positive(t, ack.Sequence)
		require.Equal(t, ack.Sequence, answer.Sequence)
	})
}

func TestABatchIsStoredWholeOrSaysWhyNot(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	js := srv.JetStream(t)
	newStream(t, js)
	client := newClient(t, js)
	publish(t, client, "docs.a", "1")
	write := func(subject string, expected uint64) jsapi.Write {
		return jsapi.Write{Subject: subject, Expected: expected, Data: []byte("x")}
	}
	commit := func(writes ...jsapi.Write) jsapi.Answer { return client.PublishBatch(t.Context(), writes, timeout) }

	require.Equal(t, jsapi.Conflict, commit(write("docs.a", 0), write("docs.b", 0), write("docs.c", 0)).Class, "the first")
	require.Equal(t, jsapi.Conflict, commit(write("docs.b", 0), write("docs.a", 0), write("docs.c", 0)).Class, "one in the middle")
	require.Equal(t, jsapi.Conflict, commit(write("docs.b", 0), write("docs.c", 0), write("docs.a", 0)).Class, "the last")
	stored := commit(write("docs.a", 1), write("docs.b", 0), write("docs.c", 0))
	require.Equal(t, jsapi.Answer{Class: jsapi.Stored, Sequence: 4}, stored)

	elsewhere := commit(write("nowhere.a", 0), write("nowhere.b", 0))
	require.Equal(t, jsapi.Unavailable, elsewhere.Class)
	large := jsapi.Write{Subject: "docs.l", Data: []byte(strings.Repeat("x", 1<<20+1))}
	require.Equal(t, jsapi.TooLarge, commit(large).Class)
	require.Equal(t, jsapi.TooLarge, commit(write("docs.l", 0), large).Class)
	require.Equal(t, jsapi.TooLarge, commit(large, write("docs.l", 0)).Class)
	require.Equal(t, jsapi.Unavailable, commit(write("bad subject", 0)).Class)
	require.Equal(t, jsapi.Unavailable, commit(write("docs.a", 2), write("bad subject", 0)).Class)
}
